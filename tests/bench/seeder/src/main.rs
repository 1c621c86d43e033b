//! Measures the seeder: a full load side by side with a plain COPY of the same rows into the same enrolled table, and deltas at a rate.
//! `make bench-seeder` runs it and writes target/bench/seeder.json.

mod child;
mod copy;
mod place;

use std::fs;

use anyhow::{Result, ensure};
use clap::Parser;
use serde_json::{Value, json};
use synccluster_harness::Goals;

use crate::{child::Ran, place::Place};

const FOLDER: &str = "target/bench";
const FILE: &str = "target/bench/seeder.json";

/// Measures the seeder against COPY.
#[derive(Parser)]
struct Arguments {
    /// Rows of the load.
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// Rounds; in each, COPY and the seeder have a turn.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Writes a second of the deltas.
    #[arg(long, default_value_t = 5000)]
    rate: u32,
    /// Seconds of the deltas.
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// Ends with an error where what is wanted is not reached.
    #[arg(long)]
    check: bool,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    child::binary()?;
    let (mut ratios, mut seeded, mut copied, mut peaks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..arguments.rounds {
        let place = Place::new(1).await?;
        let load = child::run(&place, &format!("load --rows {}", arguments.rows)).await?;
        ensure!(load.progress["acknowledged"] == arguments.rows, "{}", load.progress);
        // The rows that were made, into a database as new as the seeder's was.
        let rows = copy::out(&place).await?;
        drop(place);
        let plain = copy::into(&Place::new(1).await?, rows).await?;
        let (ours, theirs) = (
            per_second(arguments.rows, load.seconds),
            per_second(arguments.rows, plain),
        );
        eprintln!(
            "round {round}: seeder {ours:.0} rows/s, COPY {theirs:.0} rows/s, ratio {:.2}, peak {:.0} MB",
            ours / theirs,
            load.peak_mb
        );
        ratios.push(ours / theirs);
        seeded.push(ours);
        copied.push(theirs);
        peaks.push(load.peak_mb);
    }
    let deltas = deltas(&arguments).await?;
    let peak = peaks.iter().copied().fold(deltas.peak_mb, f64::max);
    let rate = deltas.progress["acknowledged"].as_f64().unwrap_or_default() / f64::from(arguments.seconds);
    let ratio = median(&mut ratios);
    let report = json!({
        "rows": arguments.rows,
        "load_rows_per_second": spread(&mut seeded),
        "copy_rows_per_second": spread(&mut copied),
        "ratio": hundredth(ratio),
        "deltas_asked_per_second": arguments.rate,
        "deltas_per_second": hundredth(rate),
        "deltas": deltas.progress,
        "peak_mb": hundredth(peak),
    });
    fs::create_dir_all(FOLDER)?;
    fs::write(FILE, format!("{report:#}\n"))?;
    println!(
        "load: {:.2} of COPY; deltas: {rate:.0}/s of {} asked; peak {peak:.0} MB; {FILE}",
        ratio, arguments.rate
    );
    if arguments.check {
        let mut goals = Goals::default();
        goals.at_least("the load in parts of COPY", ratio, 0.5);
        goals.at_least("the deltas' rate a second", rate, 0.98 * f64::from(arguments.rate));
        goals.check()?;
    }
    Ok(())
}

/// Into one site, so that every write finds its row; without connector and sink: what is measured is the seeder, not the sync.
async fn deltas(arguments: &Arguments) -> Result<Ran> {
    let place = Place::new(1).await?;
    let line = format!(
        "deltas --rate {} --duration {}s --skew 0.8",
        arguments.rate, arguments.seconds
    );
    child::run(&place, &line).await
}

fn per_second(rows: u64, seconds: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "some millions")]
    let rows = rows as f64;
    rows / seconds
}

fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or_default()
}

fn spread(numbers: &mut [f64]) -> Value {
    let median = median(numbers);
    json!({ "min": numbers.first().map(|n| n.round()), "median": median.round(), "max": numbers.last().map(|n| n.round()) })
}

fn hundredth(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}
