//! Measures the gateway side by side with other Socket.IO servers, on the same cores in the same run. `make bench-gateway` runs it.

mod hold;
mod load;
mod page;
mod report;
mod rest;
mod serve;
mod server;
mod wire;

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;
use clap::{Parser, Subcommand};
use load::Plan;
use server::{Kind, Server};
use synccluster_gateway::serve::allow_many_connections;
use synccluster_harness::Goals;

/// Measures the gateway side by side with npm's socket.io and PyPI's python-socketio; prints min/median/max and writes
/// target/bench/gateway.json.
#[derive(Parser)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Rounds; in each, every server has its turn.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds that are measured of each turn.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Numbers of clients.
    #[arg(long, value_delimiter = ',', default_value = "500,2000")]
    clients: Vec<usize>,
    /// Events on the way at once.
    #[arg(long, value_delimiter = ',', default_value = "1,8")]
    windows: Vec<u64>,
    /// Leaves out the list of rows over REST and the way of a commit to the page, which need Postgres and Kafka.
    #[arg(long)]
    without_sites: bool,
    /// Leaves out what needs no sites.
    #[arg(long, conflicts_with = "without_sites")]
    without_sockets: bool,
    /// Holds so many sessions that are told nothing, too, and says what memory each takes; of the gateway alone. The first ones have to wait for the
    /// last, so a slow machine takes fewer.
    #[arg(long, value_name = "SESSIONS", value_parser = clap::value_parser!(u16).range(1..=19_000))]
    hold: Option<u16>,
    /// Leaves out python-socketio.
    #[arg(long)]
    without_python: bool,
    /// Ends with an error where what is wanted of what was measured is not reached.
    #[arg(long)]
    check: bool,
}

#[derive(Subcommand)]
enum Command {
    /// The gateway that is measured.
    #[command(hide = true)]
    Serve,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let runtime = || tokio::runtime::Runtime::new();
    if args.command.is_some() {
        return runtime()?.block_on(serve::run());
    }
    let seconds = Duration::from_secs(args.seconds);
    let (mut listed, mut told, mut goals) = (Vec::new(), Vec::new(), Goals::default());
    if !args.without_sites {
        listed = runtime()?.block_on(rest::measure(args.rounds))?;
        told = runtime()?.block_on(page::measure(args.rounds, seconds))?;
        report::print_sites(&listed, &told, &mut goals);
    }
    let verdict = |goals: Goals| if args.check { goals.check() } else { Ok(()) };
    if args.without_sockets {
        return verdict(goals);
    }
    let kinds = [Kind::Gateway, Kind::Node, Kind::Python];
    let mut seen: BTreeMap<(Plan, Kind), Vec<load::Seen>> = BTreeMap::new();
    for round in 1..=args.rounds {
        for &clients in &args.clients {
            for &window in &args.windows {
                let plan = Plan { clients, window };
                for kind in kinds {
                    if kind == Kind::Python && args.without_python {
                        continue;
                    }
                    // A fresh process each time: its peak of memory is of this plan alone.
                    let server = Server::start(kind)?;
                    let found = load::run(&server, plan, seconds)?;
                    eprintln!("round {round}: {}", report::line(plan, kind, &found));
                    seen.entry((plan, kind)).or_default().push(found);
                }
            }
        }
    }
    let mut held = Vec::new();
    if let Some(sessions) = args.hold {
        // A process that is started has the limit of the one that starts it.
        allow_many_connections();
        for _ in 1..=args.rounds {
            held.push(hold::run(&Server::start(Kind::Gateway)?, sessions.into())?);
        }
        report::print_held(&held);
    }
    report::finish(&seen, &listed, &told, &held, &mut goals)?;
    verdict(goals)
}
