//! Parts that are somebody else's. They are looked at, never deleted; what was made in them stays when the SyncCluster goes, unless its owner
//! asks for its removal.
//!
//! Removal is done when the SyncCluster is deleted and at no other time: while it is there, its workloads would make everything anew. So a
//! finalizer holds the resource until what was asked for is done, or what stays was said.

mod kafka;
mod postgres;
mod say;

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Client, Resource as _, ResourceExt as _};
use serde_json::json;
use synccluster_protocol::{ClusterName, Site};

pub use postgres::{ServerFact, Servers};

use crate::api::{REMOVE_EXTERNAL_ANNOTATION, SyncCluster};
use crate::names::{CLUSTER_LABEL, Component, MANAGER, SITE_LABEL, of_site};

/// What holds a SyncCluster that uses something external.
pub const FINALIZER: &str = "synccluster.dev/external";
/// While pods end, or something refuses to be removed.
const AGAIN: Duration = Duration::from_secs(2);

/// Why the API server's part could not be done. It is tried again.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} of {name}: {source}")]
pub struct Error {
    what: &'static str,
    name: String,
    source: Box<kube::Error>,
}

fn failed(what: &'static str, cluster: &SyncCluster) -> impl FnOnce(kube::Error) -> Error {
    let name = cluster.name_any();
    move |source| Error {
        what,
        name,
        source: Box::new(source),
    }
}

fn uses_external(cluster: &SyncCluster) -> bool {
    cluster.spec.server.external.is_some() || cluster.spec.kafka.external.is_some()
}

/// Holds a SyncCluster that uses something external.
pub async fn hold(client: &Client, cluster: &SyncCluster) -> Result<(), Error> {
    if !uses_external(cluster) || is_held(cluster) {
        return Ok(());
    }
    let mut finalizers = cluster.finalizers().to_vec();
    finalizers.push(FINALIZER.to_owned());
    set_finalizers(client, cluster, &finalizers).await
}

fn is_held(cluster: &SyncCluster) -> bool {
    cluster.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}

async fn set_finalizers(client: &Client, cluster: &SyncCluster, finalizers: &[String]) -> Result<(), Error> {
    // With the version: what somebody else changed meanwhile is looked at anew.
    let patch = json!({ "metadata": { "finalizers": finalizers, "resourceVersion": cluster.resource_version() } });
    let api: Api<SyncCluster> = Api::namespaced(client.clone(), &cluster.namespace().unwrap_or_default());
    let manager = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    match api
        .patch_metadata(&cluster.name_any(), &manager, &Patch::Merge(patch))
        .await
    {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => Ok(()),
        Err(source) => Err(failed("write the finalizer", cluster)(source)),
    }
}

/// Whether the annotation names a part.
fn asks_for(cluster: &SyncCluster, part: &str) -> bool {
    let written = cluster.annotations().get(REMOVE_EXTERNAL_ANNOTATION);
    written.is_some_and(|written| written.split(',').any(|word| word.trim() == part))
}

/// What a SyncCluster that is deleted does last. Returns when to come again, if it is not done.
pub async fn farewell(client: &Client, recorder: &Recorder, cluster: &SyncCluster) -> Result<Action, Error> {
    if !is_held(cluster) {
        return Ok(Action::await_change());
    }
    if let Some(external) = &cluster.spec.server.external {
        let made = cluster
            .status
            .as_ref()
            .and_then(|status| status.external.clone()?.postgres);
        let made = made.map(|there| format!("{}: {}", there.address, there.made.join(", ")));
        let made = made.unwrap_or_else(|| "nothing that was seen".to_owned());
        if asks_for(cluster, "postgres") {
            if !stop(client, cluster).await? {
                return Ok(Action::requeue(AGAIN));
            }
            if let Err(reason) = postgres::remove(client, cluster, external).await {
                let note = format!(
                    "not removed from the server's Postgres, trying again: {reason}; to leave it there, take the annotation \
                     {REMOVE_EXTERNAL_ANNOTATION} off"
                );
                tell(recorder, cluster, EventType::Warning, "ExternalNotRemoved", note).await;
                return Ok(Action::requeue(AGAIN));
            }
            let note = format!("removed from the server's Postgres at {made}");
            tell(recorder, cluster, EventType::Normal, "ExternalRemoved", note).await;
        } else {
            let note = format!(
                "left in the server's Postgres at {made}. The slot keeps WAL until its disk is full: drop it, or delete with the annotation \
                 {REMOVE_EXTERNAL_ANNOTATION}: postgres"
            );
            tell(recorder, cluster, EventType::Warning, "ExternalLeft", note).await;
        }
    }
    if let Some(external) = &cluster.spec.kafka.external
        && !kafka::leave(client, recorder, cluster, external).await?
    {
        return Ok(Action::requeue(AGAIN));
    }
    let others: Vec<String> = cluster
        .finalizers()
        .iter()
        .filter(|finalizer| *finalizer != FINALIZER)
        .cloned()
        .collect();
    set_finalizers(client, cluster, &others).await?;
    Ok(Action::await_change())
}

/// Ends what uses the server's Postgres; whether nothing does any more. What starts after the removal would make it anew.
async fn stop(client: &Client, cluster: &SyncCluster) -> Result<bool, Error> {
    let namespace = cluster.namespace().unwrap_or_default();
    let Ok(name) = cluster.name_any().parse::<ClusterName>() else {
        return Ok(true);
    };
    let deployments: Api<k8s_openapi::api::apps::v1::Deployment> = Api::namespaced(client.clone(), &namespace);
    for component in [Component::Connector, Component::Sink] {
        let deployment = of_site(&name, Site::Server, component.as_str());
        match deployments.delete(&deployment, &DeleteParams::background()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(source) => return Err(failed("end the workloads of the server", cluster)(source)),
            Ok(_) => {}
        }
    }
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let of_server = ListParams::default().labels(&format!("{CLUSTER_LABEL}={name},{SITE_LABEL}={}", Site::Server));
    let left = pods.list_metadata(&of_server).await;
    let left = left.map_err(failed("list the pods of the server", cluster))?;
    Ok(left.items.is_empty())
}

async fn tell(recorder: &Recorder, cluster: &SyncCluster, type_: EventType, reason: &str, note: String) {
    let event = Event {
        type_,
        reason: reason.to_owned(),
        // The API server takes 1024 characters.
        note: Some(note.chars().take(1000).collect()),
        action: "Delete".to_owned(),
        secondary: None,
    };
    if let Err(error) = recorder.publish(&event, &cluster.object_ref(&())).await {
        tracing::warn!(reason, %error, "event not published");
    }
}
