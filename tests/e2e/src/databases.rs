//! Somebody who looks at the databases all the time: of all sites, no more than one is without a database that is ready.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};
use synccluster_operator::names::{self, COMPONENT_LABEL, Component, SITE_LABEL};
use synccluster_protocol::Site;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::Cluster;
use crate::pods::is_ready;

/// A database is away for seconds when it restarts.
const PACE: Duration = Duration::from_millis(200);

impl Cluster {
    /// The sites whose database is not ready, at one moment.
    pub async fn without_database(&self) -> Result<BTreeSet<Site>> {
        let mut without: BTreeSet<Site> = self.sites().await?.into_iter().collect();
        let selector = format!(
            "{},{COMPONENT_LABEL}={}",
            names::cluster_selector(&self.name),
            Component::Postgres
        );
        let pods: Api<Pod> = self.namespace.api();
        for pod in pods.list(&ListParams::default().labels(&selector)).await? {
            if is_ready(&pod)
                && pod.metadata.deletion_timestamp.is_none()
                && let Some(site) = pod.labels().get(SITE_LABEL)
            {
                without.remove(&site.parse::<Site>()?);
            }
        }
        Ok(without)
    }
}

/// Goes on until it is stopped.
pub struct OneAtATime {
    stop: CancellationToken,
    task: JoinHandle<Result<Vec<Site>>>,
}

impl OneAtATime {
    /// Begins to look.
    pub fn start(cluster: &Cluster) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(look(cluster.clone(), stop.clone()));
        Self { stop, task }
    }

    /// The sites that were without their database, in the order in which they first were; an error if it was ever more than one.
    pub async fn stop(self) -> Result<Vec<Site>> {
        self.stop.cancel();
        self.task.await?
    }
}

async fn look(cluster: Cluster, stop: CancellationToken) -> Result<Vec<Site>> {
    let (mut seen, mut looks) = (Vec::new(), 0);
    while !stop.is_cancelled() {
        // An API server that does not answer for a moment says nothing of databases.
        let Ok(without) = cluster.without_database().await else {
            sleep(PACE).await;
            continue;
        };
        looks += 1;
        ensure!(
            without.len() <= 1,
            "without a database at a time: {without:?}, after {seen:?}"
        );
        if let Some(site) = without.first().filter(|site| !seen.contains(*site)) {
            seen.push(*site);
        }
        sleep(PACE).await;
    }
    ensure!(looks > 0, "the API server has not answered once");
    Ok(seen)
}
