//! What was made in parts that are somebody else's.

use crate::api::{ExternalKafkaStatus, ExternalStatus, SyncClusterStatus};
use crate::observe::Observed;
use crate::validate::ValidatedCluster;

/// What is there, as it was seen last: an external part that cannot be reached still holds it.
pub fn status(cluster: &ValidatedCluster, observed: &Observed, previous: &SyncClusterStatus) -> Option<ExternalStatus> {
    let before = previous.external.clone().unwrap_or_default();
    let seen = observed.server.as_ref().and_then(|server| server.holds.clone());
    let status = ExternalStatus {
        postgres: cluster.server.as_ref().and(seen.or(before.postgres)),
        kafka: kafka(cluster, observed, before.kafka),
    };
    (cluster.server.is_some() || cluster.kafka.external.is_some()).then_some(status)
}

fn kafka(
    cluster: &ValidatedCluster,
    observed: &Observed,
    before: Option<ExternalKafkaStatus>,
) -> Option<ExternalKafkaStatus> {
    let external = cluster.kafka.external.as_ref()?;
    if observed.unseen_topics.is_some() {
        return before;
    }
    Some(ExternalKafkaStatus {
        address: external.bootstrap_servers.clone(),
        topics: observed.made_topics.clone(),
    })
}
