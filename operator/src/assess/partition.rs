//! PartitionEnforced: whether what should be cut is cut, by what the workloads at both ends of the cut measured.
//!
//! True takes four things for every edge that is cut: a fresh dial is blocked, no connection made earlier is left, nothing has moved since the
//! last one closed, and somebody else reaches Kafka, because a Kafka that is away looks like a cut.
//! While nothing is cut the condition is False with reason NoPartition.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use synccluster_protocol::status::{Dial, Millis};

use super::edge::Edge;
use super::{Verdict, list, overlap, whole_second};
use crate::api::{PartitionStatus, SyncClusterStatus};
use crate::names;
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
}

/// What was found at an edge that should be cut.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Finding {
    Overlapping(Vec<String>),
    NotEnforced,
    Established,
    Stale,
    Enforcing,
    Unseen(String),
    /// The name that is dialled does not resolve.
    Unresolved(String),
    Away(Edge),
    Enforced,
}

impl Finding {
    /// The worst has the lowest.
    fn rank(&self) -> u8 {
        match self {
            Self::Overlapping(_) => 0,
            Self::NotEnforced => 1,
            Self::Established => 2,
            Self::Stale => 3,
            Self::Enforcing => 4,
            Self::Unseen(_) => 5,
            Self::Unresolved(_) => 6,
            Self::Away(_) => 7,
            Self::Enforced => 8,
        }
    }
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
    let cut = Edge::all(cluster).filter(|edge| edge.is_cut(cluster));
    let findings: Vec<(Edge, Finding)> = cut
        .map(|edge| (edge, find(cluster, observed, edge, planned, now.as_millisecond())))
        .collect();
    let verdict = verdict(cluster, observed, &findings, now.as_millisecond());
    if let Some(status) = &mut status
        && status.enforced_at.is_none()
        && verdict.status == "True"
    {
        status.enforced_at = Some(Time(whole_second(now)));
    }
    Partition { verdict, status }
}

/// The partition that is asked for. It keeps its beginning while the same edges are cut.
/// What is cut, and since when; absent while nothing is.
pub fn wanted(cluster: &ValidatedCluster, previous: &SyncClusterStatus, now: Timestamp) -> Option<PartitionStatus> {
    if cluster.cut.is_empty() {
        return None;
    }
    let sites: Vec<String> = cluster.cut.sites.iter().map(ToString::to_string).collect();
    let counters: Vec<String> = cluster.cut.counters.iter().copied().map(names::counter_node).collect();
    let same = previous
        .partition
        .as_ref()
        .filter(|before| before.sites == sites && before.counters == counters && before.link == cluster.cut.link);
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
        counters,
        link: cluster.cut.link,
        since: Some(since),
        enforced_at,
        heal_at,
    })
}

fn find(cluster: &ValidatedCluster, observed: &Observed, edge: Edge, planned: Millis, now: Millis) -> Finding {
    let Some(link) = edge.link(observed) else {
        return Finding::Unseen(edge.unseen(observed));
    };
    // A node that is away looks like one that is cut off; one that answers the operator is there.
    if let Edge::Peer { from, to } = edge
        && !observed.counters.contains_key(&to)
    {
        return Finding::Unseen(Edge::Peer { from: to, to: from }.unseen(observed));
    }
    let Some(probed) = link.probed_at.filter(|probed| now - probed <= FRESH) else {
        return Finding::Stale;
    };
    match link.fresh_dial {
        Dial::Open => {
            let ways = overlap::find(cluster, observed, edge);
            // By when it was dialled: what was measured before the policies came into force blames nobody, however late it is looked at.
            let long = probed - planned > GRACE;
            // Somebody's policy at one end only does no harm; it is blamed for a cut that does not come into force at all.
            if ways.both() || (long && ways.any()) {
                Finding::Overlapping(ways.names())
            } else if long {
                Finding::NotEnforced
            } else {
                Finding::Enforcing
            }
        }
        // It was probed: see above.
        Dial::Unknown => Finding::Unresolved(link.peer.clone()),
        Dial::Refused => Finding::Away(edge),
        Dial::Blocked => match (link.connections(), link.closed_since) {
            (None, _) => Finding::Unseen(format!(
                "{edge}: its pod cannot read /proc/net/tcp, so the connections that are left are not known"
            )),
            (Some(0), Some(closed)) if link.last_moved_at.is_none_or(|moved| moved < closed) => Finding::Enforced,
            (Some(_), _) => Finding::Established,
        },
    }
}

fn verdict(cluster: &ValidatedCluster, observed: &Observed, findings: &[(Edge, Finding)], now: Millis) -> Verdict {
    let Some(worst) = findings
        .iter()
        .map(|(_, finding)| finding)
        .min_by_key(|finding| finding.rank())
    else {
        return Verdict::no("NoPartition", "spec.partition cuts nobody");
    };
    let alike = findings.iter().filter(|(_, finding)| finding.rank() == worst.rank());
    let edges = list(alike.map(|(edge, _)| edge.to_string()).collect());
    match worst {
        Finding::Overlapping(policies) => Verdict::no(
            "OverlappingPolicy",
            format!(
                "{edges} still gets through: NetworkPolicy {} allows what spec.partition cuts; narrow it, or delete it",
                list(policies.clone())
            ),
        ),
        Finding::NotEnforced => Verdict::no(
            "NetworkPolicyNotEnforced",
            format!(
                "{edges} still gets through {} s after the policies were written: use a network plugin that enforces NetworkPolicy \
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
        Finding::Unresolved(peer) => Verdict::unknown(
            "DnsFails",
            format!(
                "{edges} cannot be dialled, because {peer} does not resolve, so a cut cannot be told from its absence; see that the pods of \
                 the cluster's DNS run, that no NetworkPolicy closes port 53 to them, and that the name is right"
            ),
        ),
        Finding::Away(Edge::Peer { to, .. }) => Verdict::unknown(
            "NodeAway",
            format!(
                "{edges}: nobody listens at {}, so a cut cannot be told from its absence; see its pod",
                names::counter_node(*to)
            ),
        ),
        Finding::Away(_) => Verdict::unknown(
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
    let open = |edge: Edge| {
        edge.is_to_kafka()
            && !edge.is_cut(cluster)
            && edge.link(observed).is_some_and(|link| {
                link.fresh_dial == Dial::Open && link.probed_at.is_some_and(|probed| now - probed <= FRESH)
            })
    };
    observed.kafka == Dial::Open || Edge::all(cluster).any(open)
}

/// Names of the sites and counter nodes whose cut is wanted, for messages.
pub fn cut(cluster: &ValidatedCluster) -> String {
    let sites = cluster.cut.sites.iter().map(ToString::to_string);
    let nodes = cluster.cut.counters.iter().copied().map(names::counter_node);
    list(sites.chain(nodes).collect())
}
