//! The command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use synccluster_runtime::telemetry;

use crate::{config, run, windows};

/// Counts likes with others like it: takes them, keeps them, tells the others.
#[derive(Parser)]
#[command(
    name = "synccluster-counter",
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
    /// Count windows until stopped, beside the nodes that do: the more count, the fewer partitions each has.
    Windows(Box<windows::Run>),
}

/// Does what the command line says.
#[tokio::main(worker_threads = 2)]
pub async fn main() -> ExitCode {
    let command = Arguments::parse().command;
    telemetry::init();
    let settings = match command {
        Command::Run(settings) => settings,
        Command::Windows(settings) => return windows::run(*settings).await,
    };
    match run::run(*settings).await {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("cannot start: {error}");
            ExitCode::FAILURE
        }
    }
}
