//! Measures the counter's windows side by side with Kafka Streams: the same likes, the same broker, the same cores, in one run.
//! `make bench-counter` runs it.

mod events;
mod measure;
mod report;
mod streams;
mod sums;

use anyhow::Result;
use clap::Parser;
use synccluster_harness::Kafka;

use crate::{
    events::Plan,
    measure::{Seen, Worker},
};

/// Measures the counter's windows side by side with Kafka Streams; prints min/median/max and writes target/bench/counter.json.
#[derive(Parser)]
struct Arguments {
    /// Rounds; in each, everybody has a turn. A first one is kept apart: the broker and the disk are cold.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Measures the counter alone; nothing is written.
    #[arg(long)]
    without_peers: bool,
    /// Ends with an error where what is wanted is not reached.
    #[arg(long, conflicts_with = "without_peers")]
    check: bool,
    #[command(flatten)]
    plan: Plan,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let plan = arguments.plan;
    measure::binary()?;
    if !arguments.without_peers {
        streams::build()?;
    }
    let kafka = Kafka::start().await?;
    let bootstrap = kafka.bootstrap();
    let wanted = {
        let bootstrap = bootstrap.clone();
        tokio::task::spawn_blocking(move || events::load(&bootstrap, &plan)).await??
    };
    let mut seen: Vec<(Worker, Vec<Seen>)> = Worker::ALL
        .iter()
        .filter(|worker| **worker == Worker::Counter || !arguments.without_peers)
        .map(|worker| (*worker, Vec::new()))
        .collect();
    for round in 0..=arguments.rounds {
        for (worker, turns) in &mut seen {
            let (worker, bootstrap, wanted) = (*worker, bootstrap.clone(), wanted.clone());
            let turn =
                tokio::task::spawn_blocking(move || measure::turn(worker, round, &bootstrap, &plan, &wanted)).await??;
            eprintln!("round {round}: {}", report::line(worker, &turn));
            if round > 0 {
                turns.push(turn);
            }
        }
    }
    report::finish(&plan, &seen, arguments.check)
}
