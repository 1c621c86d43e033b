//! `healAfter`: the operator removes `spec.partition` when its time is over.

use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::api::{SyncCluster, SyncClusterStatus};
use crate::names::MANAGER;
use crate::validate::ValidatedCluster;

/// Why the partition could not be removed. It is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The patch could not be written.
    #[error("cannot write the patch that removes spec.partition: {0}")]
    Patch(#[from] serde_json::Error),
    /// The API server did not take it.
    #[error("cannot remove spec.partition of {name} after healAfter: {source}")]
    Call {
        /// The resource.
        name: String,
        /// The answer.
        source: Box<kube::Error>,
    },
}

/// Seconds until the partition is to be removed; 0 if it is due, absent if it lasts.
pub fn seconds_left(status: &SyncClusterStatus, now: Timestamp) -> Option<u64> {
    let heal_at = status.partition.as_ref()?.heal_at.as_ref()?;
    Some(u64::try_from(heal_at.0.as_second() - now.as_second()).unwrap_or(0))
}

/// Removes the partition, but only the one that was looked at: a spec somebody changed meanwhile has another generation, and is looked at anew.
pub async fn remove_partition(client: &Client, cluster: &ValidatedCluster) -> Result<(), Error> {
    let guarded = json!([
        { "op": "test", "path": "/metadata/uid", "value": cluster.uid },
        { "op": "test", "path": "/metadata/generation", "value": cluster.generation },
        { "op": "remove", "path": "/spec/partition" },
    ]);
    let patch: Patch<()> = Patch::Json(serde_json::from_value(guarded)?);
    let api: Api<SyncCluster> = Api::namespaced(client.clone(), &cluster.namespace);
    let manager = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    match api.patch_metadata(cluster.name.as_str(), &manager, &patch).await {
        Ok(_) => Ok(()),
        // The test failed, or the resource is gone: what is there now will be looked at.
        Err(kube::Error::Api(status)) if [404, 409, 422].contains(&status.code) => Ok(()),
        Err(source) => Err(Error::Call {
            name: cluster.name.to_string(),
            source: Box::new(source),
        }),
    }
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
