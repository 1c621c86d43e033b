//! `synccluster-sink run`: a site's downlink.

use std::{process::ExitCode, sync::Arc, time::Duration};

use clap::{Parser, Subcommand};
use synccluster_runtime::{
    config::{Common, parse_duration},
    health,
    link::Probe,
    postgres::PostgresSecret,
    supervise::supervise,
    telemetry,
};
use synccluster_sink::{measure, run::Downlink, session::Settings, state::State};
use tokio_util::sync::CancellationToken;

/// Applies change events to a site's tables: the server takes every client's topic, a client the server's.
#[derive(Parser)]
#[command(
    version,
    after_help = "Example:\n  synccluster-sink run --cluster demo --site client-1 --postgres-secret ./sink --bootstrap-servers localhost:9092"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run until stopped.
    Run(Run),
}

#[derive(clap::Args)]
struct Run {
    #[command(flatten)]
    common: Common,
    /// How far ahead of this site's clock a version may be and still be waited for; beyond, its site is no longer applied.
    #[arg(long, env = "SYNC_MAX_CLOCK_SKEW", default_value = "10s", value_parser = parse_duration)]
    max_clock_skew: Duration,
    /// How often the digest is computed while rows keep changing.
    #[arg(long, env = "SYNC_DIGEST_INTERVAL", default_value = "10s", value_parser = parse_duration)]
    digest_interval: Duration,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    telemetry::init();
    let Command::Run(arguments) = Arguments::parse().command;
    let common = arguments.common;
    let postgres = match PostgresSecret::read(&common.postgres_secret) {
        Ok(secret) => secret,
        Err(error) => {
            tracing::error!(%error, "cannot start");
            return ExitCode::FAILURE;
        }
    };
    let stop = CancellationToken::new();
    let state = Arc::new(State::new(
        common.cluster.clone(),
        common.site,
        Probe::start(&common.bootstrap_servers),
    ));
    tokio::spawn(measure::run(
        postgres.clone(),
        Arc::clone(&state),
        arguments.digest_interval,
    ));
    let settings = Settings {
        cluster: common.cluster,
        site: common.site,
        postgres,
        bootstrap_servers: common.bootstrap_servers,
        max_clock_skew: arguments.max_clock_skew,
    };
    let work = tokio::spawn(supervise(
        Downlink {
            settings,
            state: Arc::clone(&state),
        },
        stop.clone(),
    ));
    health::run(common.listen, state, work, stop).await
}
