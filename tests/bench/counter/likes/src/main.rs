//! Measures how many likes counter nodes take, how fast, and when others see them, with real processes on loopback and a real fsync.
//! `make bench-counter` runs it.

mod disk;
mod load;
mod report;
mod visible;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use disk::Disk;
use synccluster_integration::counter::Nodes;

/// So many rounds are passed over for each that is wanted, at most.
const PASSED_OVER: usize = 3;

/// Measures likes; prints what it found and writes target/bench/counter-likes.json.
#[derive(Parser)]
struct Args {
    /// The binary; by default the one beside this.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Rounds, each with nodes of its own.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// WebSocket connections.
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Likes of each connection on their way at once.
    #[arg(long, default_value_t = 128)]
    window: usize,
    /// Likes a second while latency is measured.
    #[arg(long, default_value_t = 5000)]
    rate: u32,
    /// Likes a second while it is measured when others see them.
    #[arg(long, default_value_t = 1000)]
    visible_rate: u32,
    /// Ends with an error where what is wanted is not reached.
    #[arg(long)]
    check: bool,
    /// Ids that are liked.
    #[arg(long, default_value_t = 1000)]
    ids: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let beside = || Ok::<_, anyhow::Error>(std::env::current_exe()?.with_file_name("synccluster-counter"));
    let binary = args.binary.clone().map_or_else(beside, Ok)?;
    ensure!(
        binary.exists(),
        "{} is missing: cargo build --release -p synccluster-counter",
        binary.display()
    );
    let binary = binary.to_str().context("a path that is no text")?;
    let (mut rounds, mut said, mut passed_over) = (Vec::new(), 0, 0);
    while said < args.rounds {
        let (number, round) = (rounds.len() + 1, round(&args, binary).await?);
        if round.says_something() {
            said += 1;
            eprintln!("round {number}: {round}");
        } else {
            passed_over += 1;
            eprintln!("round {number}: {round}; passed over, the disk alone is too slow");
        }
        rounds.push(round);
        ensure!(
            passed_over <= args.rounds * PASSED_OVER,
            "{passed_over} rounds during which the disk alone took too long: this machine cannot say how fast a node is"
        );
    }
    report::finish(&args, &rounds)
}

async fn round(args: &Args, binary: &str) -> Result<report::Round> {
    let length = Duration::from_secs(args.seconds);
    let one = Nodes::start(binary, 1, &[]).await?;
    let plan = load::Plan {
        connections: args.connections,
        window: args.window,
        rate: None,
        ids: args.ids,
    };
    let most = load::run(one.nodes[0].clients, plan, length).await?;
    let paced = load::Plan {
        rate: Some(args.rate),
        ..plan
    };
    let disk = Disk::watch()?;
    let steady = load::run(one.nodes[0].clients, paced, length).await?;
    let mut on_disk = disk.end()?;
    let counted: i64 = one.totals(0).await?.values().sum();
    let acknowledged = most.latencies.len() + steady.latencies.len();
    ensure!(
        counted == i64::try_from(acknowledged)?,
        "{acknowledged} likes were acknowledged and {counted} are counted"
    );
    let peak_mb = one.peak_mb(0)?;
    drop(one);

    let three = Nodes::start(binary, 3, &[]).await?;
    let disk = Disk::watch()?;
    let seen = visible::run(&three, args.visible_rate, args.ids, length).await?;
    on_disk.extend(disk.end()?);
    Ok(report::Round::of(&most, &steady, &seen, &on_disk, peak_mb))
}
