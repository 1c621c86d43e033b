//! `synccluster-connector run`: a site's uplink.

use std::{process::ExitCode, sync::Arc};

use clap::{Parser, Subcommand};
use synccluster_connector::{
    run::Uplink,
    session::Settings,
    slot,
    state::State,
    topic::{Setting, TopicSpec},
};
use synccluster_runtime::{
    config::Common, health, link::Probe, postgres::PostgresSecret, supervise::supervise, telemetry,
};
use tokio_util::sync::CancellationToken;

/// Sends what is committed at a site to the site's topic, as Debezium's change events.
#[derive(Parser)]
#[command(
    version,
    after_help = "Example:\n  synccluster-connector run --cluster demo --site client-1 --postgres-secret ./connector --bootstrap-servers localhost:9092"
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
    /// Copies of the topic, if it has to be made.
    #[arg(long, env = "SYNC_TOPIC_REPLICATION", default_value_t = 1)]
    topic_replication: i32,
    /// Settings of the topic, if it has to be made: name=value, separated by semicolons.
    #[arg(
        long,
        env = "SYNC_TOPIC_CONFIG",
        value_delimiter = ';',
        default_value = "cleanup.policy=compact"
    )]
    topic_config: Vec<Setting>,
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
    let settings = Settings {
        site: common.site,
        postgres,
        slot: slot::name(&common.cluster, common.site),
        topic: common.cluster.topic(common.site),
        bootstrap_servers: common.bootstrap_servers,
        topic_spec: TopicSpec {
            replication: arguments.topic_replication,
            config: arguments.topic_config,
        },
    };
    let work = tokio::spawn(supervise(
        Uplink {
            settings,
            state: Arc::clone(&state),
        },
        stop.clone(),
    ));
    health::run(common.listen, state, work, stop).await
}
