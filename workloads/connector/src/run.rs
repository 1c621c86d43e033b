//! The uplink as a workload: what it needs, what it tells, and what it does while the link is cut.

use std::time::Duration;

use axum::Router;
use synccluster_protocol::{
    ClusterName, Site,
    status::{ConnectorPhase, ConnectorStatus, LinkStatus},
};
use synccluster_runtime::{
    clock::now_millis,
    health::Metric,
    kafka::Kafka,
    postgres::{self, PostgresSecret},
    workload::{Parts, Phases, State, Workload},
};
use tokio::time;

use crate::{producer::Alone, resnapshot::Requests, session, slot, topic::TopicSpec};

/// How often the slot is looked at while the link is cut: its WAL grows.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A site's uplink: from where, to where.
pub struct Uplink {
    /// The site.
    pub site: Site,
    /// Its Postgres.
    pub postgres: PostgresSecret,
    /// Kafka.
    pub kafka: Kafka,
    /// The slot.
    pub slot: String,
    /// The topic.
    pub topic: String,
    /// How it is made; absent: somebody else makes it.
    pub topic_spec: Option<TopicSpec>,
    /// Where it is asked for every row once more.
    pub requests: Requests,
    /// Which records are sent alone.
    pub alone: Alone,
}

impl Workload for Uplink {
    type Status = ConnectorStatus;
    type Phase = ConnectorPhase;
    type Error = session::Error;

    const NAME: &'static str = "connector";
    const PHASES: Phases<ConnectorPhase> = Phases {
        starting: ConnectorPhase::Starting,
        working: ConnectorPhase::Streaming,
        cut: ConnectorPhase::Cut,
        failing: ConnectorPhase::Failing,
    };

    fn status(cluster: ClusterName, site: Site) -> ConnectorStatus {
        ConnectorStatus {
            cluster,
            site,
            phase: ConnectorPhase::Starting,
            link: LinkStatus::default(),
            slot: None,
            lag_bytes: None,
            lag_seconds: 0,
            records_acknowledged: 0,
            snapshot_rows: 0,
            set_aside: 0,
            resnapshot: None,
            error: None,
            connect: None,
            measured_at: None,
        }
    }

    fn parts(status: &mut ConnectorStatus) -> Parts<'_, ConnectorPhase> {
        Parts {
            phase: &mut status.phase,
            link: &mut status.link,
            error: &mut status.error,
        }
    }

    fn metrics(status: &ConnectorStatus) -> Vec<Metric> {
        let retained = status.slot.as_ref().map(|slot| slot.retained_bytes);
        vec![
            Metric::counter(
                "synccluster_uplink_records_acknowledged_total",
                "Records Kafka has acknowledged.",
                status.records_acknowledged,
            ),
            Metric::gauge(
                "synccluster_uplink_lag_bytes",
                "WAL written and not yet in Kafka.",
                status.lag_bytes.unwrap_or_default(),
            ),
            Metric::gauge(
                "synccluster_uplink_lag_seconds",
                "Age of the oldest change read and not yet in Kafka.",
                status.lag_seconds,
            ),
            Metric::gauge(
                "synccluster_uplink_slot_retained_bytes",
                "WAL kept for the slot.",
                retained.unwrap_or_default(),
            ),
            Metric::gauge(
                "synccluster_uplink_set_aside",
                "Rows that Kafka does not take, put aside in sync.parked.",
                status.set_aside,
            ),
            Metric::gauge(
                "synccluster_uplink_connected",
                "1 while a connection to Kafka is established.",
                u64::from(status.link.established > 0),
            ),
        ]
    }

    /// `PUT /resnapshot`: every row once more. Asked for again by the same id it changes nothing.
    fn routes(&self) -> Router {
        self.requests.routes()
    }

    async fn session(&self, state: &State<Self>) -> Result<(), session::Error> {
        session::run(self, state).await
    }

    /// The slot keeps what is written during a cut; how much is said all along.
    async fn wait(&self, state: &State<Self>) {
        if let Ok(client) = postgres::connect_once(&self.postgres, "synccluster-connector").await
            && let Ok(Some(slot)) = slot::status(&client, &self.slot).await
        {
            let lag = slot::lag_bytes(&client, slot.confirmed_flush_lsn.unwrap_or_default())
                .await
                .ok();
            let mut status = state.edit();
            status.lag_bytes = lag;
            status.slot = Some(slot);
            status.measured_at = Some(now_millis());
        }
        time::sleep(LOOK_EVERY).await;
    }
}
