//! Step 6: from what was measured to what is said. Pure: time is an argument, and what was said before is one too, because "since" needs it.

mod analytics;
mod connectivity;
pub mod connectors;
mod convergence;
mod counters;
mod edge;
mod external;
mod gateway;
mod health;
mod overlap;
mod partition;
mod readiness;
mod resnapshot;
mod topics;
mod unfinished;
mod worth;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use synccluster_protocol::Site;

use crate::api::{Downlink, SiteStatus, Slot, SyncClusterStatus, Uplink};
use crate::names::{CLUSTER_LABEL, COMPONENT_LABEL, Component};
use crate::observe::Observed;
use crate::validate::{self, ValidatedCluster};
pub use counters::unpublished;
pub use unfinished::unfinished;
pub use worth::worth_writing;

/// The conditions a SyncCluster has, in the order they are shown.
pub const CONDITIONS: [&str; 11] = [
    "Ready",
    "Reconciling",
    "Stalled",
    "PartitionEnforced",
    "Converged",
    "SlotsHealthy",
    "ClocksAgree",
    "GatewayReady",
    "ConnectorsRun",
    "TopicsAsWanted",
    "AnalyticsReady",
];

/// What a condition says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Verdict {
    status: &'static str,
    reason: &'static str,
    message: String,
}

impl Verdict {
    fn yes(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: "True",
            reason,
            message: message.into(),
        }
    }

    fn no(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: "False",
            reason,
            message: message.into(),
        }
    }

    fn unknown(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: "Unknown",
            reason,
            message: message.into(),
        }
    }
}

/// The status of a cluster.
pub fn assess(
    cluster: &ValidatedCluster,
    observed: &Observed,
    previous: &SyncClusterStatus,
    now: Timestamp,
) -> SyncClusterStatus {
    let partition = partition::assess(cluster, observed, previous, now);
    let (converged, convergence) = convergence::assess(cluster, observed, previous, now);
    let gateway = gateway::ready(cluster, observed);
    let readiness = readiness::assess(cluster, observed, &gateway, now);
    let verdicts = [
        readiness.ready,
        readiness.reconciling,
        readiness.stalled,
        partition.verdict,
        converged,
        health::slots(cluster, observed),
        health::clocks(cluster, observed),
        gateway,
        connectors::run(cluster, observed),
        topics::wanted(observed),
        analytics::ready(cluster, observed),
    ];
    SyncClusterStatus {
        observed_generation: Some(cluster.generation),
        clients: cluster.clients.into(),
        ready_clients: readiness.ready_clients,
        selector: Some(format!(
            "{CLUSTER_LABEL}={},{COMPONENT_LABEL}={}",
            cluster.name,
            Component::Postgres
        )),
        cut: (!cluster.cut.is_empty()).then(|| partition::cut(cluster)),
        conditions: conditions(previous, verdicts, cluster.generation, now),
        partition: partition.status,
        convergence: Some(convergence),
        gateway: gateway::status(cluster, observed),
        counter: counters::address(cluster),
        sites: cluster
            .sites()
            .map(|site| {
                let connectivity = connectivity::of_site(cluster, observed, previous, site, now);
                self::site(site, connectivity, observed)
            })
            .collect(),
        counters: cluster
            .counters()
            .chain(counters::leaving(cluster, observed))
            .map(|node| {
                let connectivity = connectivity::of_counter(cluster, observed, previous, node, now);
                counters::status(cluster, observed, previous, node, connectivity)
            })
            .collect(),
        connector_requests: connectors::requests(cluster, observed, previous, now),
        topics: topics::status(observed, previous, now),
        analytics: analytics::status(cluster, observed),
        resnapshot: resnapshot::status(cluster, observed, previous, now),
        external: external::status(cluster, observed, previous),
    }
}

/// The status of a resource that cannot be planned: what runs is left as it is, and nothing else is known of it.
pub fn invalid(
    error: &validate::Error,
    previous: &SyncClusterStatus,
    generation: i64,
    now: Timestamp,
) -> SyncClusterStatus {
    let message = error.to_string();
    let unknown = || {
        Verdict::unknown(
            "InvalidSpec",
            "the resource cannot be understood; see condition Stalled",
        )
    };
    let verdicts = [
        Verdict::no("InvalidSpec", message.clone()),
        Verdict::no("InvalidSpec", "waiting for a corrected resource"),
        Verdict::yes("InvalidSpec", message),
        unknown(),
        unknown(),
        unknown(),
        unknown(),
        unknown(),
        unknown(),
        unknown(),
        unknown(),
    ];
    SyncClusterStatus {
        observed_generation: Some(generation),
        conditions: conditions(previous, verdicts, generation, now),
        ..previous.clone()
    }
}

/// The status of a resource that is paused: what was known, and that it is not looked at.
pub fn paused(previous: &SyncClusterStatus, generation: i64, now: Timestamp) -> SyncClusterStatus {
    let message = "spec.paused is true: nothing is changed and nothing is measured; set it to false to go on";
    let verdicts = CONDITIONS.map(|condition| match condition {
        "Reconciling" | "Stalled" => Verdict::no("Paused", message),
        _ => Verdict::unknown("Paused", message),
    });
    SyncClusterStatus {
        observed_generation: Some(generation),
        conditions: conditions(previous, verdicts, generation, now),
        ..previous.clone()
    }
}

/// Conditions from verdicts.
fn conditions(
    previous: &SyncClusterStatus,
    verdicts: [Verdict; CONDITIONS.len()],
    generation: i64,
    now: Timestamp,
) -> Vec<Condition> {
    let made = CONDITIONS.into_iter().zip(verdicts);
    made.map(|(type_, verdict)| made_of(verdict, type_, previous, generation, now))
        .collect()
}

/// A condition from a verdict. It keeps its time while its status stays.
fn made_of(verdict: Verdict, type_: &str, previous: &SyncClusterStatus, generation: i64, now: Timestamp) -> Condition {
    let before = condition(previous, type_).filter(|before| before.status == verdict.status);
    Condition {
        type_: type_.to_owned(),
        status: verdict.status.to_owned(),
        reason: verdict.reason.to_owned(),
        message: verdict.message,
        observed_generation: Some(generation),
        last_transition_time: before.map_or(Time(whole_second(now)), |before| before.last_transition_time.clone()),
    }
}

/// A condition by its type.
pub fn condition<'a>(status: &'a SyncClusterStatus, type_: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether a condition is there and has this status.
pub fn is(status: &SyncClusterStatus, type_: &str, wanted: &str) -> bool {
    condition(status, type_).is_some_and(|condition| condition.status == wanted)
}

/// Kubernetes keeps times to the second: what is written must be what is read back.
fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// Milliseconds since the Unix epoch as a time.
fn at(millis: i64) -> Option<Time> {
    Timestamp::from_second(millis.div_euclid(1000)).ok().map(Time)
}

/// Names, with commas; beyond ten only how many more.
pub fn list(mut names: Vec<String>) -> String {
    const SHOWN: usize = 10;
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    let shown = names.join(",");
    if more > 0 {
        format!("{shown} and {more} more")
    } else {
        shown
    }
}

fn site(site: Site, connectivity: crate::api::Connectivity, observed: &Observed) -> SiteStatus {
    let (connector, sink) = (observed.connectors.get(&site), observed.sinks.get(&site));
    let pod = observed
        .pods
        .iter()
        .filter(|pod| pod.site == Some(site))
        .find_map(|pod| pod.problem.clone());
    SiteStatus {
        name: site.to_string(),
        connectivity,
        uplink: connector.map(|connector| Uplink {
            connector: connector.connect.as_ref().map(connectors::state),
            lag_bytes: connector.lag_bytes.map(number),
            lag_seconds: number(connector.lag_seconds),
            slot: connector.slot.as_ref().map(|slot| Slot {
                active: slot.active,
                wal_status: slot.wal_status.clone(),
                retained_bytes: number(slot.retained_bytes),
            }),
        }),
        downlink: sink.map(|sink| Downlink {
            lag_records: number(sink.sources.iter().map(|source| source.lag_records).sum()),
            lag_seconds: number(sink.lag_seconds),
        }),
        digest: sink
            .and_then(|sink| sink.digest.as_ref())
            .map(|digest| digest.digest.clone()),
        conflicts: sink.map(|sink| number(sink.conflicts)),
        parked: sink.map(|sink| number(sink.parked)),
        snapshot: connector.and_then(resnapshot::of_site),
        problem: pod
            .map(|problem| problem.message)
            .or_else(|| connector.and_then(|connector| connector.error.clone()))
            .or_else(|| sink.and_then(|sink| sink.error.clone())),
    }
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
