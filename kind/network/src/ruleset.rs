//! From the policies of a cluster to what one node enforces, as a value: who is isolated, and what is let through to them
//! all the same. Named ports and selectors are resolved to addresses here, so that a ruleset speaks of packets only.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use crate::{
    intervals::Intervals,
    model::{Cluster, Direction, Key, Peer, Pod, Policy, Port, PortNumber, Protocol, Rule},
};

/// What a node enforces for its own pods. A packet must pass both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruleset {
    pub egress: Side,
    pub ingress: Side,
}

/// One direction. A pod that is not in `isolated` may do everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// Pod address → indices into `policies`: what one of them allows is allowed.
    pub isolated: BTreeMap<Ipv4Addr, Vec<usize>>,
    pub policies: Vec<Allowed>,
}

/// What one policy lets through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    pub policy: Key,
    pub rules: Vec<Allow>,
}

/// Packets that may pass: from (ingress) or to (egress) these peers, and of this traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allow {
    pub peers: Peers,
    pub traffic: Traffic,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peers {
    Everybody,
    These(Intervals),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// All protocols, ICMP too.
    Everything,
    Ports(Protocol, Intervals),
    /// Named ports: where the packet goes, each target with its own number.
    Targets(BTreeSet<(Ipv4Addr, Protocol, u16)>),
}

/// A packet that opens a connection, as the node sees it: behind the address of a Service.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    pub from: Ipv4Addr,
    pub to: Ipv4Addr,
    pub protocol: Protocol,
    pub port: u16,
}

impl Ruleset {
    /// What `node` has to enforce.
    pub fn build(cluster: &Cluster, node: &str) -> Self {
        Self {
            egress: Side::build(cluster, node, Direction::Egress),
            ingress: Side::build(cluster, node, Direction::Ingress),
        }
    }

    /// What becomes of a packet: the meaning that `render` has to keep.
    pub fn allows(&self, packet: Packet) -> bool {
        // A pod cannot be kept from itself.
        packet.from == packet.to
            || (self.egress.passes(packet.from, packet.to, packet)
                && self.ingress.passes(packet.to, packet.from, packet))
    }
}

impl Side {
    fn build(cluster: &Cluster, node: &str, direction: Direction) -> Self {
        let mut side = Self::default();
        for (key, policy) in &cluster.policies {
            let Some(rules) = policy.rules(direction) else { continue };
            let selected = selected(cluster, node, key, policy);
            if selected.is_empty() {
                continue;
            }
            for pod in &selected {
                side.isolated.entry(pod.address).or_default().push(side.policies.len());
            }
            let rules = rules
                .iter()
                .flat_map(|rule| allows(cluster, direction, &key.namespace, &selected, rule));
            side.policies.push(Allowed {
                policy: key.clone(),
                rules: rules.collect(),
            });
        }
        side
    }

    fn passes(&self, pod: Ipv4Addr, peer: Ipv4Addr, packet: Packet) -> bool {
        let Some(policies) = self.isolated.get(&pod) else {
            return true;
        };
        policies
            .iter()
            .filter_map(|index| self.policies.get(*index))
            .flat_map(|policy| &policy.rules)
            .any(|allow| {
                allow.peers.contains(peer)
                    && match &allow.traffic {
                        Traffic::Everything => true,
                        Traffic::Ports(protocol, ports) => {
                            *protocol == packet.protocol && ports.contains(packet.port.into())
                        }
                        Traffic::Targets(targets) => targets.contains(&(packet.to, packet.protocol, packet.port)),
                    }
            })
    }
}

impl Peers {
    fn contains(&self, address: Ipv4Addr) -> bool {
        match self {
            Self::Everybody => true,
            Self::These(addresses) => addresses.contains(address.to_bits()),
        }
    }

    fn nobody(&self) -> bool {
        matches!(self, Self::These(addresses) if addresses.is_empty())
    }
}

/// The pods of this node that a policy is about.
fn selected<'a>(cluster: &'a Cluster, node: &str, key: &Key, policy: &Policy) -> Vec<&'a Pod> {
    let pods = cluster
        .pods
        .iter()
        .filter(|(pod, _)| pod.namespace == key.namespace)
        .map(|(_, pod)| pod);
    pods.filter(|pod| pod.node == node && policy.pods.matches(&pod.labels))
        .collect()
}

/// One rule of a policy, resolved. Ports by number and ports by name are looked up differently, so they are separate rules here.
fn allows(cluster: &Cluster, direction: Direction, namespace: &str, selected: &[&Pod], rule: &Rule) -> Vec<Allow> {
    let peers = resolve(cluster, namespace, rule.peers.as_deref());
    if peers.nobody() {
        return Vec::new();
    }
    let Some(ports) = &rule.ports else {
        return vec![Allow {
            peers,
            traffic: Traffic::Everything,
        }];
    };
    // A name means what the target calls so: the selected pods on the way in, the peers on the way out.
    let targets: BTreeSet<_> = match direction {
        Direction::Ingress => ports
            .iter()
            .flat_map(|port| named(port, selected.iter().copied()))
            .collect(),
        Direction::Egress => ports
            .iter()
            .flat_map(|port| named(port, cluster.pods.values().filter(|pod| peers.contains(pod.address))))
            .collect(),
    };
    let numbers = numbers(ports)
        .into_iter()
        .map(|(protocol, ports)| Traffic::Ports(protocol, ports));
    let targets = (!targets.is_empty()).then_some(Traffic::Targets(targets));
    numbers
        .chain(targets)
        .map(|traffic| Allow {
            peers: peers.clone(),
            traffic,
        })
        .collect()
}

fn named<'a>(port: &'a Port, pods: impl Iterator<Item = &'a Pod>) -> impl Iterator<Item = (Ipv4Addr, Protocol, u16)> {
    let pods = match &port.number {
        PortNumber::Named(name) => Some(pods.flat_map(move |pod| {
            pod.ports_named(name, port.protocol)
                .into_iter()
                .map(move |number| (pod.address, port.protocol, number))
        })),
        PortNumber::Range(..) => None,
    };
    pods.into_iter().flatten()
}

fn numbers(ports: &[Port]) -> BTreeMap<Protocol, Intervals> {
    let mut ranges: BTreeMap<Protocol, Vec<(u32, u32)>> = BTreeMap::new();
    for port in ports {
        if let PortNumber::Range(first, last) = port.number {
            ranges
                .entry(port.protocol)
                .or_default()
                .push((first.into(), last.into()));
        }
    }
    ranges
        .into_iter()
        .map(|(protocol, ranges)| (protocol, ranges.into_iter().collect()))
        .collect()
}

fn resolve(cluster: &Cluster, namespace: &str, peers: Option<&[Peer]>) -> Peers {
    let Some(peers) = peers else { return Peers::Everybody };
    let addresses: Intervals = peers
        .iter()
        .flat_map(|peer| addresses(cluster, namespace, peer).iter().collect::<Vec<_>>())
        .collect();
    if addresses.contains_all() {
        Peers::Everybody
    } else {
        Peers::These(addresses)
    }
}

fn addresses(cluster: &Cluster, own_namespace: &str, peer: &Peer) -> Intervals {
    match peer {
        Peer::Block { cidr, except } => except
            .iter()
            .fold([cidr.interval()].into_iter().collect(), |block: Intervals, except| {
                block.without(except.interval())
            }),
        Peer::Pods { namespaces, pods } => {
            let in_namespace = |name: &str| match namespaces {
                None => name == own_namespace,
                Some(selector) => {
                    let key = Key {
                        namespace: String::new(),
                        name: name.to_owned(),
                    };
                    cluster
                        .namespaces
                        .get(&key)
                        .is_some_and(|namespace| selector.matches(&namespace.labels))
                }
            };
            let pods = cluster
                .pods
                .iter()
                .filter(|(key, pod)| pods.matches(&pod.labels) && in_namespace(&key.namespace));
            pods.map(|(_, pod)| pod.address).collect()
        }
        Peer::Ipv6 => Intervals::default(),
    }
}
