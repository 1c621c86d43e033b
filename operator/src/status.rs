//! Step 7: writes the status where it is worth it, and remembers what was said.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::json;

use crate::api::{SyncCluster, SyncClusterStatus};
use crate::assess::worth_writing;
use crate::names::MANAGER;

/// Why the status could not be written. It is measured anew and tried again.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the status of {name}: {source}")]
pub struct Error {
    name: String,
    source: Box<kube::Error>,
}

/// What was said of one cluster. What was assessed and not worth writing counts too: "since" is about what happened, not about what was written.
#[derive(Clone)]
struct Said {
    uid: String,
    assessed: SyncClusterStatus,
    written: SyncClusterStatus,
    at: Option<Timestamp>,
}

/// Namespace and name of a SyncCluster.
type ClusterKey = (String, String);

fn key(cluster: &SyncCluster) -> ClusterKey {
    (cluster.namespace().unwrap_or_default(), cluster.name_any())
}

/// What was said of each cluster.
#[derive(Default)]
pub struct Statuses(Mutex<HashMap<ClusterKey, Said>>);

impl Statuses {
    fn memory(&self) -> MutexGuard<'_, HashMap<ClusterKey, Said>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was assessed last: from memory, or after a restart from the resource.
    pub fn previous(&self, cluster: &SyncCluster) -> SyncClusterStatus {
        self.said(cluster)
            .map(|said| said.assessed)
            .or_else(|| cluster.status.clone())
            .unwrap_or_default()
    }

    /// What was said of this cluster, not of one before it that had the name.
    fn said(&self, cluster: &SyncCluster) -> Option<Said> {
        self.memory()
            .get(&key(cluster))
            .filter(|said| cluster.uid().as_ref() == Some(&said.uid))
            .cloned()
    }

    /// Forgets a cluster that is gone.
    pub fn forget(&self, namespace: &str, name: &str) {
        self.memory().remove(&(namespace.to_owned(), name.to_owned()));
    }

    /// Remembers the status, and writes it if it is worth it. Says whether it was written.
    pub async fn write(
        &self,
        client: &Client,
        cluster: &SyncCluster,
        new: SyncClusterStatus,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let uid = cluster.uid().unwrap_or_default();
        let before = self.said(cluster);
        let (written, at) = before.map_or((cluster.status.clone().unwrap_or_default(), None), |said| {
            (said.written, said.at)
        });
        let worth = worth_writing(&written, &new, at, now);
        if worth {
            let name = cluster.name_any();
            let api: Api<SyncCluster> = Api::namespaced(client.clone(), &cluster.namespace().unwrap_or_default());
            // Applied, so that what is no longer said goes away.
            let body = json!({
                "apiVersion": "synccluster.dev/v1alpha1", "kind": "SyncCluster",
                "metadata": { "name": name, "uid": uid }, "status": new,
            });
            let sent = api
                .patch_status(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&body))
                .await;
            match sent {
                Ok(_) => {}
                // Deleted meanwhile, or made anew under the name: nobody is left to be told.
                Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => return Ok(false),
                Err(source) => {
                    return Err(Error {
                        name,
                        source: Box::new(source),
                    });
                }
            }
        }
        let (written, at) = if worth { (new.clone(), Some(now)) } else { (written, at) };
        self.memory().insert(
            key(cluster),
            Said {
                uid,
                assessed: new,
                written,
                at,
            },
        );
        Ok(worth)
    }
}
