//! `synccluster-sink run`: a site's downlink.

use std::{process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use synccluster_runtime::{
    config::{Common, parse_duration},
    workload,
};
use synccluster_sink::run::Downlink;

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
    let Command::Run(arguments) = Arguments::parse().command;
    workload::run(arguments.common, |common, postgres| Downlink {
        cluster: common.cluster,
        site: common.site,
        postgres,
        kafka: common.kafka.kafka(),
        max_clock_skew: arguments.max_clock_skew,
        digest_interval: arguments.digest_interval,
    })
    .await
}
