//! The annotation `synccluster.dev/resnapshot`: tells the site's connector, and removes the annotation when every row was sent.
//!
//! Crash windows: the request's name is in the status before the connector is told; an operator that ends in between tells it under the same name.
//! A name that was never written is given anew, and at worst rows are sent a third time.

use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use synccluster_protocol::Site;
use synccluster_protocol::status::ResnapshotRequest;

use crate::api::{RESNAPSHOT_ANNOTATION, ResnapshotState, SyncCluster, SyncClusterStatus};
use crate::names::{Component, MANAGER};
use crate::observe::{self, Observed, pods};
use crate::validate::ValidatedCluster;

/// Why the annotation could not be removed. It is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The patch could not be written.
    #[error("cannot write the patch that removes the annotation {RESNAPSHOT_ANNOTATION}: {0}")]
    Patch(#[from] serde_json::Error),
    /// The API server did not take it.
    #[error("cannot remove the annotation {RESNAPSHOT_ANNOTATION} of {name}: {source}")]
    Call {
        /// The resource.
        name: String,
        /// The answer.
        source: Box<kube::Error>,
    },
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: nobody asks, or it is on its way, or it cannot be.
    Nothing,
    /// The site's connector has to be told.
    Tell(Site, ResnapshotRequest),
    /// Every row was sent.
    Finish,
}

/// Decides. Pure.
pub fn step(cluster: &ValidatedCluster, observed: &Observed, status: &SyncClusterStatus) -> Step {
    let (Some(asked), Some(said)) = (&cluster.resnapshot, &status.resnapshot) else {
        return Step::Nothing;
    };
    match (&asked.what, said.state) {
        (Ok(_), ResnapshotState::Done) => Step::Finish,
        (Ok((site, table)), ResnapshotState::Waiting) if observed.connectors.contains_key(site) => {
            let table = table.as_ref().map(ToString::to_string);
            Step::Tell(
                *site,
                ResnapshotRequest {
                    id: said.id.clone(),
                    table,
                },
            )
        }
        _ => Step::Nothing,
    }
}

/// Does it.
pub async fn act(client: &Client, cluster: &ValidatedCluster, observed: &Observed, step: Step) -> Result<(), Error> {
    match step {
        Step::Nothing => Ok(()),
        Step::Tell(site, request) => {
            let pod = pods::of_site(&observed.pods, site, Component::Connector);
            if let Some(ip) = pod.and_then(|pod| pod.ip.as_deref())
                && let Err(unseen) = observe::put(ip, "/resnapshot", &request).await
            {
                tracing::warn!(%site, error = %unseen, "the connector was not told to send its rows once more; trying again");
            }
            Ok(())
        }
        Step::Finish => finish(client, cluster).await,
    }
}

/// Removes the annotation, but only the one that was looked at.
async fn finish(client: &Client, cluster: &ValidatedCluster) -> Result<(), Error> {
    let annotation = format!("/metadata/annotations/{}", RESNAPSHOT_ANNOTATION.replace('/', "~1"));
    let written = cluster.resnapshot.as_ref().map(|asked| &asked.written);
    let guarded = json!([
        { "op": "test", "path": "/metadata/uid", "value": cluster.uid },
        { "op": "test", "path": annotation, "value": written },
        { "op": "remove", "path": annotation },
    ]);
    let patch: Patch<()> = Patch::Json(serde_json::from_value(guarded)?);
    let api: Api<SyncCluster> = Api::namespaced(client.clone(), &cluster.namespace);
    let manager = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    match api.patch_metadata(cluster.name.as_str(), &manager, &patch).await {
        Ok(_) => Ok(()),
        // The test failed, or the resource is gone: what is there now will be looked at.
        Err(kube::Error::Api(status)) if [404, 409, 422].contains(&status.code) => Ok(()),
        Err(source) => Err(Error::Call {
            name: cluster.name.to_string(),
            source: Box::new(source),
        }),
    }
}
