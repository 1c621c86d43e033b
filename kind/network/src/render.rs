//! From a ruleset to the script that puts it in force: one transaction of `nft`, in which the table is made anew.
//!
//! A packet is looked up in a map by the address of the isolated pod, and goes to the chain of that pod's policies (pods
//! with the same policies share one). What a policy allows is an address set and a match on ports. The two directions are
//! two base chains one after the other, because `accept` ends a base chain and only that: what egress allows, ingress
//! still judges. The hook is `forward`: packets of the node itself to its pods do not come by, and a Service's address
//! has been replaced already.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::Ipv4Addr,
};

use crate::{
    intervals::Intervals,
    model::Direction,
    ruleset::{Allow, Allowed, Peers, Ruleset, Side, Traffic},
};

/// The table, in family `ip`, that belongs to this program.
pub const TABLE: &str = "synccluster-kind-network";

/// What nftables takes as a comment, with room to spare (128 bytes).
const COMMENT: usize = 120;

/// A ruleset as text for `nft -f -`.
pub struct Script<'a> {
    ruleset: &'a Ruleset,
    /// Address sets by their content, so that policies with the same peers share one.
    peers: BTreeMap<&'a Intervals, usize>,
}

impl<'a> Script<'a> {
    pub fn new(ruleset: &'a Ruleset) -> Self {
        let policies = [&ruleset.egress, &ruleset.ingress]
            .into_iter()
            .flat_map(|side| &side.policies);
        let sets: BTreeSet<&Intervals> = policies
            .flat_map(|policy| &policy.rules)
            .filter_map(|allow| match &allow.peers {
                Peers::These(addresses) => Some(addresses),
                Peers::Everybody => None,
            })
            .collect();
        Self {
            ruleset,
            peers: sets.into_iter().zip(0..).collect(),
        }
    }

    fn peer_sets(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (addresses, number) in &self.peers {
            let elements = addresses
                .iter()
                .map(|(first, last)| interval(Ipv4Addr::from_bits(first), Ipv4Addr::from_bits(last)));
            writeln!(
                out,
                "  set peers-{number} {{ type ipv4_addr; flags interval; elements = {{ {} }}; }}",
                list(elements)
            )?;
        }
        Ok(())
    }

    fn peers(&self, allow: &Allow, field: &str) -> Option<String> {
        match &allow.peers {
            Peers::Everybody => Some(String::new()),
            Peers::These(addresses) => self
                .peers
                .get(addresses)
                .map(|number| format!("ip {field} @peers-{number} ")),
        }
    }

    fn side(&self, out: &mut fmt::Formatter<'_>, direction: Direction, side: &Side) -> fmt::Result {
        let words = Words::of(direction);
        for (index, allowed) in side.policies.iter().enumerate() {
            self.policy(out, &words, index, allowed)?;
        }
        // A chain per set of policies, not per pod: the pods of a StatefulSet share one.
        let shared: BTreeSet<&Vec<usize>> = side.isolated.values().collect();
        let chains: BTreeMap<&Vec<usize>, usize> = shared.into_iter().zip(0..).collect();
        pods(out, &words, &chains)?;
        base(out, &words, side, &chains)
    }

    /// What one policy allows: it accepts, or comes back without a verdict.
    fn policy(&self, out: &mut fmt::Formatter<'_>, words: &Words, index: usize, allowed: &Allowed) -> fmt::Result {
        let Words { name, peer, .. } = words;
        let set = |rule: usize| format!("{name}-targets-{index}-{rule}");
        let key = "type ipv4_addr . inet_proto . inet_service";
        for (rule, allow) in allowed.rules.iter().enumerate() {
            if let Some(targets) = targets(allow) {
                writeln!(out, "  set {} {{ {key}; elements = {{ {targets} }}; }}", set(rule))?;
            }
        }
        let comment: String = allowed.policy.to_string().chars().take(COMMENT).collect();
        writeln!(out, "  chain {name}-policy-{index} {{ comment \"{comment}\"")?;
        for (rule, allow) in allowed.rules.iter().enumerate() {
            let Some(peers) = self.peers(allow, peer) else { continue };
            writeln!(out, "    {peers}{}accept", traffic(allow, &set(rule)))?;
        }
        writeln!(out, "  }}")
    }
}

/// Where isolated pods are sent to: through their policies, and then it ends.
fn pods(out: &mut fmt::Formatter<'_>, words: &Words, chains: &BTreeMap<&Vec<usize>, usize>) -> fmt::Result {
    let Words { name, .. } = words;
    for (policies, number) in chains {
        writeln!(out, "  chain {name}-pods-{number} {{")?;
        for index in *policies {
            writeln!(out, "    jump {name}-policy-{index}")?;
        }
        writeln!(out, "    drop\n  }}")?;
    }
    Ok(())
}

/// Where every packet comes by.
fn base(
    out: &mut fmt::Formatter<'_>,
    words: &Words,
    side: &Side,
    chains: &BTreeMap<&Vec<usize>, usize>,
) -> fmt::Result {
    let Words {
        name, pod, priority, ..
    } = words;
    writeln!(out, "  chain {name} {{")?;
    writeln!(out, "    type filter hook forward priority {priority}; policy accept;")?;
    // Also when nobody is isolated: the kernel tracks connections only where a rule asks for it, and one it has not
    // tracked from its start would not survive the first policy.
    writeln!(out, "    ct state established,related accept")?;
    if !side.isolated.is_empty() {
        let own = side.isolated.keys().map(|address| format!("{address} . {address}"));
        let chain = |policies| chains.get(policies).map(|number| format!("{name}-pods-{number}"));
        let pods = side.isolated.iter();
        let pods = pods.filter_map(|(address, policies)| Some(format!("{address} : goto {}", chain(policies)?)));
        writeln!(out, "    ip saddr . ip daddr {{ {} }} accept", list(own))?;
        writeln!(out, "    ip {pod} vmap {{ {} }}", list(pods))?;
    }
    writeln!(out, "  }}")
}

impl fmt::Display for Script<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `delete` fails on a table that does not exist, so it is made first; all of the file is one transaction.
        writeln!(
            out,
            "table ip {TABLE} {{}}\ndelete table ip {TABLE}\ntable ip {TABLE} {{"
        )?;
        self.peer_sets(out)?;
        self.side(out, Direction::Egress, &self.ruleset.egress)?;
        self.side(out, Direction::Ingress, &self.ruleset.ingress)?;
        writeln!(out, "}}")
    }
}

/// How a direction is spelled.
struct Words {
    name: &'static str,
    /// The field of the packet with the isolated pod, and the one with its peer.
    pod: &'static str,
    peer: &'static str,
    priority: &'static str,
}

impl Words {
    fn of(direction: Direction) -> Self {
        match direction {
            Direction::Egress => Self {
                name: "egress",
                pod: "saddr",
                peer: "daddr",
                priority: "filter",
            },
            Direction::Ingress => Self {
                name: "ingress",
                pod: "daddr",
                peer: "saddr",
                priority: "filter + 1",
            },
        }
    }
}

fn traffic(allow: &Allow, targets: &str) -> String {
    match &allow.traffic {
        Traffic::Everything => String::new(),
        Traffic::Ports(protocol, ports) if ports.iter().eq([(0, u16::MAX.into())]) => {
            format!("meta l4proto {protocol} ")
        }
        Traffic::Ports(protocol, ports) => format!(
            "{protocol} dport {{ {} }} ",
            list(ports.iter().map(|(first, last)| interval(first, last)))
        ),
        Traffic::Targets(_) => format!("ip daddr . meta l4proto . th dport @{targets} "),
    }
}

fn targets(allow: &Allow) -> Option<String> {
    match &allow.traffic {
        Traffic::Targets(targets) => {
            Some(list(targets.iter().map(|(address, protocol, port)| {
                format!("{address} . {protocol} . {port}")
            })))
        }
        Traffic::Everything | Traffic::Ports(..) => None,
    }
}

fn interval<T: fmt::Display + PartialEq + Copy>(first: T, last: T) -> String {
    if first == last {
        first.to_string()
    } else {
        format!("{first}-{last}")
    }
}

fn list(elements: impl Iterator<Item = String>) -> String {
    elements.collect::<Vec<_>>().join(", ")
}
