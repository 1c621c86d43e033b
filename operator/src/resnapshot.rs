//! The annotation `synccluster.dev/resnapshot`: tells the site's connector, and removes the annotation when every row was sent.
//!
//! Crash windows: the request's name is in the status before the connector is told; an operator that ends in between tells it under the same name.
//! A name that was never written is given anew, and at worst rows are sent a third time.

use kube::Client;
use synccluster_protocol::Site;
use synccluster_protocol::status::ResnapshotRequest;

use crate::api::{RESNAPSHOT_ANNOTATION, ResnapshotState, SyncClusterStatus};
use crate::names::Component;
use crate::observe::{self, Observed, pods};
use crate::removal;
use crate::validate::ValidatedCluster;

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
pub async fn act(
    client: &Client,
    cluster: &ValidatedCluster,
    observed: &Observed,
    step: Step,
) -> Result<(), removal::Error> {
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
        Step::Finish => match &cluster.resnapshot {
            Some(asked) => removal::annotation(client, cluster, RESNAPSHOT_ANNOTATION, &asked.written).await,
            None => Ok(()),
        },
    }
}
