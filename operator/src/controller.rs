//! What is watched: SyncClusters, what they own, their pods, and what they name or what may void a cut. Only SyncClusters are kept in memory.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Api, ListParams, PartialObjectMeta};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{Controller, controller, watcher};
use kube::{Client, Resource, ResourceExt};

use crate::api::SyncCluster;
use crate::client::WATCH;
use crate::metrics::Metrics;
use crate::names::{CLUSTER_LABEL, MANAGER};
use crate::reconcile::{Context, failed, reconcile};

/// Watches until the process is told to end. `namespace` absent: all of them.
pub async fn run(context: Arc<Context>, namespace: Option<String>) {
    let client = &context.client;
    let all = watcher::Config::default().timeout(WATCH);
    let managed = all.clone().labels(&format!("app.kubernetes.io/managed-by={MANAGER}"));
    let controller = Controller::new(api::<SyncCluster>(client, namespace.as_deref()), all.clone());
    let store = controller.store();
    tokio::spawn(say_when_ready(
        api::<SyncCluster>(client, namespace.as_deref()),
        Arc::clone(&context.metrics),
    ));
    let (for_policies, for_maps) = (store.clone(), store);
    // A watcher holds a page of what it lists: metadata is all that is needed of what is not looked into.
    let controller = controller
        .owns_with(
            api::<PartialObjectMeta<Deployment>>(client, namespace.as_deref()),
            (),
            managed.clone(),
        )
        .owns_with(
            api::<PartialObjectMeta<StatefulSet>>(client, namespace.as_deref()),
            (),
            managed.clone(),
        )
        .owns_with(
            api::<PartialObjectMeta<Service>>(client, namespace.as_deref()),
            (),
            managed.clone(),
        )
        .watches(
            api::<PartialObjectMeta<Pod>>(client, namespace.as_deref()),
            managed,
            |pod| labelled(&pod),
        )
        .watches(
            api::<PartialObjectMeta<NetworkPolicy>>(client, namespace.as_deref()),
            all.clone(),
            move |policy| all_in_namespace_of(&for_policies, &policy),
        )
        .watches(
            api::<PartialObjectMeta<ConfigMap>>(client, namespace.as_deref()),
            all,
            move |map| that_use(&for_maps, &map),
        );
    let looks = controller
        .shutdown_on_signal()
        .run(reconcile, failed, Arc::clone(&context));
    looks
        .for_each(|look| {
            match look {
                // What a cluster leaves behind goes after it, and asks for it in vain.
                Err(controller::Error::ObjectNotFound(gone)) => {
                    context.forget(gone.namespace.as_deref().unwrap_or_default(), &gone.name);
                }
                Err(error) => tracing::debug!(%error, "look ended"),
                Ok(_) => {}
            }
            std::future::ready(())
        })
        .await;
}

/// Ready is who can list SyncClusters. (The store's own `wait_until_ready` wakes one waiter only, and the controller is one.)
async fn say_when_ready(clusters: Api<SyncCluster>, metrics: Arc<Metrics>) {
    while let Err(error) = clusters.list_metadata(&ListParams::default().limit(1)).await {
        tracing::warn!(%error, "cannot list SyncClusters: is the CRD installed, and may the operator list it?");
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    metrics.set_ready();
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// The cluster an object is labelled with.
fn labelled<K: ResourceExt>(object: &K) -> Option<ObjectRef<SyncCluster>> {
    let cluster = object.labels().get(CLUSTER_LABEL)?;
    Some(ObjectRef::new(cluster).within(&object.namespace()?))
}

/// A policy of anybody's may void a cut of any cluster beside it.
fn all_in_namespace_of<K: ResourceExt>(clusters: &Store<SyncCluster>, object: &K) -> Vec<ObjectRef<SyncCluster>> {
    let beside = clusters
        .state()
        .into_iter()
        .filter(|cluster| cluster.namespace() == object.namespace());
    beside.map(|cluster| ObjectRef::from_obj(cluster.as_ref())).collect()
}

/// The clusters that own a ConfigMap, or have their migrations, connector templates or definitions of tables in it.
fn that_use<K: ResourceExt>(clusters: &Store<SyncCluster>, map: &K) -> Vec<ObjectRef<SyncCluster>> {
    let uses = |cluster: &SyncCluster| {
        let migrations = cluster.spec.schema.migrations.as_ref();
        let templates = cluster.spec.connector.templates.as_ref();
        let clickhouse = cluster.spec.analytics.clickhouse.as_ref();
        let definitions = clickhouse.and_then(|clickhouse| clickhouse.tables.as_ref());
        let named = [
            migrations.map(|migrations| &migrations.config_map.name),
            templates.map(|templates| &templates.config_map.name),
            definitions.map(|definitions| &definitions.config_map.name),
        ];
        cluster.namespace() == map.namespace()
            && (named.contains(&Some(&map.name_any())) || map.labels().get(CLUSTER_LABEL) == Some(&cluster.name_any()))
    };
    let found = clusters.state().into_iter().filter(|cluster| uses(cluster));
    found.map(|cluster| ObjectRef::from_obj(cluster.as_ref())).collect()
}
