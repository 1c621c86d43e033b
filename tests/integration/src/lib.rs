//! A server and its clients: real Postgres, real Kafka, the real workloads as tasks of this process.

pub mod analytics;
pub mod counter;
pub mod debezium;
mod described;
pub mod external;
pub mod gateway;
pub mod http;
pub mod operator;
pub mod socket;
pub mod sse;
pub mod topic;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use synccluster_connector::{
    producer::Alone,
    resnapshot::{Request, Requests},
    run::Uplink,
    slot,
    topic::TopicSpec,
};
use synccluster_harness::{Kafka, Postgres, Role, eventually};
use synccluster_protocol::{
    ClusterName, Lsn, Site, convergence,
    event::TableName,
    status::{ConnectorStatus, SinkStatus},
};
use synccluster_runtime::{
    health::Health,
    kafka::Kafka as Brokers,
    postgres::PostgresSecret,
    workload::{State, supervise},
};
use synccluster_schema::migrate::{Task, migrate};
use synccluster_sink::run::Downlink;
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

/// How long anything may take before a test fails.
pub const PATIENCE: Duration = Duration::from_mins(2);
/// The digest's interval here.
const DIGEST_INTERVAL: Duration = Duration::from_secs(1);

/// A cluster without Kubernetes.
pub struct World {
    /// Its name: every test has topics of its own.
    pub cluster: ClusterName,
    /// The server first, then the clients.
    pub sites: Vec<SiteUnderTest>,
    migrations: PathBuf,
}

/// A site and what runs at it.
pub struct SiteUnderTest {
    /// Which.
    pub site: Site,
    /// Its database.
    pub postgres: Postgres,
    kafka: Brokers,
    running: Option<Running>,
}

/// One of the two that run at a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The uplink.
    Connector,
    /// The downlink.
    Sink,
}

struct Running {
    stop: CancellationToken,
    connector: Arc<State<Uplink>>,
    requests: Requests,
    sink: Arc<State<Downlink>>,
    tasks: Vec<JoinHandle<()>>,
}

impl World {
    /// A server and `clients` clients with this schema, all at work.
    pub async fn start(clients: u16, schema: &str) -> Result<Self> {
        let bootstrap = Kafka::shared().await?.bootstrap();
        let mut world = Self::prepare(schema)?;
        for site in Site::all(clients) {
            world.add(site, &bootstrap).await?;
        }
        Ok(world)
    }

    /// No site yet.
    pub fn prepare(schema: &str) -> Result<Self> {
        let cluster: ClusterName = format!("t{}", rand::random::<u32>()).parse()?;
        let migrations = std::env::temp_dir().join(format!("synccluster-{cluster}"));
        std::fs::create_dir_all(&migrations)?;
        std::fs::write(migrations.join("V1__schema.sql"), schema)?;
        Ok(Self {
            cluster,
            sites: Vec::new(),
            migrations,
        })
    }

    /// A new site, with its database and its workloads, and the way to Kafka they have.
    pub async fn add(&mut self, site: Site, kafka: impl Into<Brokers>) -> Result<()> {
        self.add_with(site, kafka, Postgres::start().await?).await
    }

    /// The same with a database that is there.
    pub async fn add_with(&mut self, site: Site, kafka: impl Into<Brokers>, postgres: Postgres) -> Result<()> {
        self.bring(site, kafka.into(), postgres, None).await
    }

    /// The same where no other tables than these take part.
    pub async fn add_naming(&mut self, site: Site, kafka: impl Into<Brokers>, tables: Vec<TableName>) -> Result<()> {
        let postgres = Postgres::start().await?;
        self.bring(site, kafka.into(), postgres, Some(tables)).await
    }

    async fn bring(
        &mut self,
        site: Site,
        kafka: Brokers,
        postgres: Postgres,
        tables: Option<Vec<TableName>>,
    ) -> Result<()> {
        self.sites.push(SiteUnderTest {
            site,
            postgres,
            kafka,
            running: None,
        });
        self.migrate(site, tables).await?;
        self.resume(site)
    }

    /// Runs the migrations at a site, as the init container does.
    pub async fn migrate(&self, site: Site, tables: Option<Vec<TableName>>) -> Result<()> {
        let postgres = &self.at(site).postgres;
        let secret = |role| PostgresSecret::read(&postgres.secret_dir(role));
        let task = Task {
            site,
            admin: secret(Role::Admin)?,
            app: secret(Role::App)?,
            migrations: Some(self.migrations.clone()),
            tables,
        };
        migrate(&task)
            .await
            .map(drop)
            .with_context(|| format!("migrating {site}"))
    }

    /// The folder of migrations.
    pub fn migrations(&self) -> &Path {
        &self.migrations
    }

    /// Adds a migration to the folder.
    pub fn write_migration(&self, name: &str, sql: &str) -> Result<()> {
        Ok(std::fs::write(self.migrations.join(name), sql)?)
    }

    /// A site.
    pub fn at(&self, site: Site) -> &SiteUnderTest {
        self.sites.iter().find(|s| s.site == site).unwrap_or(&self.sites[0])
    }

    fn at_mut(&mut self, site: Site) -> &mut SiteUnderTest {
        let index = self.sites.iter().position(|s| s.site == site).unwrap_or_default();
        &mut self.sites[index]
    }

    /// The database of a site, to kill and restart.
    pub fn postgres(&mut self, site: Site) -> &mut Postgres {
        &mut self.at_mut(site).postgres
    }

    /// Ends a site's workloads; its database goes on. What a cut looks like from outside.
    pub async fn pause(&mut self, site: Site) {
        if let Some(running) = self.at_mut(site).running.take() {
            running.stop.cancel();
            for task in running.tasks {
                let _ = task.await;
            }
        }
    }

    /// Ends the workloads of all sites, in order, and then their databases. A runtime that ends first drops them in the middle of what they do.
    pub async fn end(mut self) {
        let sites: Vec<Site> = self.sites.iter().map(|at| at.site).collect();
        for site in sites {
            self.pause(site).await;
        }
    }

    /// Ends one of a site's workloads: somebody else runs it. The other goes on.
    pub async fn leave_out(&mut self, site: Site, part: Part) -> Result<()> {
        self.pause(site).await;
        self.run_but(site, Some(part))
    }

    /// Starts a site's workloads.
    pub fn resume(&mut self, site: Site) -> Result<()> {
        self.run_but(site, None)
    }

    fn run_but(&mut self, site: Site, left_out: Option<Part>) -> Result<()> {
        let cluster = self.cluster.clone();
        let at = self.at_mut(site);
        let secret = |role| PostgresSecret::read(&at.postgres.secret_dir(role));
        let stop = CancellationToken::new();
        let connector = Arc::new(State::new(cluster.clone(), site, &at.kafka));
        let sink = Arc::new(State::new(cluster.clone(), site, &at.kafka));
        let requests = Requests::default();
        let uplink = Uplink {
            site,
            postgres: secret(Role::Connector)?,
            kafka: at.kafka.clone(),
            slot: slot::name(&cluster, site),
            topic: cluster.topic(site),
            topic_spec: Some(TopicSpec {
                replication: 1,
                config: vec!["cleanup.policy=compact".parse().map_err(anyhow::Error::msg)?],
            }),
            requests: requests.clone(),
            alone: Alone::default(),
        };
        let downlink = Downlink {
            cluster,
            site,
            postgres: secret(Role::Sink)?,
            kafka: at.kafka.clone(),
            max_clock_skew: Duration::from_secs(10),
            digest_interval: DIGEST_INTERVAL,
        };
        let mut tasks = Vec::new();
        if left_out != Some(Part::Connector) {
            tasks.push(tokio::spawn(supervise(uplink, Arc::clone(&connector), stop.clone())));
        }
        if left_out != Some(Part::Sink) {
            tasks.push(tokio::spawn(supervise(downlink, Arc::clone(&sink), stop.clone())));
        }
        at.running = Some(Running {
            stop,
            connector,
            requests,
            sink,
            tasks,
        });
        Ok(())
    }

    /// A connection of the application.
    pub async fn app(&self, site: Site) -> Result<Client> {
        self.at(site).postgres.connect(Role::App).await
    }

    /// What a statement of the application does at a site.
    pub async fn run(&self, site: Site, sql: &str) -> Result<()> {
        self.app(site)
            .await?
            .batch_execute(sql)
            .await
            .with_context(|| format!("at {site}: {sql}"))
    }

    /// The first column of a query's rows as text, as the superuser sees it.
    pub async fn ask(&self, site: Site, sql: &str) -> Result<Vec<String>> {
        let rows = self.at(site).postgres.superuser().await?.simple_query(sql).await?;
        let text = |message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("NULL").to_owned()),
            _ => None,
        };
        Ok(rows.into_iter().filter_map(text).collect())
    }

    /// Waits until a query gives these rows at a site.
    pub async fn wait_for(&self, site: Site, sql: &str, expected: &[&str]) -> Result<()> {
        eventually(PATIENCE, async || {
            let seen = self.ask(site, sql).await?;
            ensure!(seen == expected, "{site}: {sql}: {seen:?} instead of {expected:?}");
            Ok(())
        })
        .await
    }

    /// Where the WAL of each site ends now, in the order of the sites.
    pub async fn written(&self) -> Result<Vec<Lsn>> {
        let mut written = Vec::new();
        for at in &self.sites {
            let end = self.ask(at.site, "select pg_current_wal_insert_lsn()").await?.concat();
            written.push(end.parse::<Lsn>()?);
        }
        Ok(written)
    }

    /// Waits until nothing of what was written up to now is on its way and every site has the same digest; returns it.
    pub async fn converged(&self) -> Result<String> {
        let written = self.written().await?;
        eventually(PATIENCE, async || {
            let facts = self
                .sites
                .iter()
                .map(|site| Ok((site.connector_status()?, site.sink_status()?)));
            verdict(&facts.collect::<Result<Vec<_>>>()?, &written)
        })
        .await
    }
}

/// The digest and the number of rows of all, if each site's was taken when it had written this. What was measured before says nothing of what was
/// written since, and sites at rest were equal then.
pub fn verdict(facts: &[(ConnectorStatus, SinkStatus)], written: &[Lsn]) -> Result<String> {
    for ((_, sink), written) in facts.iter().zip(written) {
        let of_now = sink.digest.as_ref().is_some_and(|digest| digest.lsn >= *written);
        ensure!(of_now, "{} has no digest of {written} yet", sink.site);
    }
    let (digest, rows) = convergence::judge(facts)?;
    Ok(format!("{digest} {rows}"))
}

impl SiteUnderTest {
    /// `/status` of its connector.
    pub fn connector_status(&self) -> Result<ConnectorStatus> {
        self.running
            .as_ref()
            .map(|running| running.connector.status())
            .with_context(|| format!("{} is paused", self.site))
    }

    /// `/metrics` of its connector.
    pub fn connector_metrics(&self) -> Result<String> {
        let running = self.running.as_ref();
        running
            .map(|running| running.connector.metrics())
            .with_context(|| format!("{} is paused", self.site))
    }

    /// `/metrics` of its sink.
    pub fn sink_metrics(&self) -> Result<String> {
        let running = self.running.as_ref();
        running
            .map(|running| running.sink.metrics())
            .with_context(|| format!("{} is paused", self.site))
    }

    /// Asks its connector for every row once more, of one table or of all.
    pub fn resnapshot(&self, id: &str, table: Option<&str>) -> Result<()> {
        let running = self
            .running
            .as_ref()
            .with_context(|| format!("{} is paused", self.site))?;
        running.requests.ask(Request {
            id: id.to_owned(),
            table: table.map(str::to_owned),
        });
        Ok(())
    }

    /// `/status` of its sink.
    pub fn sink_status(&self) -> Result<SinkStatus> {
        self.running
            .as_ref()
            .map(|running| running.sink.status())
            .with_context(|| format!("{} is paused", self.site))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.migrations);
    }
}
