//! What becomes of the volumes of a StatefulSet that is to go.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, Patch};
use serde_json::json;
use synccluster_protocol::Site;

use super::{Applier, Error, by_us, failed};
use crate::api::Retention;
use crate::names::{self, SITE_LABEL};
use crate::plan::Kind;
use crate::validate::ValidatedCluster;

impl Applier {
    /// Whether the StatefulSet may go: Kubernetes takes along the claims it owns, and leaves the others. So its policy is made what is wanted
    /// of this one, and it goes once its controller has set or taken off the owner references. Nothing is deleted before it is: after a crash
    /// the next run finds it and goes on, and a client that is wanted again meanwhile has its planned policy, and so its volume, back.
    pub(super) async fn are_volumes_settled(
        &self,
        cluster: &ValidatedCluster,
        name: &str,
        meta: &ObjectMeta,
    ) -> Result<bool, Error> {
        let Some(fate) = fate(cluster, name, meta) else {
            return Ok(true);
        };
        let policy = json!({ "spec": { "persistentVolumeClaimRetentionPolicy": { "whenDeleted": fate } } });
        let sets: Api<StatefulSet> = Api::namespaced(self.client.clone(), &cluster.namespace);
        let set = match sets.patch(name, &by_us(), &Patch::Merge(&policy)).await {
            Ok(set) => set,
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(true),
            Err(source) => return Err(failed("patch", Kind::StatefulSet, name, source)),
        };
        // Its controller may still act by the policy that was there before.
        if set.status.as_ref().and_then(|status| status.observed_generation) < set.metadata.generation {
            return Ok(false);
        }
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &cluster.namespace);
        let replicas = set.spec.and_then(|spec| spec.replicas).unwrap_or_default();
        for ordinal in 0..replicas {
            let volume = format!("data-{name}-{ordinal}");
            let found = claims.get_metadata_opt(&volume).await.map_err(|source| Error::Call {
                verb: "read",
                kind: "PersistentVolumeClaim",
                name: volume.clone(),
                source: Box::new(source),
            })?;
            if found.is_some_and(|claim| is_owned(&claim.metadata, meta) != (fate == Retention::Delete)) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What is wanted of the volumes of a StatefulSet that is planned no more while its SyncCluster stays; absent where its own policy says it.
fn fate(cluster: &ValidatedCluster, set: &str, meta: &ObjectMeta) -> Option<Retention> {
    if set == names::counter(&cluster.name) {
        return Some(cluster.counter.storage.when_scaled);
    }
    // Somebody else's took its place; nobody has asked for what it holds to go.
    if set == names::kafka(&cluster.name) {
        return Some(Retention::Retain);
    }
    match meta.labels.as_ref()?.get(SITE_LABEL)?.parse::<Site>().ok()? {
        Site::Server => Some(Retention::Retain),
        Site::Client(_) => Some(cluster.postgres.storage.when_scaled),
    }
}

fn is_owned(claim: &ObjectMeta, set: &ObjectMeta) -> bool {
    let mut owners = claim.owner_references.iter().flatten();
    owners.any(|owner| Some(&owner.uid) == set.uid.as_ref())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::fixture::valid;

    #[test]
    fn scaling_decides_of_clients_and_counter_nodes_alone() {
        let mut cluster = valid();
        cluster.postgres.storage.when_scaled = Retention::Delete;
        cluster.postgres.storage.when_deleted = Retention::Delete;
        let of = |set: &str, site: Option<&str>| {
            let labels = site.map(|site| BTreeMap::from([(SITE_LABEL.to_owned(), site.to_owned())]));
            let meta = ObjectMeta {
                labels,
                ..ObjectMeta::default()
            };
            fate(&cluster, set, &meta)
        };
        assert_eq!(of("demo-client-3", Some("client-3")), Some(Retention::Delete));
        assert_eq!(of("demo-counter", None), Some(Retention::Retain));
        assert_eq!(of("demo-server", Some("server")), Some(Retention::Retain));
        assert_eq!(of("demo-kafka", None), Some(Retention::Retain));
        for own in ["demo-clickhouse", "demo-seeder", "demo-superset", "demo-notebooks"] {
            assert_eq!(of(own, None), None, "{own}");
        }
    }
}
