//! `synccluster-connector run`: a site's uplink.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use synccluster_connector::{
    producer::Alone,
    resnapshot::Requests,
    run::Uplink,
    slot,
    topic::{Setting, TopicSpec},
};
use synccluster_runtime::{config::Common, workload};

/// Sends what is committed at a site to the site's topic, as Debezium's change events.
#[derive(Parser)]
#[command(
    version,
    after_help = "Example:\n  synccluster-connector run --cluster demo --site client-1 --postgres-secret ./connector --bootstrap-servers localhost:9092 --topic-replication 1"
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
    /// Make the topic if it is not there, with this many copies. Otherwise it is waited for: in a SyncCluster the operator makes it.
    #[arg(long)]
    topic_replication: Option<i32>,
    /// Settings of the topic that is made: name=value, separated by semicolons.
    #[arg(
        long,
        value_delimiter = ';',
        default_value = "cleanup.policy=compact",
        requires = "topic_replication"
    )]
    topic_config: Vec<Setting>,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let Command::Run(arguments) = Arguments::parse().command;
    let config = arguments.topic_config;
    let topic_spec = arguments
        .topic_replication
        .map(|replication| TopicSpec { replication, config });
    workload::run(arguments.common, |common, postgres| Uplink {
        site: common.site,
        postgres,
        slot: slot::name(&common.cluster, common.site),
        topic: common.cluster.topic(common.site),
        kafka: common.kafka.kafka(),
        topic_spec,
        requests: Requests::default(),
        alone: Alone::default(),
    })
    .await
}
