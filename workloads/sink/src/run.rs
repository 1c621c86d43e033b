//! The downlink as a workload: what it needs, and what it tells.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use rdkafka::error::KafkaError;
use synccluster_protocol::{
    ClusterName, Site,
    status::{LinkStatus, SinkPhase, SinkStatus},
};
use synccluster_runtime::{
    health::Metric,
    kafka::Kafka,
    postgres::PostgresSecret,
    workload::{Parts, Phases, State, Workload},
};

use crate::{measure, replay::Replay, session};

/// A site's downlink: from where, to where.
pub struct Downlink {
    /// The cluster.
    pub cluster: ClusterName,
    /// The site.
    pub site: Site,
    /// Its Postgres.
    pub postgres: PostgresSecret,
    /// Kafka.
    pub kafka: Kafka,
    /// How far ahead a version may be and still be waited for.
    pub max_clock_skew: Duration,
    /// How often the digest is computed while rows keep changing.
    pub digest_interval: Duration,
}

impl Downlink {
    /// How Kafka knows it.
    pub fn client_id(&self) -> String {
        format!("{}.{}-sink", self.cluster, self.site)
    }

    /// A part of a topic, again.
    pub fn replay(&self, topic: &str, first: i64, end: i64) -> Result<Replay, KafkaError> {
        let client_id = format!("{}-replay", self.client_id());
        Replay::start(&self.kafka, &client_id, topic, first, end)
    }
}

impl Workload for Downlink {
    type Status = SinkStatus;
    type Phase = SinkPhase;
    type Error = session::Error;

    const NAME: &'static str = "sink";
    const PHASES: Phases<SinkPhase> = Phases {
        starting: SinkPhase::Starting,
        working: SinkPhase::Applying,
        cut: SinkPhase::Cut,
        failing: SinkPhase::Failing,
    };

    fn status(cluster: ClusterName, site: Site) -> SinkStatus {
        SinkStatus {
            cluster,
            site,
            phase: SinkPhase::Starting,
            link: LinkStatus::default(),
            sources: Vec::new(),
            lag_seconds: 0,
            digest: None,
            conflicts: 0,
            parked: 0,
            parked_reason: None,
            unmeasured: None,
            transactions_applied: 0,
            error: None,
            measured_at: None,
        }
    }

    fn parts(status: &mut SinkStatus) -> Parts<'_, SinkPhase> {
        Parts {
            phase: &mut status.phase,
            link: &mut status.link,
            error: &mut status.error,
        }
    }

    fn metrics(status: &SinkStatus) -> Vec<Metric> {
        vec![
            Metric::counter(
                "synccluster_downlink_transactions_applied_total",
                "Source transactions applied.",
                status.transactions_applied,
            ),
            Metric::gauge(
                "synccluster_downlink_lag_records",
                "Records not yet applied, over all topics.",
                status.sources.iter().map(|source| source.lag_records).sum(),
            ),
            Metric::gauge(
                "synccluster_downlink_lag_seconds",
                "Age of the oldest change received and not yet applied.",
                status.lag_seconds,
            ),
            Metric::gauge(
                "synccluster_downlink_conflicts",
                "Rows of sync.conflicts.",
                status.conflicts,
            ),
            Metric::gauge("synccluster_downlink_parked", "Rows of sync.parked.", status.parked),
            Metric::gauge(
                "synccluster_downlink_connected",
                "1 while a connection to Kafka is established.",
                u64::from(status.link.established > 0),
            ),
        ]
    }

    async fn session(&self, state: &State<Self>) -> Result<(), session::Error> {
        session::run(self, state).await
    }

    fn beside(&self, state: Arc<State<Self>>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(measure::run(self.postgres.clone(), state, self.digest_interval))
    }
}
