//! Databases take turns: what [`rollout`] has to know.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};
use synccluster_protocol::Site;

use super::{Applier, Error, failed};
use crate::names::{COMPONENT_LABEL, Component, SITE_LABEL, cluster_selector};
use crate::plan::{Key, Kind, Objects};
use crate::rollout::{self, Live, Turns};
use crate::validate::ValidatedCluster;

impl Applier {
    /// Whose turn it is. Looked up only when a database is not known to be as planned: a quiet cluster is not asked.
    pub(super) async fn turns(
        &self,
        cluster: &ValidatedCluster,
        objects: &Objects,
        existing: &BTreeMap<Key, ObjectMeta>,
    ) -> Result<Turns, Error> {
        let planned: BTreeMap<_, _> = objects
            .apply
            .iter()
            .filter_map(|object| Some((rollout::database(object)?, object)))
            .collect();
        if planned.values().all(|object| !self.is_due(cluster, object, existing)) {
            return Ok(Turns::default());
        }
        // The newest version: in an older one a database that is under way would still be as it was before.
        let ours = ListParams::default().labels(&format!(
            "{},{COMPONENT_LABEL}={}",
            cluster_selector(&cluster.name),
            Component::Postgres
        ));
        let sets: Api<StatefulSet> = Api::namespaced(self.client.clone(), &cluster.namespace);
        let list = sets.list(&ours).await;
        let list = list.map_err(|source| failed("list", Kind::StatefulSet, "", source))?;
        let live = list
            .items
            .iter()
            .filter_map(|set| Some((set.labels().get(SITE_LABEL)?.parse::<Site>().ok()?, Live::from(set))))
            .collect();
        Ok(Turns::new(&planned, &live))
    }
}
