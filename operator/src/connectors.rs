//! The annotations `synccluster.dev/connector-…`: tells connectors, and removes an annotation when each has done it.
//!
//! Crash windows: the request's name is in the status before a connector is told; an operator that ends in between tells it under the same name,
//! and a connector does what has one name once. A connector that ends before it has done it has forgotten it, and is told again.

use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use synccluster_protocol::Site;
use synccluster_protocol::status::ConnectRequest;

use crate::api::{ConnectorRequestState, SyncCluster, SyncClusterStatus};
use crate::assess::connectors::{is_done, word};
use crate::names::{Component, MANAGER};
use crate::observe::{self, Observed, pods};
use crate::validate::ValidatedCluster;
use crate::validate::connector::Request;

/// Why an annotation could not be removed. It is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The patch could not be written.
    #[error("cannot write the patch that removes an annotation: {0}")]
    Patch(#[from] serde_json::Error),
    /// The API server did not take it.
    #[error("cannot remove the annotation {annotation} of {name}: {source}")]
    Call {
        /// Which.
        annotation: &'static str,
        /// The resource.
        name: String,
        /// The answer.
        source: Box<kube::Error>,
    },
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A site's connector has to be told.
    Tell(Site, ConnectRequest),
    /// Every connector has done it.
    Finish(Request),
}

/// Decides. Pure.
pub fn steps(cluster: &ValidatedCluster, observed: &Observed, status: &SyncClusterStatus) -> Vec<Step> {
    let mut steps = Vec::new();
    for asked in &cluster.connector_requests {
        let mut said = status.connector_requests.iter();
        let Some(said) = said.find(|said| said.what == word(asked.what)) else {
            continue;
        };
        match (said.state, &asked.sites) {
            (ConnectorRequestState::Done, _) => steps.push(Step::Finish(asked.clone())),
            (ConnectorRequestState::Waiting, Ok(sites)) => {
                let left = sites
                    .iter()
                    .filter(|site| !is_done(observed, **site, asked.what, &said.id));
                steps.extend(left.map(|site| {
                    let request = ConnectRequest {
                        what: asked.what,
                        id: said.id.clone(),
                    };
                    Step::Tell(*site, request)
                }));
            }
            _ => {}
        }
    }
    steps
}

/// Does it.
pub async fn act(
    client: &Client,
    cluster: &ValidatedCluster,
    observed: &Observed,
    steps: Vec<Step>,
) -> Result<(), Error> {
    for step in steps {
        match step {
            Step::Tell(site, request) => {
                let pod = pods::of_site(&observed.pods, site, Component::Connector);
                if let Some(ip) = pod.and_then(|pod| pod.ip.as_deref())
                    && let Err(unseen) = observe::put(ip, "/connector", &request).await
                {
                    tracing::warn!(%site, error = %unseen, what = word(request.what), "the connector was not told; trying again");
                }
            }
            Step::Finish(request) => finish(client, cluster, &request).await?,
        }
    }
    Ok(())
}

/// Removes the annotation, but only the one that was looked at.
async fn finish(client: &Client, cluster: &ValidatedCluster, request: &Request) -> Result<(), Error> {
    let at = format!("/metadata/annotations/{}", request.annotation.replace('/', "~1"));
    let guarded = json!([
        { "op": "test", "path": "/metadata/uid", "value": cluster.uid },
        { "op": "test", "path": at, "value": request.written },
        { "op": "remove", "path": at },
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
            annotation: request.annotation,
            name: cluster.name.to_string(),
            source: Box::new(source),
        }),
    }
}
