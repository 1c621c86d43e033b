//! Somebody who sees every change of the databases' pods: of all sites, no more than one is without its database.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, pin_mut};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use synccluster_operator::names::{self, COMPONENT_LABEL, Component, SITE_LABEL};
use synccluster_protocol::Site;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::pods::is_ready;
use crate::{Cluster, PATIENCE, answered, eventually};

/// Before the API server is asked again for what comes.
const PAUSE: Duration = Duration::from_millis(200);

/// Goes on until it is stopped. What changes while the API server does not answer is told afterwards, in order.
pub struct OneAtATime {
    pods: Api<Pod>,
    selector: String,
    seen: Arc<Mutex<Databases>>,
    stop: CancellationToken,
    task: JoinHandle<Result<()>>,
}

impl OneAtATime {
    /// Begins to look, at databases that are all there.
    pub async fn start(cluster: &Cluster) -> Result<Self> {
        let pods: Api<Pod> = cluster.namespace.api();
        let component = Component::Postgres;
        let selector = format!(
            "{},{COMPONENT_LABEL}={component}",
            names::cluster_selector(&cluster.name)
        );
        let (of_them, sites) = (ListParams::default().labels(&selector), cluster.sites().await?.len());
        let (databases, version) = eventually(PATIENCE, async || {
            let listed = pods.list(&of_them).await?;
            let mut databases = Databases::default();
            for pod in &listed.items {
                databases.changed(pod)?;
            }
            let there = databases.pods.values().filter(|database| database.is_there).count();
            ensure!(there == sites, "{there} databases of {sites} are there: {databases:?}");
            let version = listed.metadata.resource_version;
            Ok((databases, version.context("a list without a version")?))
        })
        .await?;
        let (seen, stop) = (Arc::new(Mutex::new(databases)), CancellationToken::new());
        let looking = look(pods.clone(), selector.clone(), version, Arc::clone(&seen), stop.clone());
        Ok(Self {
            pods,
            selector,
            seen,
            stop,
            task: tokio::spawn(looking),
        })
    }

    /// Waits until all has been seen up to now. Returns the sites that were without their database, in the order in which they first were; an error
    /// if it was ever more than one.
    pub async fn stop(self) -> Result<Vec<Site>> {
        let of_them = ListParams::default().labels(&self.selector);
        let now = answered(|| self.pods.list(&of_them)).await?.items;
        let caught_up = eventually(PATIENCE, async || {
            if self.task.is_finished() {
                return Ok(());
            }
            let seen = locked(&self.seen);
            ensure!(seen.has(&now), "not everything has been seen: {seen:?}");
            Ok(())
        })
        .await;
        self.stop.cancel();
        self.task.await??;
        caught_up?;
        Ok(locked(&self.seen).were_away.clone())
    }
}

async fn look(
    pods: Api<Pod>,
    selector: String,
    mut version: String,
    seen: Arc<Mutex<Databases>>,
    stop: CancellationToken,
) -> Result<()> {
    let what = WatchParams::default().labels(&selector);
    while !stop.is_cancelled() {
        let changes = pods.watch(&what, &version).await;
        if let Ok(changes) = changes {
            pin_mut!(changes);
            // Until the API server ends it, as it does now and then.
            while let Some(Some(Ok(change))) = stop.run_until_cancelled(changes.next()).await {
                let mut seen = locked(&seen);
                match change {
                    WatchEvent::Added(pod) | WatchEvent::Modified(pod) => {
                        seen.changed(&pod)?;
                        version = pod.resource_version().unwrap_or(version);
                    }
                    WatchEvent::Deleted(pod) => {
                        seen.gone(&pod)?;
                        version = pod.resource_version().unwrap_or(version);
                    }
                    WatchEvent::Bookmark(mark) => version = mark.metadata.resource_version,
                    // The API server no longer knows what came since.
                    WatchEvent::Error(status) => ensure!(status.code != 410, "changes were missed: {status:?}"),
                }
            }
        }
        stop.run_until_cancelled(sleep(PAUSE)).await;
    }
    Ok(())
}

fn locked(seen: &Mutex<Databases>) -> MutexGuard<'_, Databases> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The databases, after one change of a pod and another.
#[derive(Debug, Default)]
struct Databases {
    pods: BTreeMap<Site, Database>,
    /// Which were not there, in the order in which they first were not.
    were_away: Vec<Site>,
}

/// A database from its start to its end.
#[derive(Debug)]
struct Database {
    uid: Option<String>,
    restarts: i32,
    /// From when it is first ready until it is to go. That a probe of it was late for once changes nothing: it was not taken away.
    is_there: bool,
}

impl Databases {
    fn changed(&mut self, pod: &Pod) -> Result<()> {
        let (site, uid) = (site_of(pod)?, pod.uid());
        let containers = pod
            .status
            .iter()
            .flat_map(|status| &status.container_statuses)
            .flatten();
        let restarts: i32 = containers.map(|container| container.restart_count).sum();
        let known = self
            .pods
            .get(&site)
            .filter(|known| known.uid == uid && known.restarts == restarts);
        let was_there = known.is_some_and(|known| known.is_there);
        let is_there = pod.metadata.deletion_timestamp.is_none() && (was_there || is_ready(pod));
        let database = Database {
            uid,
            restarts,
            is_there,
        };
        self.pods.insert(site, database);
        self.judge()
    }

    fn gone(&mut self, pod: &Pod) -> Result<()> {
        let (site, uid) = (site_of(pod)?, pod.uid());
        if let Some(known) = self.pods.get_mut(&site).filter(|known| known.uid == uid) {
            known.is_there = false;
        }
        self.judge()
    }

    fn judge(&mut self) -> Result<()> {
        let away = self.pods.iter().filter(|(_, database)| !database.is_there);
        let away: Vec<Site> = away.map(|(site, _)| *site).collect();
        ensure!(
            away.len() <= 1,
            "without a database at a time: {away:?}, after {:?}",
            self.were_away
        );
        if let Some(site) = away.first().filter(|site| !self.were_away.contains(*site)) {
            self.were_away.push(*site);
        }
        Ok(())
    }

    /// Whether these pods were seen, each ready.
    fn has(&self, pods: &[Pod]) -> bool {
        pods.iter().all(|pod| {
            let known = site_of(pod).ok().and_then(|site| self.pods.get(&site));
            known.is_some_and(|known| known.uid == pod.uid() && known.is_there)
        })
    }
}

fn site_of(pod: &Pod) -> Result<Site> {
    let site = pod.labels().get(SITE_LABEL);
    Ok(site
        .with_context(|| format!("{} is of no site", pod.name_any()))?
        .parse()?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(site: &str, uid: &str, restarts: i32, ready: &str) -> Pod {
        let pod = json!({
            "metadata": { "name": format!("shop-{site}-0"), "uid": uid, "labels": { SITE_LABEL: site } },
            "status": {
                "conditions": [{ "type": "Ready", "status": ready }],
                "containerStatuses": [{
                    "name": "postgres", "ready": ready == "True", "restartCount": restarts, "image": "", "imageID": "",
                }],
            },
        });
        serde_json::from_value(pod).unwrap()
    }

    fn after(changes: &[Pod]) -> Result<Databases> {
        let mut databases = Databases::default();
        for pod in changes {
            databases.changed(pod)?;
        }
        Ok(databases)
    }

    #[test]
    fn a_database_is_there_from_when_it_is_ready_until_it_is_to_go() {
        let (server, client) = (pod("server", "a", 0, "True"), pod("client-1", "b", 0, "True"));
        let late = after(&[server.clone(), client.clone(), pod("client-1", "b", 0, "False")]).unwrap();
        assert!(late.were_away.is_empty(), "a probe was late");

        let mut seen = after(&[server.clone(), client.clone()]).unwrap();
        seen.gone(&client).unwrap();
        seen.changed(&pod("client-1", "c", 0, "False")).unwrap();
        let anew = pod("client-1", "c", 0, "True");
        assert!(!seen.has(std::slice::from_ref(&anew)));
        seen.changed(&anew).unwrap();
        seen.gone(&client).unwrap();
        assert!(seen.has(&[server.clone(), anew]), "who went before is not who is there");
        seen.changed(&pod("server", "a", 1, "False")).unwrap();
        assert_eq!(seen.were_away, [Site::Client(1), Site::Server]);
    }

    #[test]
    fn two_that_are_not_there_are_one_too_many() {
        let both = [pod("server", "a", 0, "True"), pod("client-1", "b", 0, "True")];
        let anew = [pod("client-1", "c", 0, "False"), pod("server", "d", 0, "False")];
        assert!(after(&[&both[..], &anew[..1]].concat()).is_ok());
        assert!(after(&[&both[..], &anew[..]].concat()).is_err());
    }
}
