//! What a cluster looked like when a test failed.

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt as _;
use kube::api::{ListParams, LogParams};
use synccluster_operator::api::SyncCluster;

use crate::Namespace;

const LOG_LINES: i64 = 25;
const EVENTS: usize = 40;

/// Prints status, pods, events and logs. What cannot be read is said and passed over: the failure of the test is the news.
pub async fn dump(namespace: &Namespace, why: &str) {
    eprintln!("=== {}: {why}", namespace.name);
    let all = ListParams::default();
    match namespace.api::<SyncCluster>().list(&all).await {
        Ok(clusters) => {
            for cluster in clusters {
                let shown = serde_json::json!({ "spec": cluster.spec, "status": cluster.status, "generation": cluster.metadata.generation });
                eprintln!("--- SyncCluster {}\n{shown:#}", cluster.name_any());
            }
        }
        Err(error) => eprintln!("--- SyncClusters: {error}"),
    }
    events(namespace).await;
    pods(namespace, &all).await;
    eprintln!("=== end of {}", namespace.name);
}

/// Prints some pods alone, with their logs.
pub async fn pods(namespace: &Namespace, which: &ListParams) {
    match namespace.api::<Pod>().list(which).await {
        Ok(pods) => {
            for pod in pods {
                self::pod(namespace, &pod).await;
            }
        }
        Err(error) => eprintln!("--- pods: {error}"),
    }
}

async fn events(namespace: &Namespace) {
    let mut events = match namespace.api::<Event>().list(&ListParams::default()).await {
        Ok(events) => events.items,
        Err(error) => return eprintln!("--- events: {error}"),
    };
    events.sort_by_key(|event| event.metadata.creation_timestamp.clone());
    eprintln!("--- the last events");
    for event in events.iter().rev().take(EVENTS).rev() {
        let (kind, name) = (
            event.involved_object.kind.as_deref(),
            event.involved_object.name.as_deref(),
        );
        eprintln!(
            "{} {}/{} {}: {}",
            event
                .metadata
                .creation_timestamp
                .as_ref()
                .map(|time| time.0.to_string())
                .unwrap_or_default(),
            kind.unwrap_or("?"),
            name.unwrap_or("?"),
            event.reason.as_deref().unwrap_or_default(),
            event.message.as_deref().unwrap_or_default()
        );
    }
}

async fn pod(namespace: &Namespace, pod: &Pod) {
    let status = pod.status.clone().unwrap_or_default();
    eprintln!("--- pod {} {}", pod.name_any(), status.phase.unwrap_or_default());
    let containers = status
        .init_container_statuses
        .into_iter()
        .flatten()
        .chain(status.container_statuses.into_iter().flatten());
    for container in containers {
        let state = serde_json::to_string(&container.state).unwrap_or_default();
        eprintln!(
            "{}: ready {}, {} restarts, {state}",
            container.name, container.ready, container.restart_count
        );
        for previous in [true, false] {
            if previous && container.restart_count == 0 {
                continue;
            }
            let params = LogParams {
                container: Some(container.name.clone()),
                tail_lines: Some(LOG_LINES),
                previous,
                ..LogParams::default()
            };
            match namespace.api::<Pod>().logs(&pod.name_any(), &params).await {
                Ok(log) => eprintln!("{}", log.trim_end()),
                Err(error) => eprintln!("no log: {error}"),
            }
        }
    }
}
