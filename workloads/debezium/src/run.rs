//! The uplink as a workload: what it needs, and what it tells. To everybody else it is a connector like the native one.

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::Router;
use synccluster_connector::{resnapshot, run::Uplink, slot};
use synccluster_protocol::{
    ClusterName, Site,
    connect::Template,
    status::{ConnectStatus, ConnectorPhase, ConnectorStatus},
};
use synccluster_runtime::{
    clock::now_millis,
    health::Metric,
    kafka::Kafka,
    postgres::{self, PostgresSecret},
    workload::{Parts, Phases, State, Workload},
};
use tokio::time;

use crate::{request::Requests, retry::Retry, session, worker::Launch};

/// How often the slot is looked at while the link is cut: its WAL grows.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A site's uplink.
pub struct Debezium {
    /// The cluster.
    pub cluster: ClusterName,
    /// The site.
    pub site: Site,
    /// Its Postgres.
    pub postgres: PostgresSecret,
    /// The folder with the Secret of that, which Connect reads by itself.
    pub postgres_folder: PathBuf,
    /// The folder with a folder for each Secret that the template names.
    pub secrets: PathBuf,
    /// Settings that somebody wants otherwise.
    pub template: Template,
    /// Kafka.
    pub kafka: Kafka,
    /// How a worker is started.
    pub launch: Launch,
    /// Where it is asked for something.
    pub requests: Requests,
    /// Where it is asked for every row once more.
    pub resnapshots: resnapshot::Requests,
    /// Pauses between workers that end.
    pub retry: Mutex<Retry>,
    /// The start of this process.
    pub began: Instant,
}

impl Debezium {
    /// The slot, the native connector's.
    pub fn slot(&self) -> String {
        slot::name(&self.cluster, self.site)
    }

    /// Something failed just now; how long to wait before it is tried again.
    pub fn pause_after_failure(&self) -> Duration {
        let mut retry = self.retry.lock().unwrap_or_else(PoisonError::into_inner);
        retry.failed(self.began.elapsed())
    }

    /// Measures the slot while nobody reads it.
    pub async fn look(&self, state: &State<Self>) {
        let slot = self.slot();
        if let Ok(client) = postgres::connect_once(&self.postgres, "synccluster-connector").await
            && let Ok(Some(seen)) = slot::status(&client, &slot).await
        {
            let confirmed = seen.confirmed_flush_lsn.unwrap_or_default();
            let lag = slot::lag_bytes(&client, confirmed).await.ok();
            let mut status = state.edit();
            status.lag_bytes = lag;
            status.slot = Some(seen);
            status.measured_at = Some(now_millis());
        }
    }
}

impl Workload for Debezium {
    type Status = ConnectorStatus;
    type Phase = ConnectorPhase;
    type Error = session::Error;

    const NAME: &'static str = "connector";
    const PHASES: Phases<ConnectorPhase> = Uplink::PHASES;

    fn status(cluster: ClusterName, site: Site) -> ConnectorStatus {
        ConnectorStatus {
            connect: Some(ConnectStatus::default()),
            ..Uplink::status(cluster, site)
        }
    }

    fn parts(status: &mut ConnectorStatus) -> Parts<'_, ConnectorPhase> {
        Uplink::parts(status)
    }

    fn metrics(status: &ConnectorStatus) -> Vec<Metric> {
        let restarts = status.connect.as_ref().map_or(0, |connect| connect.restarts);
        let mut metrics = Uplink::metrics(status);
        metrics.push(Metric::counter(
            "synccluster_uplink_restarts_total",
            "Restarts of a Kafka Connect worker, connector or task that had failed.",
            restarts,
        ));
        metrics
    }

    /// `PUT /connector` and `PUT /resnapshot`: what people ask for.
    fn routes(&self) -> Router {
        self.requests.routes().merge(self.resnapshots.routes())
    }

    async fn session(&self, state: &State<Self>) -> Result<(), session::Error> {
        session::run(self, state).await
    }

    /// The slot keeps what is written during a cut; how much is said all along.
    async fn wait(&self, state: &State<Self>) {
        session::without_worker(self, state);
        self.look(state).await;
        time::sleep(LOOK_EVERY).await;
    }
}
