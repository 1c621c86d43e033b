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
    assessed: SyncClusterStatus,
    written: SyncClusterStatus,
    at: Option<Timestamp>,
}

/// What was said of each cluster, by UID.
#[derive(Default)]
pub struct Statuses(Mutex<HashMap<String, Said>>);

impl Statuses {
    fn memory(&self) -> MutexGuard<'_, HashMap<String, Said>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was assessed last: from memory, or after a restart from the resource.
    pub fn previous(&self, cluster: &SyncCluster) -> SyncClusterStatus {
        let said = self.memory().get(&cluster.uid().unwrap_or_default()).map(|said| said.assessed.clone());
        said.or_else(|| cluster.status.clone()).unwrap_or_default()
    }

    /// Forgets a cluster that is gone.
    pub fn forget(&self, cluster: &SyncCluster) {
        self.memory().remove(&cluster.uid().unwrap_or_default());
    }

    /// Remembers the status, and writes it if it is worth it. Says whether it was written.
    pub async fn write(&self, client: &Client, cluster: &SyncCluster, new: SyncClusterStatus, now: Timestamp) -> Result<bool, Error> {
        let uid = cluster.uid().unwrap_or_default();
        let before = self.memory().get(&uid).cloned();
        let (written, at) = before.map_or((cluster.status.clone().unwrap_or_default(), None), |said| (said.written, said.at));
        let worth = worth_writing(&written, &new, at, now);
        if worth {
            let name = cluster.name_any();
            let api: Api<SyncCluster> = Api::namespaced(client.clone(), &cluster.namespace().unwrap_or_default());
            // Applied, so that what is no longer said goes away.
            let body = json!({
                "apiVersion": "synccluster.dev/v1alpha1", "kind": "SyncCluster",
                "metadata": { "name": name, "uid": uid }, "status": new,
            });
            let sent = api.patch_status(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&body)).await;
            match sent {
                Ok(_) => {}
                // Deleted meanwhile, or made anew under the name: nobody is left to be told.
                Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => return Ok(false),
                Err(source) => return Err(Error { name, source: Box::new(source) }),
            }
        }
        let (written, at) = if worth { (new.clone(), Some(now)) } else { (written, at) };
        self.memory().insert(uid, Said { assessed: new, written, at });
        Ok(worth)
    }
}
