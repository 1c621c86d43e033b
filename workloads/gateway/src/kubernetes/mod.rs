//! The SyncCluster and its pods, as Kubernetes knows them. One task watches the resource; what is derived from it is read by many.

pub mod cluster;
pub mod logs;
pub mod partition;
pub mod pods;
pub mod resource;
pub mod site;

use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;
use futures::StreamExt;
use kube::{
    Api, Client,
    runtime::{WatchStreamExt, watcher},
};
use synccluster_protocol::ClusterName;
use tokio::{sync::watch, time};
use tokio_util::sync::CancellationToken;

use self::{cluster::Cluster, resource::SyncCluster};
use crate::problem::Problem;

/// How long the API server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is known of the resource.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// Nothing yet, and why.
    Nothing(String),
    /// There is none.
    Absent,
    /// It.
    Cluster(Arc<Cluster>),
}

/// The way to Kubernetes.
#[derive(Clone)]
pub struct Kubernetes {
    client: Client,
    namespace: String,
    cluster: ClusterName,
    seen: watch::Receiver<Seen>,
}

impl Kubernetes {
    /// Starts to watch the SyncCluster of this name.
    pub fn start(client: Client, namespace: String, cluster: ClusterName, stop: CancellationToken) -> Self {
        let (sender, seen) = watch::channel(Seen::Nothing("it was asked just now".to_owned()));
        let kubernetes = Self {
            client,
            namespace,
            cluster,
            seen,
        };
        let watching = follow(kubernetes.resources(), kubernetes.cluster.clone(), sender);
        tokio::spawn(async move { stop.run_until_cancelled_owned(watching).await });
        kubernetes
    }

    /// What is known of the resource, now and whenever it changes.
    pub fn seen(&self) -> watch::Receiver<Seen> {
        self.seen.clone()
    }

    /// What is known of the resource now; 503 while nothing is, 404 if there is none.
    pub fn cluster(&self) -> Result<Arc<Cluster>, Problem> {
        match &*self.seen.borrow() {
            Seen::Cluster(cluster) => Ok(Arc::clone(cluster)),
            Seen::Absent => {
                let detail = format!(
                    "there is no SyncCluster {} in namespace {}",
                    self.cluster, self.namespace
                );
                Err(Problem::not_found("no-cluster", "No SyncCluster", detail))
            }
            Seen::Nothing(why) => {
                let detail = format!("the SyncCluster {} is not known yet: {why}", self.cluster);
                Err(Problem::unavailable(
                    "kubernetes-unavailable",
                    "Kubernetes unavailable",
                    detail,
                ))
            }
        }
    }

    fn resources(&self) -> Api<SyncCluster> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource::api_resource())
    }
}

/// Watches as long as the process lasts; a watch that fails begins again.
async fn follow(api: Api<SyncCluster>, cluster: ClusterName, sender: watch::Sender<Seen>) {
    let only = watcher::Config::default().fields(&format!("metadata.name={cluster}"));
    let mut events = std::pin::pin!(watcher(api, only).default_backoff());
    let mut listed = None;
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => listed = None,
            Ok(watcher::Event::InitApply(resource)) => listed = Some(resource),
            Ok(watcher::Event::InitDone) => publish(&sender, listed.take().as_ref()),
            Ok(watcher::Event::Apply(resource)) => publish(&sender, Some(&resource)),
            Ok(watcher::Event::Delete(_)) => publish(&sender, None),
            Err(error) => {
                tracing::warn!(%error, "cannot watch the SyncCluster; trying again");
                // What was known stays: the operator's statements have times of their own.
                sender.send_if_modified(|seen| {
                    let nothing = matches!(seen, Seen::Nothing(_));
                    if nothing {
                        *seen = Seen::Nothing(error.to_string());
                    }
                    nothing
                });
            }
        }
    }
}

fn publish(sender: &watch::Sender<Seen>, resource: Option<&SyncCluster>) {
    let next = resource.map_or(Seen::Absent, |resource| Seen::Cluster(Arc::new(Cluster::of(resource))));
    sender.send_if_modified(|seen| {
        let changed = *seen != next;
        *seen = next;
        changed
    });
}

/// What the API server answers, or the problem it makes.
async fn within<T>(call: impl Future<Output = kube::Result<T>>, failed: &str) -> Result<T, Problem> {
    match time::timeout(PATIENCE, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(problem(&error, failed)),
        Err(_) => {
            let detail = format!("{failed}: no answer from Kubernetes within {} s", PATIENCE.as_secs());
            Err(Problem::unavailable(
                "kubernetes-unavailable",
                "Kubernetes unavailable",
                detail,
            ))
        }
    }
}

fn problem(error: &kube::Error, failed: &str) -> Problem {
    let kube::Error::Api(status) = error else {
        let detail = format!("{failed}: {error}");
        return Problem::unavailable("kubernetes-unavailable", "Kubernetes unavailable", detail);
    };
    let detail = format!("{failed}: {}", status.message);
    match status.code {
        404 => Problem::not_found("not-in-cluster", "Not in the cluster", detail),
        403 => Problem::forbidden("refused", "Refused by Kubernetes", detail),
        400 | 422 => Problem::unprocessable("refused", "Refused by Kubernetes", detail),
        409 => Problem::new(StatusCode::CONFLICT, "refused", "Refused by Kubernetes", detail),
        _ => Problem::unavailable("kubernetes-unavailable", "Kubernetes unavailable", detail),
    }
}

/// 501: the process does not run in Kubernetes.
pub fn absent() -> Problem {
    Problem::new(
        StatusCode::NOT_IMPLEMENTED,
        "not-in-kubernetes",
        "Not in Kubernetes",
        "this gateway was started without SYNC_NAMESPACE, so it knows no SyncCluster and no pods",
    )
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn what_kubernetes_refuses_is_told_in_its_words() {
        let of = |code: u16, message: &str| {
            let status = Status {
                code,
                message: message.to_owned(),
                ..Status::default()
            };
            problem(&kube::Error::Api(status.boxed()), "spec.partition cannot be set")
        };
        let refused = of(422, "partition cuts nobody");
        assert_eq!(
            (refused.status, refused.kind.as_str()),
            (422, "urn:synccluster:problem:refused")
        );
        assert_eq!(refused.detail, "spec.partition cannot be set: partition cuts nobody");
        let statuses = [(404, 404), (403, 403), (409, 409), (400, 422), (500, 503), (429, 503)];
        for (code, expected) in statuses {
            assert_eq!(of(code, "").status, expected, "{code}");
        }
    }
}
