//! The Kafka where it is somebody else's: what becomes of what was made in it.

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{Api, DeleteParams, ListParams};
use kube::runtime::events::{EventType, Recorder};
use kube::{Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use synccluster_runtime::kafka::{Kafka, Security};

use super::{Error, asks_for, failed, tell};
use crate::api::{ExternalKafka, REMOVE_EXTERNAL_ANNOTATION, SyncCluster};
use crate::names::{CLUSTER_LABEL, COMPONENT_LABEL, Component};
use crate::plan::SPEAKERS;
use crate::topics::{Admin, CLIENT_ID};

/// Removes what was made where that is asked for, and says what stays; whether that is done.
pub async fn leave(
    client: &Client,
    recorder: &Recorder,
    cluster: &SyncCluster,
    external: &ExternalKafka,
) -> Result<bool, Error> {
    let made = made(cluster);
    let listed = match made.as_slice() {
        [] => "no topic that was seen".to_owned(),
        topics => topics.join(", "),
    };
    let at = &external.bootstrap_servers;
    if !asks_for(cluster, "kafka") {
        let note = format!(
            "left in Kafka at {at}: {listed}; delete them there, or delete with the annotation {REMOVE_EXTERNAL_ANNOTATION}: kafka"
        );
        tell(recorder, cluster, EventType::Normal, "ExternalLeft", note).await;
        return Ok(true);
    }
    if !stop(client, cluster).await? {
        return Ok(false);
    }
    match remove(client, cluster, external, &made).await {
        Ok(()) => {
            let note = format!("removed from Kafka at {at}: {listed}");
            tell(recorder, cluster, EventType::Normal, "ExternalRemoved", note).await;
            Ok(true)
        }
        Err(reason) => {
            let note = format!(
                "not removed from Kafka at {at}, trying again: {reason}; to leave it there, take the annotation {REMOVE_EXTERNAL_ANNOTATION} off"
            );
            tell(recorder, cluster, EventType::Warning, "ExternalNotRemoved", note).await;
            Ok(false)
        }
    }
}

/// The topics that the status lists.
fn made(cluster: &SyncCluster) -> Vec<String> {
    let external = cluster.status.as_ref().and_then(|status| status.external.as_ref());
    let kafka = external.and_then(|external| external.kafka.as_ref());
    kafka.map(|kafka| kafka.topics.clone()).unwrap_or_default()
}

/// Ends who speaks to Kafka; whether nobody does any more. What still ran would make its topics anew.
async fn stop(client: &Client, cluster: &SyncCluster) -> Result<bool, Error> {
    let speakers: Vec<&str> = SPEAKERS.iter().map(|component| component.as_str()).collect();
    let labelled = ListParams::default().labels(&format!(
        "{CLUSTER_LABEL}={},{COMPONENT_LABEL} in ({})",
        cluster.name_any(),
        speakers.join(",")
    ));
    end::<Deployment>(client, cluster, &labelled).await?;
    end::<StatefulSet>(client, cluster, &labelled).await?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), &cluster.namespace().unwrap_or_default());
    let left = pods.list_metadata(&labelled).await;
    let left = left.map_err(failed("list the pods that speak to Kafka", cluster))?;
    Ok(left.items.is_empty())
}

async fn end<K>(client: &Client, cluster: &SyncCluster, labelled: &ListParams) -> Result<(), Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let what = "end the workloads that speak to Kafka";
    let api: Api<K> = Api::namespaced(client.clone(), &cluster.namespace().unwrap_or_default());
    let there = api.list_metadata(labelled).await.map_err(failed(what, cluster))?;
    for object in there.items {
        match api.delete(&object.name_any(), &DeleteParams::background()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(source) => return Err(failed(what, cluster)(source)),
            Ok(_) => {}
        }
    }
    Ok(())
}

/// Deletes topics, and the positions of the counter nodes' groups; the reason if that cannot be done now.
async fn remove(
    client: &Client,
    cluster: &SyncCluster,
    external: &ExternalKafka,
    made: &[String],
) -> Result<(), String> {
    let security = match &external.secret {
        None => None,
        Some(name) => {
            let api: Api<Secret> = Api::namespaced(client.clone(), &cluster.namespace().unwrap_or_default());
            let secret = api.get_opt(name).await.map_err(|error| error.to_string())?;
            let secret = secret.ok_or_else(|| format!("Secret {name} does not exist: create it again"))?;
            let keys = secret.data.unwrap_or_default().into_iter();
            let security = Security::parse(&keys.map(|(key, value)| (key, value.0)).collect());
            Some(security.map_err(|error| format!("Secret {name}: {error}"))?)
        }
    };
    let kafka = Kafka::secured(&external.bootstrap_servers, security);
    kafka.check().await.map_err(|refused| refused.to_string())?;
    let config = kafka.client_config(CLIENT_ID).map_err(|error| error.to_string())?;
    let admin = Admin::new(config).map_err(|error| error.to_string())?;
    let topics: Vec<&str> = made.iter().map(String::as_str).collect();
    let name = cluster.name_any();
    let nodes = cluster.spec.counter.nodes;
    let workers = (nodes > 0).then(|| format!("{name}.windows"));
    let groups: Vec<String> = workers
        .into_iter()
        .chain((0..nodes).map(|node| format!("{name}.{}-{node}", Component::Counter)))
        .collect();
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    admin.remove(&topics, &groups).await.map_err(|error| error.to_string())
}
