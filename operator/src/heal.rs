//! `healAfter`: the operator removes `spec.partition` when its time is over.

use k8s_openapi::jiff::Timestamp;
use kube::{Client, Resource as _};
use serde_json::json;

use crate::api::{SyncCluster, SyncClusterStatus};
use crate::removal;

/// Seconds until the partition is to be removed; 0 if it is due, absent if it lasts.
pub fn seconds_left(status: &SyncClusterStatus, now: Timestamp) -> Option<u64> {
    let heal_at = status.partition.as_ref()?.heal_at.as_ref()?;
    Some(u64::try_from(heal_at.0.as_second() - now.as_second()).unwrap_or(0))
}

/// Removes the partition, but only the one that was looked at: a spec somebody changed meanwhile has another generation, and is looked at anew.
pub async fn remove_partition(client: &Client, cluster: &SyncCluster) -> Result<(), removal::Error> {
    let seen = json!(cluster.meta().generation.unwrap_or_default());
    removal::remove(client, cluster, "/spec/partition", "/metadata/generation", &seen).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::PartitionStatus;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    fn cut_until(heal_at: Option<i64>) -> SyncClusterStatus {
        let heal_at = heal_at.map(|second| Time(Timestamp::from_second(second).unwrap()));
        SyncClusterStatus {
            partition: Some(PartitionStatus {
                heal_at,
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn a_partition_is_removed_when_its_time_is_over_and_not_before() {
        let now = Timestamp::from_second(1000).unwrap();
        let left = |heal_at| seconds_left(&cut_until(heal_at), now);
        assert_eq!(left(Some(1030)), Some(30));
        assert_eq!(left(Some(1000)), Some(0));
        assert_eq!(left(Some(900)), Some(0));
        assert_eq!(left(None), None, "without healAfter it lasts");
        assert_eq!(
            seconds_left(&SyncClusterStatus::default(), now),
            None,
            "without a partition there is nothing to remove"
        );
    }
}
