//! The command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use synccluster_runtime::telemetry;

use crate::{client, config, run, windows};

/// Counts likes with others like it: takes them, keeps them, tells the others.
#[derive(Parser)]
#[command(
    name = "synccluster-counter",
    version,
    after_help = "Example, a node by itself:\n  synccluster-counter run --cluster demo --node 0 --nodes 0=localhost:5003 --data ./counter-0\n\n\
                  and a terminal that likes:\n  synccluster-counter client --leader localhost:5001"
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
    /// Like from a terminal, and see the totals of all nodes change.
    Client(client::Arguments),
}

/// Does what the command line says.
#[tokio::main(worker_threads = 2)]
pub async fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Client(arguments) => client::main(arguments).await,
        Command::Windows(settings) => {
            telemetry::init();
            windows::run(*settings).await
        }
        Command::Run(settings) => {
            telemetry::init();
            run::run(*settings).await.unwrap_or_else(|error| {
                tracing::error!("cannot start: {error}");
                ExitCode::FAILURE
            })
        }
    }
}

/// What `run` is told by these words.
#[cfg(test)]
pub fn run_of<'a>(words: impl Iterator<Item = &'a str>) -> Result<config::Run, String> {
    let arguments = Arguments::try_parse_from(std::iter::once("synccluster-counter").chain(words));
    match arguments.map_err(|error| error.to_string())?.command {
        Command::Run(run) => Ok(*run),
        _ => Err("not `run`".to_owned()),
    }
}
