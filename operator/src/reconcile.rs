//! One look at one SyncCluster: dereference → validate → plan → apply → observe → assess → status.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::runtime::controller::Action;
use kube::runtime::events::{Recorder, Reporter};
use kube::{Client, Resource as _, ResourceExt as _};

use crate::api::{SyncCluster, SyncClusterStatus};
use crate::apply::{self, Applier};
use crate::assess::{self, is};
use crate::metrics::Metrics;
use crate::names::OPERATOR;
use crate::plan::plan;
use crate::status::{self, Statuses};
use crate::validate::{Settings, ValidatedCluster, validate};
use crate::{connectors, dereference, events, external, heal, observe, removal, resnapshot, topics};

/// While something is on its way.
const UNSETTLED: Duration = Duration::from_secs(1);
/// While somebody has to act.
const STALLED: Duration = Duration::from_secs(3);
/// After an error.
const FAILED: Duration = Duration::from_secs(3);

/// The step that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Step 1.
    #[error(transparent)]
    Dereference(#[from] dereference::Error),
    /// Step 4.
    #[error(transparent)]
    Apply(#[from] apply::Error),
    /// Step 5.
    #[error(transparent)]
    Observe(#[from] observe::Error),
    /// Step 7.
    #[error(transparent)]
    Status(#[from] status::Error),
    /// What is done with: a partition, an annotation.
    #[error(transparent)]
    Removal(#[from] removal::Error),
    /// What becomes of what is somebody else's.
    #[error(transparent)]
    External(#[from] external::Error),
}

/// What every look needs.
pub struct Context {
    /// The way to the API server.
    pub client: Client,
    /// What the operator was started with.
    pub settings: Settings,
    /// Applies and remembers.
    pub applier: Applier,
    /// What was said last of each cluster.
    pub statuses: Statuses,
    /// Makes and keeps topics.
    pub topics: topics::Keeper,
    /// Looks at servers that are somebody else's.
    pub servers: external::Servers,
    /// Publishes events.
    pub recorder: Recorder,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

impl Context {
    /// Forgets a cluster that is gone.
    pub fn forget(&self, namespace: &str, cluster: &str) {
        self.applier.forget(namespace, cluster);
        self.statuses.forget(namespace, cluster);
        self.topics.forget(namespace, cluster);
        self.servers.forget(namespace, cluster);
    }

    /// With an empty memory.
    pub fn new(client: Client, settings: Settings, metrics: Arc<Metrics>) -> Self {
        let recorder = Recorder::new(
            client.clone(),
            Reporter {
                controller: OPERATOR.to_owned(),
                instance: None,
            },
        );
        Self {
            applier: Applier::new(client.clone()),
            statuses: Statuses::default(),
            topics: topics::Keeper::default(),
            servers: external::Servers::default(),
            client,
            settings,
            recorder,
            metrics,
        }
    }
}

/// Looks once, changes what has to be changed, and says when to look again.
pub async fn reconcile(cluster: Arc<SyncCluster>, context: Arc<Context>) -> Result<Action, Error> {
    let timer = context.metrics.reconcile();
    let action = Box::pin(look(&cluster, &context)).await;
    timer.done(action.is_ok());
    action
}

async fn look(cluster: &SyncCluster, context: &Context) -> Result<Action, Error> {
    let (now, generation) = (Timestamp::now(), cluster.meta().generation.unwrap_or_default());
    if cluster.meta().deletion_timestamp.is_some() {
        // What the cluster owns goes with it; volumes and passwords stay as the spec says, and so does what is somebody else's.
        return Ok(external::farewell(&context.client, &context.recorder, cluster).await?);
    }
    let previous = context.statuses.previous(cluster);
    if let Err(error) = external::hold(&context.client, cluster).await {
        return Err(unfinished(context, cluster, None, &previous, error.into()).await);
    }
    if cluster.spec.paused {
        publish(
            context,
            cluster,
            &previous,
            assess::paused(&previous, generation, now),
            now,
        )
        .await?;
        return Ok(Action::await_change());
    }
    let found = match dereference::dereference(&context.client, cluster).await {
        Ok(found) => found,
        Err(error) => return Err(unfinished(context, cluster, None, &previous, error.into()).await),
    };
    let valid = match validate(cluster, found, &context.settings) {
        Ok(valid) => valid.after(&previous),
        Err(error) => {
            publish(
                context,
                cluster,
                &previous,
                assess::invalid(&error, &previous, generation, now),
                now,
            )
            .await?;
            return Ok(Action::await_change());
        }
    };
    match Box::pin(go_on(context, cluster, &valid, &previous, now)).await {
        Err(error) => Err(unfinished(context, cluster, Some(&valid), &previous, error).await),
        done => done,
    }
}

/// The rest, for a resource that was understood.
async fn go_on(
    context: &Context,
    cluster: &SyncCluster,
    valid: &ValidatedCluster,
    previous: &SyncClusterStatus,
    now: Timestamp,
) -> Result<Action, Error> {
    let server = context.servers.look(&context.client, valid, now).await;
    let objects = plan(valid);
    let outcome = context.applier.apply(valid, &objects).await?;
    let mut observed = observe::observe(&context.client, valid, &objects, outcome, now).await?;
    observed.server = server;
    match context.topics.keep(valid, &observed, now).await {
        Ok(kept) => (observed.topics, observed.made_topics) = (kept.facts, kept.made),
        Err(reason) => {
            observed.unseen_topics = Some(reason.to_string());
            if let topics::Unkept::Refused(refused) = reason {
                observed.kafka_refused = Some(refused.to_string());
            }
        }
    }
    let now = Timestamp::now();
    let status = assess::assess(valid, &observed, previous, now);
    let left = heal::seconds_left(&status, now);
    let again = next_look(valid, &status, observed.outcome.changed, left);
    let steps = connectors::steps(valid, &observed, &status);
    let step = resnapshot::step(valid, &observed, &status);
    publish(context, cluster, previous, status, now).await?;
    if left == Some(0) {
        heal::remove_partition(&context.client, cluster).await?;
    }
    connectors::act(&context.client, valid, &observed, steps).await?;
    resnapshot::act(&context.client, valid, &observed, step).await?;
    Ok(Action::requeue(again))
}

/// The reason under which an error is said; none for one that comes when the status is written already: the two would be written in turns.
fn reason(error: &Error) -> Option<&'static str> {
    match error {
        Error::Dereference(_) | Error::Observe(_) => Some("CannotSee"),
        Error::Apply(_) | Error::External(_) => Some("ApplyFailed"),
        Error::Status(_) | Error::Removal(_) => None,
    }
}

/// Says why a look could not be finished, and heals all the same what is to be healed. Gives the error back.
async fn unfinished(
    context: &Context,
    cluster: &SyncCluster,
    valid: Option<&ValidatedCluster>,
    previous: &SyncClusterStatus,
    error: Error,
) -> Error {
    let Some(reason) = reason(&error) else { return error };
    let (now, generation) = (Timestamp::now(), cluster.meta().generation.unwrap_or_default());
    let status = assess::unfinished((reason, &error.to_string()), valid, previous, generation, now);
    // What is known of a partition is of the resource as it is now only if that was understood.
    let known = valid.is_some() || previous.observed_generation == Some(generation);
    let is_over = known && cluster.spec.partition.is_some() && heal::seconds_left(&status, now) == Some(0);
    if let Err(error) = publish(context, cluster, previous, status, now).await {
        tracing::warn!(%error, "the status does not say that the look failed");
    }
    if is_over && let Err(error) = heal::remove_partition(&context.client, cluster).await {
        tracing::warn!(%error, "the partition is over and not removed; trying again");
    }
    error
}

/// Writes the status if it is worth it, and tells what happened.
async fn publish(
    context: &Context,
    cluster: &SyncCluster,
    old: &SyncClusterStatus,
    new: SyncClusterStatus,
    now: Timestamp,
) -> Result<(), Error> {
    let events = events::between(old, &new);
    if context.statuses.write(&context.client, cluster, new, now).await? {
        context.metrics.status_written();
    }
    for event in events {
        // An event that is lost loses nothing that the status does not say.
        if let Err(error) = context.recorder.publish(&event, &cluster.object_ref(&())).await {
            tracing::warn!(reason = event.reason, %error, "event not published");
        }
    }
    Ok(())
}

/// When to look again, if nothing happens before.
fn next_look(cluster: &ValidatedCluster, status: &SyncClusterStatus, changed: bool, heal_in: Option<u64>) -> Duration {
    let wanted = if cluster.cut.is_empty() {
        "Converged"
    } else {
        "PartitionEnforced"
    };
    let settled = is(status, wanted, "True");
    let rest = if is(status, "Stalled", "True") {
        STALLED
    } else if changed
        || !settled
        || !is(status, "Ready", "True")
        || status.resnapshot.is_some()
        || !status.connector_requests.is_empty()
    {
        UNSETTLED
    } else if !is(status, "TopicsAsWanted", "True")
        || !is(status, "ConnectorsRun", "True")
        || (cluster.analytics.is_some() && !is(status, "AnalyticsReady", "True"))
    {
        STALLED
    } else {
        cluster.digest_interval
    };
    heal_in.map_or(rest, |seconds| rest.min(Duration::from_secs(seconds.max(1))))
}

/// What to do after an error: say it, try again.
pub fn failed(cluster: Arc<SyncCluster>, error: &Error, _: Arc<Context>) -> Action {
    tracing::warn!(namespace = cluster.namespace(), cluster = cluster.name_any(), %error, "reconcile failed; trying again");
    Action::requeue(FAILED)
}
