//! PartitionEnforced: whether what should be cut is cut, by what the workloads at both ends of the cut measured.
//!
//! True takes four things for every edge that is cut: a fresh dial is blocked, no connection made earlier is left, nothing has moved since the
//! last one closed, and somebody else reaches Kafka, because a Kafka that is away looks like a cut.
//! While nothing is cut the condition is False with reason NoPartition.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use synccluster_protocol::Site;
use synccluster_protocol::status::{Dial, LinkStatus, Millis};

use super::{Verdict, at, list, names_of, overlap, whole_second};
use crate::api::{Connectivity, Desired, Established, FreshDial, PartitionStatus, SyncClusterStatus};
use crate::names::Component;
use crate::observe::Observed;
use crate::validate::ValidatedCluster;

/// A probe older than this proves nothing.
const FRESH: Millis = 10_000;
/// How long policies may take to get to every node.
const GRACE: Millis = 10_000;

/// What is to be said of the partition.
pub struct Partition {
    pub verdict: Verdict,
    pub status: Option<PartitionStatus>,
    /// One a site, in order.
    pub connectivity: Vec<Connectivity>,
}

/// What was found at an edge that should be cut, the worst first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Finding {
    Overlapping(Vec<String>),
    NotEnforced,
    Established,
    Stale,
    Enforcing,
    Unseen(String),
    KafkaAway,
    Enforced,
}

/// Assesses it.
pub fn assess(
    cluster: &ValidatedCluster,
    observed: &Observed,
    previous: &SyncClusterStatus,
    now: Timestamp,
) -> Partition {
    let mut status = wanted(cluster, previous, now);
    let planned = status
        .as_ref()
        .and_then(|status| status.since.as_ref())
        .map_or(0, |since| since.0.as_millisecond());
    let edges = cluster
        .sites()
        .flat_map(|site| [(site, Component::Connector), (site, Component::Sink)]);
    let cut = edges.filter(|&(site, component)| is_cut(cluster, site, component));
    let findings: Vec<((Site, Component), Finding)> = cut
        .map(|edge| (edge, find(cluster, observed, edge, planned, now.as_millisecond())))
        .collect();
    let verdict = verdict(cluster, observed, &findings, now.as_millisecond());
    if let Some(status) = &mut status
        && status.enforced_at.is_none()
        && verdict.status == "True"
    {
        status.enforced_at = Some(Time(whole_second(now)));
    }
    let connectivity = cluster
        .sites()
        .map(|site| connectivity(cluster, observed, previous, site, now))
        .collect();
    Partition {
        verdict,
        status,
        connectivity,
    }
}

/// The partition that is asked for. It keeps its beginning while the same edges are cut.
fn wanted(cluster: &ValidatedCluster, previous: &SyncClusterStatus, now: Timestamp) -> Option<PartitionStatus> {
    if cluster.cut.sites.is_empty() {
        return None;
    }
    let sites: Vec<String> = cluster.cut.sites.iter().map(ToString::to_string).collect();
    let same = previous
        .partition
        .as_ref()
        .filter(|before| before.sites == sites && before.link == cluster.cut.link);
    let since = same
        .and_then(|same| same.since.clone())
        .unwrap_or(Time(whole_second(now)));
    let heal_at = cluster.cut.heal_after.and_then(|after| {
        since
            .0
            .checked_add(SignedDuration::try_from(after).ok()?)
            .ok()
            .map(Time)
    });
    let enforced_at = same.and_then(|same| same.enforced_at.clone());
    Some(PartitionStatus {
        sites,
        link: cluster.cut.link,
        since: Some(since),
        enforced_at,
        heal_at,
    })
}

fn is_cut(cluster: &ValidatedCluster, site: Site, component: Component) -> bool {
    match component {
        Component::Connector => cluster.cut.uplink(site),
        Component::Sink => cluster.cut.downlink(site),
        Component::Postgres | Component::Kafka | Component::Gateway => false,
    }
}

fn link(observed: &Observed, site: Site, component: Component) -> Option<&LinkStatus> {
    match component {
        Component::Connector => observed.connectors.get(&site).map(|connector| &connector.link),
        Component::Sink => observed.sinks.get(&site).map(|sink| &sink.link),
        Component::Postgres | Component::Kafka | Component::Gateway => None,
    }
}

fn find(
    cluster: &ValidatedCluster,
    observed: &Observed,
    (site, component): (Site, Component),
    planned: Millis,
    now: Millis,
) -> Finding {
    let Some(link) = link(observed, site, component) else {
        let why = observed.unseen.get(&(site, component)).cloned().unwrap_or_default();
        return Finding::Unseen(format!("{component} of {site}: {why}"));
    };
    if link.probed_at.is_none_or(|probed| now - probed > FRESH) {
        return Finding::Stale;
    }
    match link.fresh_dial {
        Dial::Open => {
            let ways = overlap::find(cluster, observed, site, component);
            let long = now - planned > GRACE;
            // Somebody's policy at one end only does no harm; it is blamed for a cut that does not come into force at all.
            if ways.both() || (long && ways.any()) {
                Finding::Overlapping(ways.names())
            } else if long {
                Finding::NotEnforced
            } else {
                Finding::Enforcing
            }
        }
        Dial::Unknown => Finding::Enforcing,
        Dial::Refused => Finding::KafkaAway,
        Dial::Blocked if link.established > 0 => Finding::Established,
        Dial::Blocked => match (link.closed_since, link.last_moved_at) {
            (None, _) => Finding::Enforcing,
            (Some(closed), Some(moved)) if moved >= closed => Finding::Established,
            (Some(_), _) => Finding::Enforced,
        },
    }
}

fn verdict(
    cluster: &ValidatedCluster,
    observed: &Observed,
    findings: &[((Site, Component), Finding)],
    now: Millis,
) -> Verdict {
    let Some(worst) = findings.iter().map(|(_, finding)| finding).min() else {
        return Verdict::no("NoPartition", "spec.partition cuts nobody");
    };
    let alike = findings
        .iter()
        .filter(|(_, finding)| std::mem::discriminant(finding) == std::mem::discriminant(worst));
    let edges = list(
        alike
            .map(|((site, component), _)| format!("{site} {}", way(*component)))
            .collect(),
    );
    match worst {
        Finding::Overlapping(policies) => Verdict::no(
            "OverlappingPolicy",
            format!(
                "{edges} still reaches Kafka: NetworkPolicy {} allows what spec.partition cuts; narrow it, or delete it",
                list(policies.clone())
            ),
        ),
        Finding::NotEnforced => Verdict::no(
            "NetworkPolicyNotEnforced",
            format!(
                "{edges} still reaches Kafka {} s after the policies were written: use a network plugin that enforces NetworkPolicy \
                 (kindnet, Calico, Cilium), and see that its pods run on every node",
                GRACE / 1000
            ),
        ),
        Finding::Established => Verdict::no(
            "EstablishedConnections",
            format!(
                "{edges} still uses a connection made before the cut; it is closed within seconds, or delete the pod to be rid of it"
            ),
        ),
        Finding::Stale => Verdict::no(
            "ProbeStale",
            format!(
                "the last probe of {edges} is more than {} s old: see the logs of the pod, and whether the clocks of the nodes agree",
                FRESH / 1000
            ),
        ),
        Finding::Enforcing => Verdict::no(
            "Enforcing",
            format!("the policies are written; {edges} is not blocked yet"),
        ),
        Finding::Unseen(why) => Verdict::unknown("CannotSee", format!("{why}; no statement without a measurement")),
        Finding::KafkaAway => Verdict::unknown(
            "KafkaAway",
            "nobody listens at Kafka, so a cut cannot be told from its absence; see its pods",
        ),
        Finding::Enforced if control(cluster, observed, now) => Verdict::yes(
            "Verified",
            format!(
                "{edges}: fresh dials are blocked, no connection is left, nothing moved since, while others reach Kafka"
            ),
        ),
        Finding::Enforced => Verdict::unknown(
            "NoPositiveControl",
            format!(
                "{edges} is blocked, but nobody else was seen to reach Kafka either, so it may be Kafka that is away; see its pods"
            ),
        ),
    }
}

/// Whether somebody who should reach Kafka does: the operator itself, or an edge that is not cut.
fn control(cluster: &ValidatedCluster, observed: &Observed, now: Millis) -> bool {
    let open = |site, component| {
        !is_cut(cluster, site, component)
            && link(observed, site, component).is_some_and(|link| {
                link.fresh_dial == Dial::Open && link.probed_at.is_some_and(|probed| now - probed <= FRESH)
            })
    };
    observed.kafka == Dial::Open
        || cluster
            .sites()
            .any(|site| open(site, Component::Connector) || open(site, Component::Sink))
}

fn connectivity(
    cluster: &ValidatedCluster,
    observed: &Observed,
    previous: &SyncClusterStatus,
    site: Site,
    now: Timestamp,
) -> Connectivity {
    let (uplink, downlink) = (cluster.cut.uplink(site), cluster.cut.downlink(site));
    let desired = match (uplink, downlink) {
        (false, false) => Desired::Connected,
        (true, true) => Desired::Cut,
        (true, false) => Desired::UplinkCut,
        (false, true) => Desired::DownlinkCut,
    };
    // While something is cut, what is cut is what matters.
    let of_interest = [(Component::Connector, uplink), (Component::Sink, downlink)]
        .into_iter()
        .filter(|(_, cut)| *cut || !(uplink || downlink));
    let links: Vec<(Component, Option<&LinkStatus>)> = of_interest
        .map(|(component, _)| (component, link(observed, site, component)))
        .collect();
    let dials: Vec<FreshDial> = links
        .iter()
        .map(|(_, link)| link.map_or(FreshDial::Unknown, |link| dial(link.fresh_dial)))
        .collect();
    // For a cut the way that is open is the news, for a connection the way that is not.
    let order = if uplink || downlink {
        [
            FreshDial::Open,
            FreshDial::Refused,
            FreshDial::Unknown,
            FreshDial::Blocked,
        ]
    } else {
        [
            FreshDial::Unknown,
            FreshDial::Blocked,
            FreshDial::Refused,
            FreshDial::Open,
        ]
    };
    let fresh_dial = order.into_iter().find(|dial| dials.contains(dial)).unwrap_or_default();
    let established = match links
        .iter()
        .map(|(_, link)| link.map(|link| link.established))
        .collect::<Option<Vec<u32>>>()
    {
        None => Established::Unknown,
        Some(counts) if counts.iter().any(|&count| count > 0) => Established::Open,
        Some(_) => Established::Closed,
    };
    let name = site.to_string();
    let before = previous
        .sites
        .iter()
        .find(|before| before.name == name)
        .map(|before| &before.connectivity);
    let same = before.filter(|b| (b.desired, b.fresh_dial, b.established) == (desired, fresh_dial, established));
    Connectivity {
        desired,
        fresh_dial,
        established,
        since: same
            .and_then(|same| same.since.clone())
            .or(Some(Time(whole_second(now)))),
        probed_at: links
            .iter()
            .filter_map(|(_, link)| link.and_then(|link| link.probed_at))
            .min()
            .and_then(at),
        evidence: links
            .iter()
            .map(|(component, link)| evidence(*component, *link, uplink || downlink))
            .collect::<Vec<_>>()
            .join("; "),
    }
}

fn dial(dial: Dial) -> FreshDial {
    match dial {
        Dial::Unknown => FreshDial::Unknown,
        Dial::Open => FreshDial::Open,
        Dial::Blocked => FreshDial::Blocked,
        Dial::Refused => FreshDial::Refused,
    }
}

fn way(component: Component) -> &'static str {
    if component == Component::Connector {
        "uplink"
    } else {
        "downlink"
    }
}

/// What was measured, in words that stay the same while nothing happens.
fn evidence(component: Component, link: Option<&LinkStatus>, cut: bool) -> String {
    let way = way(component);
    let Some(link) = link else {
        return format!("{way} could not be asked");
    };
    let time = |millis: Option<Millis>| {
        millis
            .and_then(at)
            .map_or("unknown".to_owned(), |time| time.0.to_string())
    };
    let mut said = format!("{way} dial {:?} since {}", link.fresh_dial, time(link.fresh_dial_since));
    if cut {
        let connections = match link.established {
            0 => format!("no connection since {}", time(link.closed_since)),
            n => format!("{n} connections"),
        };
        let moved = link
            .last_moved_at
            .map_or("nothing moved since the process began".to_owned(), |_| {
                format!("last moved {}", time(link.last_moved_at))
            });
        said = format!("{said}, {connections}, {moved}");
    }
    said
}

/// Names of the sites whose cut is wanted, for messages.
pub fn cut_sites(cluster: &ValidatedCluster) -> String {
    names_of(cluster.cut.sites.iter().copied())
}
