//! Who has the name of an object that is planned and was not found by its label.

use std::collections::BTreeMap;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DynamicObject, Patch};
use serde_json::Value;

use super::{Applier, Error, by_us, failed, of};
use crate::names;
use crate::plan::{Key, Kind, Object};
use crate::validate::ValidatedCluster;
use crate::whose;

/// Who has it.
pub(super) enum Holder {
    /// Nobody, or this SyncCluster, for one that was made a moment ago may be missing from the list.
    Nobody,
    /// This SyncCluster, as is known though the object does not say it: it is taken back before anything else of it is changed.
    Lost(Box<ObjectMeta>),
    /// Somebody else.
    Another,
}

impl Applier {
    /// Who has the name of an object that is not in `existing`, the list by label.
    pub(super) async fn holder(
        &self,
        cluster: &ValidatedCluster,
        object: &Object,
        existing: &BTreeMap<Key, ObjectMeta>,
    ) -> Result<Holder, Error> {
        let api = self.api(object.kind, &cluster.namespace);
        let found = api.get_metadata_opt(&object.name).await;
        let found = found.map_err(|source| failed("read", object.kind, &object.name, source))?;
        let Some(there) = found.map(|found| found.metadata) else {
            return Ok(Holder::Nobody);
        };
        if whose::is_labelled(cluster, &there) {
            return Ok(Holder::Nobody);
        }
        let applied = self.memory().get(&(of(cluster), object.key())).cloned();
        let known = applied.and_then(|applied| applied.uid);
        let is_ours = whose::is_ours(cluster, &there, known.as_deref())
            || (object.kind == Kind::Lease
                && whose::is_unclaimed(&there)
                && self.is_held_by_a_node(cluster, &object.name, existing).await?);
        Ok(if is_ours {
            Holder::Lost(Box::new(there))
        } else {
            Holder::Another
        })
    }

    /// Whether a pod of the counter nodes, which this SyncCluster controls, holds this Lease. Nodes of earlier versions wrote it over as a whole, and
    /// then who holds it is all that it says.
    async fn is_held_by_a_node(
        &self,
        cluster: &ValidatedCluster,
        name: &str,
        existing: &BTreeMap<Key, ObjectMeta>,
    ) -> Result<bool, Error> {
        let nodes = existing.get(&(Kind::StatefulSet, names::counter(&cluster.name)));
        if nodes.is_none_or(|nodes| !whose::is_controlled(cluster, nodes)) {
            return Ok(false);
        }
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), &cluster.namespace);
        let lease = leases.get_opt(name).await;
        let lease = lease.map_err(|source| failed("read", Kind::Lease, name, source))?;
        let holder = lease.and_then(|lease| lease.spec?.holder_identity);
        Ok(holder.is_some_and(|holder| is_pod_of(name, &holder)))
    }
}

/// Gives an object of this kind and name its labels back, which was planned so and is there so; the next look finds it.
pub(super) async fn take_back(
    api: &Api<DynamicObject>,
    cluster: &ValidatedCluster,
    (kind, name): (&'static str, &str),
    planned: &Value,
    there: &ObjectMeta,
) -> Result<(), kube::Error> {
    let back = Patch::Merge(whose::taken_back(planned, there));
    match api.patch_metadata(name, &by_us(), &back).await {
        // It has changed since it was looked at.
        Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => Ok(()),
        Err(source) => Err(source),
        Ok(_) => {
            let namespace = &cluster.namespace;
            tracing::warn!(namespace, cluster = %cluster.name, kind, name, "taken back: it had lost its label");
            Ok(())
        }
    }
}

/// Whether this is the name of a pod of this StatefulSet: nobody else's can have it while that is there.
fn is_pod_of(stateful_set: &str, pod: &str) -> bool {
    let ordinal = pod
        .strip_prefix(stateful_set)
        .and_then(|rest| rest.strip_prefix('-'))
        .and_then(|ordinal| ordinal.parse::<u16>().ok());
    ordinal.is_some_and(|ordinal| pod == format!("{stateful_set}-{ordinal}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_the_counter_nodes_when_one_of_their_pods_holds_it() {
        assert!(is_pod_of("demo-counter", "demo-counter-0"));
        assert!(is_pod_of("demo-counter", "demo-counter-31"));
        for another in [
            "",
            "demo-counter",
            "demo-counter-",
            "demo-counter-00",
            "demo-counter-+1",
            "demo-counter-5d8f-x2x",
            "demo-2-counter-0",
        ] {
            assert!(!is_pod_of("demo-counter", another), "{another}");
        }
    }
}
