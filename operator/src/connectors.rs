//! The annotations `synccluster.dev/connector-…`: tells connectors, and removes an annotation when each has done it.
//!
//! Crash windows: the request's name is in the status before a connector is told; an operator that ends in between tells it under the same name,
//! and a connector does what has one name once. A connector that ends before it has done it has forgotten it, and is told again.

use kube::Client;
use synccluster_protocol::Site;
use synccluster_protocol::status::ConnectRequest;

use crate::api::{ConnectorRequestState, SyncClusterStatus};
use crate::assess::connectors::{is_done, word};
use crate::names::Component;
use crate::observe::{self, Observed, pods};
use crate::removal;
use crate::validate::ValidatedCluster;
use crate::validate::connector::Request;

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
) -> Result<(), removal::Error> {
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
            Step::Finish(request) => {
                removal::annotation(client, cluster, request.annotation, &request.written).await?;
            }
        }
    }
    Ok(())
}
