//! Step 4: server-side apply under one field manager, then removal of what is owned and no longer planned.
//!
//! A quiet cluster is not written to: what was applied is remembered by its hash and by the generation (or, for kinds without one, the
//! resource version) it got, and applied again only when either differs. The memory is lost with the process; applying again changes nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryFutureExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions,
};
use kube::core::GroupVersionKind;
use kube::{Client, ResourceExt as _};
use rand::distr::{Alphanumeric, SampleString as _};
use serde_json::json;

use crate::api::Retention;
use crate::names::{self, CLUSTER_LABEL, MANAGER};
use crate::plan::{self, Key, Kind, Object, Objects, secrets};
use crate::validate::ValidatedCluster;

/// Writes at once: enough to be quick, few enough to leave the API server to others.
const CONCURRENCY: usize = 16;
const PASSWORD_LENGTH: usize = 32;
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
}

/// What is remembered of an object that was applied.
#[derive(Clone, PartialEq, Eq)]
struct Applied {
    hash: String,
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
            if kind == Kind::StatefulSet {
                let refused = self.create_secrets(cluster, &objects.secrets).await?;
                outcome.refused.extend(refused);
            }
            let mut writes = Vec::new();
            for object in objects.apply.iter().filter(|object| object.kind == kind) {
                if self.is_due(cluster, object, &existing) {
                    writes.push(
                        self.apply_one(cluster, object, existing.contains_key(&object.key()))
                            .boxed(),
                    );
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
            version: version(object.kind, meta),
        });
        now.is_none() || self.memory().get(&(of(cluster), object.key())) != now.as_ref()
    }

    async fn apply_one(
        &self,
        cluster: &ValidatedCluster,
        object: &Object,
        ours: bool,
    ) -> Result<Option<Refused>, Error> {
        let api = self.api(object.kind, &cluster.namespace);
        let refused = |message: String| {
            Some(Refused {
                kind: object.kind.as_str(),
                name: object.name.clone(),
                message,
            })
        };
        if !ours {
            let there = api
                .get_metadata_opt(&object.name)
                .await
                .map_err(|e| failed("read", object.kind, &object.name, e))?;
            // An object made a moment ago may be missing from the list; one without the label is somebody else's.
            if there.is_some_and(|there| {
                there.labels().get(CLUSTER_LABEL).map(String::as_str) != Some(cluster.name.as_str())
            }) {
                return Ok(refused(SOMEBODY_ELSES.to_owned()));
            }
        }
        let force = PatchParams::apply(MANAGER).force();
        match api
            .patch_metadata(&object.name, &force, &Patch::Apply(&object.body))
            .await
        {
            Ok(applied) => {
                let applied = Applied {
                    hash: plan::hash(&object.body),
                    version: version(object.kind, &applied.metadata),
                };
                self.memory().insert((of(cluster), object.key()), applied);
                Ok(None)
            }
            Err(kube::Error::Api(status)) if is_final(status.code) => Ok(refused(status.message)),
            Err(source) => Err(failed("apply", object.kind, &object.name, source)),
        }
    }

    /// Creates what is missing. Whoever lost a race finds the Secret there and leaves it.
    async fn create_secrets(
        &self,
        cluster: &ValidatedCluster,
        wanted: &[secrets::Wanted],
    ) -> Result<Vec<Refused>, Error> {
        let api: Api<DynamicObject> = Api::namespaced_with(
            self.client.clone(),
            &cluster.namespace,
            &ApiResource::erase::<Secret>(&()),
        );
        let writes = wanted
            .iter()
            .map(|wanted| create_secret(&api, cluster, wanted).boxed())
            .collect();
        Ok(some_at_once(writes).await?.into_iter().flatten().collect())
    }

    async fn remove(&self, cluster: &ValidatedCluster, key: &Key, meta: &ObjectMeta) -> Result<(), Error> {
        let (kind, name) = key;
        let mut claims = Vec::new();
        if *kind == Kind::StatefulSet {
            claims = self.claims(cluster, name).await?;
            if !self.release_volumes(cluster, name, meta, &claims).await? {
                return Ok(());
            }
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
        if *kind == Kind::StatefulSet && retention(cluster, name).1 == Retention::Delete {
            for claim in claims {
                self.delete_claim(cluster, &claim).await?;
            }
        }
        Ok(())
    }

    /// The claims of a StatefulSet's pods: a client's database has one, the counter nodes one each.
    async fn claims(&self, cluster: &ValidatedCluster, set: &str) -> Result<Vec<String>, Error> {
        if set != names::counter(&cluster.name) {
            return Ok(vec![claim_of(set, 0)]);
        }
        let sets: Api<StatefulSet> = Api::namespaced(self.client.clone(), &cluster.namespace);
        let found = sets.get_opt(set).await;
        let found = found.map_err(|source| failed("read", Kind::StatefulSet, set, source))?;
        let replicas = found.and_then(|set| set.spec?.replicas).unwrap_or_default();
        Ok((0..replicas).map(|ordinal| claim_of(set, ordinal)).collect())
    }

    /// Before the StatefulSet of a client, or that of the last counter nodes, goes: whether its volumes are free to stay. With
    /// `whenDeleted: Delete` Kubernetes would take them along; with `whenScaled: Retain` it must not. A claim is free once the StatefulSet
    /// controller has taken its owner reference off.
    async fn release_volumes(
        &self,
        cluster: &ValidatedCluster,
        name: &str,
        meta: &ObjectMeta,
        volumes: &[String],
    ) -> Result<bool, Error> {
        if retention(cluster, name) != (Retention::Delete, Retention::Retain) {
            return Ok(true);
        }
        let retain = json!({ "spec": { "persistentVolumeClaimRetentionPolicy": { "whenDeleted": "Retain" } } });
        let sets = self.api(Kind::StatefulSet, &cluster.namespace);
        let manager = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        match sets.patch_metadata(name, &manager, &Patch::Merge(&retain)).await {
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(true),
            Err(source) => return Err(failed("patch", Kind::StatefulSet, name, source)),
            Ok(_) => {}
        }
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &cluster.namespace);
        let owned = |meta: &ObjectMeta, uid: &Option<String>| {
            meta.owner_references
                .iter()
                .flatten()
                .any(|owner| Some(&owner.uid) == uid.as_ref())
        };
        for volume in volumes {
            let claim = claims.get_metadata_opt(volume).await.map_err(|source| Error::Call {
                verb: "read",
                kind: "PersistentVolumeClaim",
                name: volume.clone(),
                source: Box::new(source),
            })?;
            if claim.is_some_and(|claim| owned(&claim.metadata, &meta.uid)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn delete_claim(&self, cluster: &ValidatedCluster, claim: &str) -> Result<(), Error> {
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &cluster.namespace);
        match claims.delete(claim, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(source) => Err(Error::Call {
                verb: "delete",
                kind: "PersistentVolumeClaim",
                name: claim.to_owned(),
                source: Box::new(source),
            }),
            Ok(_) => Ok(()),
        }
    }
}

async fn create_secret(
    api: &Api<DynamicObject>,
    cluster: &ValidatedCluster,
    wanted: &secrets::Wanted,
) -> Result<Option<Refused>, Error> {
    let call = |source| Error::Call {
        verb: "create",
        kind: "Secret",
        name: wanted.name.clone(),
        source: Box::new(source),
    };
    let mut random = || Alphanumeric.sample_string(&mut rand::rng(), PASSWORD_LENGTH);
    let secret = serde_json::from_value(secrets::secret(cluster, wanted, &mut random))
        .map_err(|e| call(kube::Error::SerdeError(e)))?;
    let manager = PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    };
    match api.create(&manager, &secret).await {
        Ok(_) => return Ok(None),
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        Err(source) => return Err(call(source)),
    }
    // Ours, made a moment ago; or of a SyncCluster whose name ends in a site: the gateway of `demo-client-1` and the gateway's role
    // at client-1 of `demo` want the same name.
    let ours = ListParams::default()
        .fields(&format!("metadata.name={}", wanted.name))
        .labels(&names::cluster_selector(&cluster.name));
    let found = api.list_metadata(&ours).await.map_err(call)?;
    Ok(found.items.is_empty().then(|| Refused {
        kind: "Secret",
        name: wanted.name.clone(),
        message: SOMEBODY_ELSES.to_owned(),
    }))
}

async fn some_at_once<T>(writes: Vec<BoxFuture<'_, Result<T, Error>>>) -> Result<Vec<T>, Error> {
    stream::iter(writes).buffer_unordered(CONCURRENCY).try_collect().await
}

/// The claim of a StatefulSet's pod.
fn claim_of(set: &str, ordinal: i32) -> String {
    format!("data-{set}-{ordinal}")
}

/// What becomes of a StatefulSet's volumes when the SyncCluster is deleted, and when it is scaled.
fn retention(cluster: &ValidatedCluster, set: &str) -> (Retention, Retention) {
    if set == names::counter(&cluster.name) {
        let storage = &cluster.counter.storage;
        (storage.when_deleted, storage.when_scaled)
    } else {
        let storage = &cluster.postgres.storage;
        (storage.when_deleted, storage.when_scaled)
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
