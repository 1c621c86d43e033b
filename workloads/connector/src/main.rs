//! `synccluster-connector run`: a site's uplink.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use synccluster_connector::{
    run::Uplink,
    slot,
    topic::{Setting, TopicSpec},
};
use synccluster_runtime::{config::Common, workload};

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
    let Command::Run(arguments) = Arguments::parse().command;
    let topic_spec = TopicSpec {
        replication: arguments.topic_replication,
        config: arguments.topic_config,
    };
    workload::run(arguments.common, |common, postgres| Uplink {
        site: common.site,
        postgres,
        slot: slot::name(&common.cluster, common.site),
        topic: common.cluster.topic(common.site),
        bootstrap_servers: common.bootstrap_servers,
        topic_spec,
    })
    .await
}
