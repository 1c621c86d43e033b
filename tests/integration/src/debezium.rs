//! Engine Debezium beside a world: a real Kafka Connect worker as a process, and what watches over it as a task.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use synccluster_connector::resnapshot;
use synccluster_debezium::{
    request::{Requests, Taken},
    retry::Retry,
    run::Debezium,
    worker::Launch,
};
use synccluster_harness::{Postgres, Role, connect, eventually, free_port};
use synccluster_protocol::{
    ClusterName, Site,
    connect::Template,
    status::{ConnectRequest, ConnectorPhase, ConnectorStatus, RequestKind},
};
use synccluster_runtime::{
    health::Health,
    kafka::Kafka as Brokers,
    postgres::PostgresSecret,
    workload::{State, supervise},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{World, verdict};

/// Java takes its time on a machine that does other things as well.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// An uplink of engine Debezium that runs.
pub struct Engine {
    /// Its site.
    pub site: Site,
    /// What it tells.
    pub state: Arc<State<Debezium>>,
    requests: Requests,
    resnapshots: resnapshot::Requests,
    stop: CancellationToken,
    task: JoinHandle<()>,
    folder: PathBuf,
}

impl Engine {
    /// In place of a site's connector, which must have been left out.
    pub fn start(world: &World, site: Site, kafka: impl Into<Brokers>) -> Result<Self> {
        Self::beside(&world.cluster, site, &world.at(site).postgres, kafka, "")
    }

    /// For any cluster at any database: the database needs nothing but schema `sync`.
    pub fn beside(
        cluster: &ClusterName,
        site: Site,
        postgres: &Postgres,
        kafka: impl Into<Brokers>,
        template: &str,
    ) -> Result<Self> {
        let (parts, kafka) = (connect()?, kafka.into());
        let folder = std::env::temp_dir().join(format!("synccluster-connect-{cluster}-{}", rand::random::<u32>()));
        std::fs::create_dir_all(&folder)?;
        let secret = postgres.secret_dir(Role::Connector);
        let requests = Requests::default();
        let resnapshots = resnapshot::Requests::default();
        let uplink = Debezium {
            cluster: cluster.clone(),
            site,
            postgres: PostgresSecret::read(&secret)?,
            postgres_folder: secret,
            secrets: folder.join("secrets"),
            template: Template::parse(template)?,
            kafka: kafka.clone(),
            launch: Launch {
                // A test that is killed leaves no Java behind.
                java: ["setpriv", "--pdeathsig=KILL", "--", "java"]
                    .map(str::to_owned)
                    .to_vec(),
                libs: parts.join("libs"),
                plugins: parts.join("plugins"),
                heap: "192m".to_owned(),
                rest_port: free_port()?,
                folder: folder.join("worker"),
                log: Some(folder.join("log")),
            },
            requests: requests.clone(),
            resnapshots: resnapshots.clone(),
            retry: Mutex::new(Retry::default()),
            began: Instant::now(),
        };
        let state = Arc::new(State::new(cluster.clone(), site, &kafka));
        let stop = CancellationToken::new();
        let task = tokio::spawn(supervise(uplink, Arc::clone(&state), stop.clone()));
        Ok(Self {
            site,
            state,
            requests,
            resnapshots,
            stop,
            task,
            folder,
        })
    }

    /// Ends it, as Kubernetes ends a pod.
    pub async fn stop(mut self) -> Result<()> {
        self.stop.cancel();
        (&mut self.task).await?;
        Ok(())
    }

    /// The folder with a folder for each Secret that its template names.
    pub fn secrets(&self) -> PathBuf {
        self.folder.join("secrets")
    }

    /// `/status`.
    pub fn status(&self) -> ConnectorStatus {
        self.state.status()
    }

    /// Waits until it is in this phase.
    pub async fn is(&self, phase: ConnectorPhase) -> Result<()> {
        eventually(PATIENCE, async || {
            let status = self.status();
            ensure!(
                status.phase == phase,
                "{:?}: {:?} {:?}",
                status.phase,
                status.error,
                status.connect
            );
            Ok(())
        })
        .await
        .with_context(|| format!("the end of the worker's log:\n{}", self.last_words()))
    }

    /// Asks for something, and waits until it was done.
    pub async fn ask(&self, what: RequestKind) -> Result<()> {
        let id = rand::random::<u32>().to_string();
        let request = ConnectRequest { what, id };
        eventually(PATIENCE, async || {
            let taken = self.requests.ask(request.clone());
            ensure!(taken == Taken::Done, "{what:?}: {:?}", self.status());
            Ok(())
        })
        .await
    }

    /// Asks for every row once more, of one table or of all.
    pub fn resnapshot(&self, id: &str, table: Option<&str>) {
        self.resnapshots.ask(resnapshot::Request {
            id: id.to_owned(),
            table: table.map(str::to_owned),
        });
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the worker of {}:\n{}", self.site, self.last_words());
        }
        self.stop.cancel();
        self.task.abort();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Waits until nothing is on its way and every site has the same digest, where these are the uplinks of their sites.
pub async fn converged(world: &World, engines: &[&Engine]) -> Result<String> {
    let written = world.written().await?;
    eventually(PATIENCE, async || {
        let facts = world.sites.iter().map(|at| {
            let engine = engines.iter().find(|engine| engine.site == at.site);
            let connector = engine.map_or_else(|| at.connector_status(), |engine| Ok(engine.status()))?;
            Ok((connector, at.sink_status()?))
        });
        verdict(&facts.collect::<Result<Vec<_>>>()?, &written)
    })
    .await
}
