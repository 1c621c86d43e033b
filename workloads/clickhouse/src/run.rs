//! The analytics sink as a workload: what it needs, and what it tells.

use std::{path::PathBuf, time::Duration};

use synccluster_protocol::{
    ClusterName, Site,
    status::{AnalyticsPhase, AnalyticsStatus, LinkStatus},
};
use synccluster_runtime::{
    health::Metric,
    kafka::Kafka,
    postgres::PostgresSecret,
    workload::{Parts, Phases, State, Workload},
};

use crate::{
    session,
    windows::{Told, Windows},
};

/// From the server's topic to ClickHouse.
pub struct Analytics {
    /// The cluster.
    pub cluster: ClusterName,
    /// The server's Postgres, for the catalogue.
    pub postgres: PostgresSecret,
    /// Kafka.
    pub kafka: Kafka,
    /// Folder of ClickHouse's Secret.
    pub clickhouse_secret: PathBuf,
    /// The definitions of tables, if there are any.
    pub definitions: Option<PathBuf>,
    /// Another one than what ClickHouse holds empties it and begins anew.
    pub generation: i64,
    /// How long a row waits for others to go with.
    pub flush_interval: Duration,
    /// What the counter nodes' topics of aggregations begin with, before the window's size.
    pub aggregations: String,
}

impl Analytics {
    /// The topic it reads: what the server says is the result.
    pub fn topic(&self) -> String {
        self.cluster.topic(Site::Server)
    }

    /// How Kafka knows it.
    pub fn client_id(&self) -> String {
        format!("{}.analytics", self.cluster)
    }
}

impl Workload for Analytics {
    type Status = AnalyticsStatus;
    type Phase = AnalyticsPhase;
    type Error = session::Error;

    const NAME: &'static str = "analytics";
    const PHASES: Phases<AnalyticsPhase> = Phases {
        starting: AnalyticsPhase::Starting,
        working: AnalyticsPhase::Writing,
        cut: AnalyticsPhase::Cut,
        failing: AnalyticsPhase::Failing,
    };

    fn status(cluster: ClusterName, _site: Site) -> AnalyticsStatus {
        AnalyticsStatus {
            cluster,
            phase: AnalyticsPhase::Starting,
            link: LinkStatus::default(),
            source: None,
            lag_seconds: 0,
            rebuilding_to: None,
            generation: 0,
            tables: Vec::new(),
            definitions_problem: None,
            rows_written: 0,
            deletes_written: 0,
            parked: 0,
            parked_reason: None,
            skipped: 0,
            windows_written: 0,
            windows_problem: None,
            clickhouse_version: None,
            error: None,
            measured_at: None,
        }
    }

    fn parts(status: &mut AnalyticsStatus) -> Parts<'_, AnalyticsPhase> {
        Parts {
            phase: &mut status.phase,
            link: &mut status.link,
            error: &mut status.error,
        }
    }

    fn metrics(status: &AnalyticsStatus) -> Vec<Metric> {
        let lag = status.source.as_ref().map_or(0, |source| source.lag_records);
        let unwritten = status.tables.iter().filter(|table| table.problem.is_some()).count();
        vec![
            Metric::counter(
                "synccluster_analytics_rows_written_total",
                "Rows written to ClickHouse, deletes included.",
                status.rows_written,
            ),
            Metric::counter(
                "synccluster_analytics_deletes_written_total",
                "Deletes written to ClickHouse.",
                status.deletes_written,
            ),
            Metric::counter(
                "synccluster_analytics_rows_skipped_total",
                "Rows of tables that cannot be written.",
                status.skipped,
            ),
            Metric::gauge(
                "synccluster_analytics_parked",
                "Rows of sync_parked: what ClickHouse cannot hold.",
                status.parked,
            ),
            Metric::gauge(
                "synccluster_analytics_lag_records",
                "Records of the server's topic that are not in ClickHouse.",
                lag,
            ),
            Metric::gauge(
                "synccluster_analytics_lag_seconds",
                "Age of the oldest change received and not yet written.",
                status.lag_seconds,
            ),
            Metric::gauge(
                "synccluster_analytics_tables",
                "Tables that should be written.",
                status.tables.len() as u64,
            ),
            Metric::gauge(
                "synccluster_analytics_tables_unwritten",
                "Tables that cannot be written.",
                unwritten as u64,
            ),
            Metric::counter(
                "synccluster_analytics_windows_written_total",
                "Rows of likes by window written.",
                status.windows_written,
            ),
            Metric::gauge(
                "synccluster_analytics_connected",
                "1 while a connection to Kafka is established.",
                u64::from(status.link.established > 0),
            ),
        ]
    }

    async fn session(&self, state: &State<Self>) -> Result<(), session::Error> {
        let windows = Windows {
            topics: self.aggregations.clone(),
            consumer: self.kafka.consumer_config(&self.client_id())?,
            clickhouse_secret: self.clickhouse_secret.clone(),
        };
        let told = |told| {
            let mut status = state.edit();
            match told {
                Told::Written(rows) => {
                    status.windows_written += rows;
                    status.windows_problem = None;
                }
                Told::Failed(problem) => status.windows_problem = Some(problem),
            }
        };
        tokio::select! {
            ended = session::run(self, state) => ended,
            never = windows.run(told) => match never {},
        }
    }
}
