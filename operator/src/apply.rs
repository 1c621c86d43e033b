//! Step 4: server-side apply under one field manager, then removal of what is owned and no longer planned.
//!
//! A quiet cluster is not written to: what was applied is remembered by its hash and by the generation (or, for kinds without one, the
//! resource version) it got, and applied again only when either differs. The memory is lost with the process; applying again changes nothing.

mod databases;
mod passwords;
mod taken;
mod volumes;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryFutureExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, Preconditions};
use kube::core::GroupVersionKind;
use kube::{Client, ResourceExt as _};

use crate::names::{self, MANAGER};
use crate::plan::{self, Key, Kind, Object, Objects};
use crate::rollout::{self, Rollout, Turn, Turns};
use crate::validate::ValidatedCluster;
use taken::{Holder, take_back};

/// Writes at once: enough to be quick, few enough to leave the API server to others.
const CONCURRENCY: usize = 16;
const SOMEBODY_ELSES: &str =
    "an object of this name exists and is not this SyncCluster's: delete it, or name the SyncCluster differently";

/// Why the step cannot be finished now. What was applied stays applied; the next run goes on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server did not answer, or cannot take it at the moment.
    #[error("cannot {verb} {kind} {name}: {source}")]
    Call {
        /// What was tried.
        verb: &'static str,
        /// On what kind.
        kind: &'static str,
        /// On which object; empty for all of them.
        name: String,
        /// The answer.
        source: Box<kube::Error>,
    },
}

/// An object that Kubernetes will refuse again if it is tried again: somebody has to do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its kind.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Why.
    pub message: String,
}

/// What became of the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What Kubernetes refused.
    pub refused: Vec<Refused>,
    /// Whether something had to be written; the pods may not show it yet.
    pub changed: bool,
    /// Databases whose turn it is to change, and those that wait for it.
    pub rollout: Option<Rollout>,
}

/// What is remembered of an object that was applied.
#[derive(Clone, PartialEq, Eq)]
struct Applied {
    hash: String,
    /// One that was made anew under the name is another, whatever its version.
    uid: Option<String>,
    version: Option<String>,
}

/// Namespace and name of a SyncCluster.
type ClusterKey = (String, String);

fn of(cluster: &ValidatedCluster) -> ClusterKey {
    (cluster.namespace.clone(), cluster.name.to_string())
}

/// Applies plans and remembers them.
pub struct Applier {
    client: Client,
    applied: Mutex<HashMap<(ClusterKey, Key), Applied>>,
}

impl Applier {
    /// With an empty memory.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            applied: Mutex::default(),
        }
    }

    /// Makes what exists what is planned.
    pub async fn apply(&self, cluster: &ValidatedCluster, objects: &Objects) -> Result<Outcome, Error> {
        let mut outcome = Outcome::default();
        let existing = self.existing(cluster).await?;
        for kind in Kind::ALL {
            let mut turns = Turns::default();
            if kind == Kind::StatefulSet {
                let refused = self.create_secrets(cluster, &objects.secrets).await?;
                outcome.refused.extend(refused);
                turns = self.turns(cluster, objects, &existing).await?;
                outcome.rollout = turns.rollout();
            }
            let planned = objects.apply.iter().filter(|object| object.kind == kind);
            let written: Vec<(Cow<'_, Object>, Turn)> = planned
                .map(|object| {
                    let turn = turns.of(object);
                    (rollout::written(object, turn), turn)
                })
                .collect();
            let mut writes = Vec::new();
            for (object, turn) in &written {
                if self.is_due(cluster, object, &existing) {
                    writes.push(self.apply_one(cluster, object, *turn, &existing).boxed());
                }
            }
            for (key, meta) in existing.iter().filter(|(key, _)| key.0 == kind) {
                if is_surplus(cluster, objects, key, meta) {
                    writes.push(self.remove(cluster, key, meta).map_ok(|()| None).boxed());
                }
            }
            outcome.changed |= !writes.is_empty();
            outcome
                .refused
                .extend(some_at_once(writes).await?.into_iter().flatten());
        }
        Ok(outcome)
    }

    /// Forgets a cluster that is gone.
    pub fn forget(&self, namespace: &str, cluster: &str) {
        self.memory()
            .retain(|(of, _), _| (of.0.as_str(), of.1.as_str()) != (namespace, cluster));
    }

    fn memory(&self) -> MutexGuard<'_, HashMap<(ClusterKey, Key), Applied>> {
        // The memory holds nothing that a panic elsewhere could leave half done.
        self.applied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn api(&self, kind: Kind, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &resource(kind))
    }

    /// Everything that carries the cluster's label, without its content.
    async fn existing(&self, cluster: &ValidatedCluster) -> Result<BTreeMap<Key, ObjectMeta>, Error> {
        // A version from the API server's cache will do: at worst something is applied that is there, or deleted that is gone.
        let labelled = ListParams::default()
            .labels(&names::cluster_selector(&cluster.name))
            .match_any();
        let lists = Kind::ALL.map(|kind| {
            let (api, labelled) = (self.api(kind, &cluster.namespace), labelled.clone());
            async move {
                let items = match api.list_metadata(&labelled).await {
                    Ok(list) => list.items,
                    // A cluster without the Gateway API has none.
                    Err(kube::Error::Api(status)) if kind == Kind::HttpRoute && status.code == 404 => Vec::new(),
                    Err(source) => return Err(failed("list", kind, "", source)),
                };
                Ok::<_, Error>(
                    items
                        .into_iter()
                        .map(move |item| ((kind, item.name_any()), item.metadata))
                        .collect::<Vec<_>>(),
                )
            }
        });
        Ok(futures::future::try_join_all(lists)
            .await?
            .into_iter()
            .flatten()
            .collect())
    }

    fn is_due(&self, cluster: &ValidatedCluster, object: &Object, existing: &BTreeMap<Key, ObjectMeta>) -> bool {
        let now = existing.get(&object.key()).map(|meta| Applied {
            hash: plan::hash(&object.body),
            uid: meta.uid.clone(),
            version: version(object.kind, meta),
        });
        now.is_none() || self.memory().get(&(of(cluster), object.key())) != now.as_ref()
    }

    async fn apply_one(
        &self,
        cluster: &ValidatedCluster,
        object: &Object,
        turn: Turn,
        existing: &BTreeMap<Key, ObjectMeta>,
    ) -> Result<Option<Refused>, Error> {
        let api = self.api(object.kind, &cluster.namespace);
        let refused = |message: String| {
            Some(Refused {
                kind: object.kind.as_str(),
                name: object.name.clone(),
                message,
            })
        };
        if !existing.contains_key(&object.key()) {
            match self.holder(cluster, object, existing).await? {
                Holder::Nobody => {}
                Holder::Lost(there) => {
                    let (kind, name) = (object.kind, object.name.as_str());
                    let taken = take_back(&api, cluster, (kind.as_str(), name), &object.body, &there).await;
                    return taken
                        .map(|()| None)
                        .map_err(|source| failed("take back", kind, name, source));
                }
                Holder::Another => return Ok(refused(SOMEBODY_ELSES.to_owned())),
            }
        }
        let (params, patch) = match turn {
            // What is left out stays as it is.
            Turn::Waits => (by_us(), Patch::Merge(&object.body)),
            Turn::Free | Turn::UnderWay => (PatchParams::apply(MANAGER).force(), Patch::Apply(&object.body)),
        };
        match api.patch_metadata(&object.name, &params, &patch).await {
            Ok(applied) => {
                let applied = Applied {
                    hash: plan::hash(&object.body),
                    uid: applied.metadata.uid.clone(),
                    version: version(object.kind, &applied.metadata),
                };
                self.memory().insert((of(cluster), object.key()), applied);
                Ok(None)
            }
            Err(kube::Error::Api(status)) if is_final(status.code) => Ok(refused(status.message)),
            Err(source) => Err(failed("apply", object.kind, &object.name, source)),
        }
    }

    async fn remove(&self, cluster: &ValidatedCluster, key: &Key, meta: &ObjectMeta) -> Result<(), Error> {
        let (kind, name) = key;
        if *kind == Kind::StatefulSet && !self.are_volumes_settled(cluster, name, meta).await? {
            return Ok(());
        }
        // The UID: what was made anew under the name since it was listed must not go.
        let this = Preconditions {
            uid: meta.uid.clone(),
            resource_version: None,
        };
        let api = self.api(*kind, &cluster.namespace);
        match api.delete(name, &DeleteParams::background().preconditions(this)).await {
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
            Err(source) => return Err(failed("delete", *kind, name, source)),
            Ok(_) => {}
        }
        self.memory().remove(&(of(cluster), key.clone()));
        Ok(())
    }
}

async fn some_at_once<T>(writes: Vec<BoxFuture<'_, Result<T, Error>>>) -> Result<Vec<T>, Error> {
    stream::iter(writes).buffer_unordered(CONCURRENCY).try_collect().await
}

/// For patches that are no server-side apply.
fn by_us() -> PatchParams {
    PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

fn failed(verb: &'static str, kind: Kind, name: &str, source: kube::Error) -> Error {
    Error::Call {
        verb,
        kind: kind.as_str(),
        name: name.to_owned(),
        source: Box::new(source),
    }
}

/// Whether trying again unchanged is pointless. Not found is not: the namespace or the CRD may come back.
fn is_final(code: u16) -> bool {
    (400..500).contains(&code) && ![401, 404, 408, 409, 429].contains(&code)
}

/// What changes when an object's content does, and not when only its status does. A Lease is renewed all the time; what is applied of it is
/// that it exists.
fn version(kind: Kind, meta: &ObjectMeta) -> Option<String> {
    if kind == Kind::Lease {
        return None;
    }
    meta.generation
        .map(|generation| generation.to_string())
        .or_else(|| meta.resource_version.clone())
}

fn is_surplus(cluster: &ValidatedCluster, objects: &Objects, key: &Key, meta: &ObjectMeta) -> bool {
    let ours = meta
        .owner_references
        .iter()
        .flatten()
        .any(|owner| owner.uid == cluster.uid);
    ours && meta.deletion_timestamp.is_none()
        && !objects.keep.contains(key)
        && !objects.apply.iter().any(|o| (o.kind, &o.name) == (key.0, &key.1))
}

/// How the API server knows a kind.
fn resource(kind: Kind) -> ApiResource {
    match kind {
        Kind::NetworkPolicy => ApiResource::erase::<NetworkPolicy>(&()),
        Kind::ConfigMap => ApiResource::erase::<ConfigMap>(&()),
        Kind::Service => ApiResource::erase::<Service>(&()),
        Kind::StatefulSet => ApiResource::erase::<StatefulSet>(&()),
        Kind::Deployment => ApiResource::erase::<Deployment>(&()),
        Kind::ServiceAccount => ApiResource::erase::<ServiceAccount>(&()),
        Kind::Role => ApiResource::erase::<Role>(&()),
        Kind::RoleBinding => ApiResource::erase::<RoleBinding>(&()),
        Kind::Lease => ApiResource::erase::<Lease>(&()),
        Kind::Ingress => ApiResource::erase::<Ingress>(&()),
        Kind::HttpRoute => http_routes(),
    }
}

/// How the API server knows HTTPRoutes, whose types are not Kubernetes' own.
pub fn http_routes() -> ApiResource {
    let route = GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", Kind::HttpRoute.as_str());
    ApiResource::from_gvk_with_plural(&route, "httproutes")
}
