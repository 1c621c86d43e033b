//! A ClickHouse beside a world, filled by the real sink as a task of this process.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use synccluster_clickhouse::{
    http,
    run::Analytics,
    verify::{self, Report},
};
use synccluster_harness::{ClickHouse, Role, eventually};
use synccluster_protocol::{
    Site,
    definitions::Definitions,
    status::{AnalyticsPhase, AnalyticsStatus},
};
use synccluster_runtime::{
    clock::now_millis,
    health::Health,
    postgres::PostgresSecret,
    workload::{State, supervise},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{PATIENCE, World};

/// What is filled, and what fills it.
pub struct Filled {
    /// The ClickHouse.
    pub clickhouse: ClickHouse,
    /// The definitions of tables, if a test writes some.
    pub definitions: Option<PathBuf>,
    /// Another one rebuilds at the next start.
    pub generation: i64,
    running: Option<Running>,
}

struct Running {
    stop: CancellationToken,
    state: Arc<State<Analytics>>,
    task: JoinHandle<()>,
}

impl From<ClickHouse> for Filled {
    fn from(clickhouse: ClickHouse) -> Self {
        Self {
            clickhouse,
            definitions: None,
            generation: 0,
            running: None,
        }
    }
}

impl Filled {
    /// A ClickHouse that is filled from the world's server.
    pub async fn start(world: &World) -> Result<Self> {
        let mut filled = Self::prepare().await?;
        filled.resume(world)?;
        Ok(filled)
    }

    /// A ClickHouse that is not filled yet.
    pub async fn prepare() -> Result<Self> {
        ClickHouse::start().await.map(Self::from)
    }

    /// Starts the sink.
    pub fn resume(&mut self, world: &World) -> Result<()> {
        let server = world.at(Site::Server);
        let analytics = Analytics {
            cluster: world.cluster.clone(),
            postgres: PostgresSecret::read(&server.postgres.secret_dir(Role::Connector))?,
            kafka: server.kafka.clone(),
            clickhouse_secret: self.clickhouse.secret_dir(),
            definitions: self.definitions.clone(),
            generation: self.generation,
            flush_interval: Duration::from_millis(300),
            aggregations: format!("{}.aggregations-", world.cluster),
        };
        let stop = CancellationToken::new();
        let state = Arc::new(State::new(world.cluster.clone(), Site::Server, &server.kafka));
        let task = tokio::spawn(supervise(analytics, Arc::clone(&state), stop.clone()));
        self.running = Some(Running { stop, state, task });
        Ok(())
    }

    /// Ends the sink.
    pub async fn pause(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop.cancel();
            let _ = running.task.await;
        }
    }

    /// `/status` of the sink.
    pub fn status(&self) -> Result<AnalyticsStatus> {
        let running = self.running.as_ref().context("the sink is paused")?;
        Ok(running.state.status())
    }

    /// `/metrics` of the sink.
    pub fn metrics(&self) -> Result<String> {
        let running = self.running.as_ref().context("the sink is paused")?;
        Ok(running.state.metrics())
    }

    /// Waits until a query gives this answer.
    pub async fn wait_for(&self, sql: &str, expected: &str) -> Result<()> {
        eventually(PATIENCE, async || {
            let seen = self.clickhouse.ask(sql).await?;
            let status = self.status()?;
            ensure!(
                seen.trim_end() == expected,
                "{sql}: {seen:?} instead of {expected:?}; {status:?}"
            );
            Ok(())
        })
        .await
    }

    /// Waits until its status is like this.
    pub async fn wait_until(&self, what: &str, is: impl Fn(&AnalyticsStatus) -> bool) -> Result<AnalyticsStatus> {
        eventually(PATIENCE, async || {
            let status = self.status()?;
            ensure!(is(&status), "not {what}: {status:?}");
            Ok(status)
        })
        .await
    }

    /// Waits until everything that is in the topic is written.
    pub async fn caught_up(&self) -> Result<AnalyticsStatus> {
        // A measurement that was asked for from now on, and not before what is waited for.
        let now = Some(now_millis());
        self.wait_until("caught up", |status| {
            let source = status.source.as_ref();
            status.phase == AnalyticsPhase::Writing
                && status.measured_at > now
                && source.is_some_and(|source| source.lag_records == 0 && Some(source.offset) == source.end_offset)
        })
        .await
    }

    /// Compares with Postgres, as the command does.
    pub async fn verify(&self, world: &World, patience: Duration) -> Result<Report> {
        let postgres = PostgresSecret::read(&world.at(Site::Server).postgres.secret_dir(Role::Connector))?;
        let clickhouse = http::ClickHouse::read(&self.clickhouse.secret_dir())?;
        let definitions = match &self.definitions {
            Some(file) => Definitions::read(&std::fs::read_to_string(file)?)?,
            None => Definitions::default(),
        };
        Ok(verify::verify(&postgres, &clickhouse, &definitions, &[], patience).await?)
    }

    /// Waits until every table is the same in both.
    pub async fn same(&self, world: &World) -> Result<Report> {
        let report = self.verify(world, PATIENCE).await?;
        ensure!(report.equal, "{report:#?}\n{:#?}", self.status());
        Ok(report)
    }
}
