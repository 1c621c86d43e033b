//! `synccluster-counter windows`: a worker that is no node.

use std::{net::SocketAddr, process::ExitCode, sync::Arc};

use synccluster_protocol::ClusterName;
use synccluster_runtime::{health, kafka, link::Probe};
use tokio_util::sync::CancellationToken;

use super::{session::Windows, settings::Arguments, state::State};
use crate::publish::supervise;

/// What a worker is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Run {
    /// The SyncCluster's name.
    #[arg(long, env = "SYNC_CLUSTER")]
    pub cluster: ClusterName,
    /// Kafka.
    #[command(flatten)]
    pub kafka: kafka::Arguments,
    /// Where /livez, /readyz, /metrics and /status are served.
    #[arg(long, env = "SYNC_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// What is counted.
    #[command(flatten)]
    pub windows: Arguments,
}

/// Runs until the process is asked to stop.
pub async fn run(run: Run) -> ExitCode {
    let kafka = run.kafka.kafka();
    let settings = Arc::new(run.windows.settings(&run.cluster, &kafka));
    let state = Arc::new(State::new(&run.cluster, Probe::start(&kafka)));
    let stop = CancellationToken::new();
    let windows = Windows::new(settings, Arc::clone(&state));
    let work = tokio::spawn(supervise(windows, stop.clone()));
    health::run(run.listen, state, work, stop).await
}
