//! `synccluster-counter run`: a counter node.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use synccluster_counter::config;
use synccluster_runtime::telemetry;

/// Counts likes with others like it: takes them, keeps them, tells the others.
#[derive(Parser)]
#[command(
    version,
    after_help = "Example, a node by itself:\n  synccluster-counter run --cluster demo --node 0 --nodes 0=localhost:5003 --data ./counter-0"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a node until stopped.
    Run(Box<config::Run>),
}

fn main() -> ExitCode {
    telemetry::init();
    let Command::Run(run) = Arguments::parse().command;
    if let Err(reason) = run.check() {
        tracing::error!("cannot start: {reason}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
