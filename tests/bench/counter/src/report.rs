//! What is printed and written.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Value, json};
use synccluster_harness::Goals;

use crate::{
    events::Plan,
    measure::{Seen, Worker},
};

/// Where it is written, from the repository's root.
const FILE: &str = "target/bench/counter.json";
/// What the load of likes wrote, if it ran.
const LIKES: &str = "target/bench/counter-likes.json";

/// The smallest, the middle and the largest.
#[derive(Clone, Copy, Debug, Serialize)]
struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    fn of(numbers: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let at = |place: usize| sorted.get(place).copied().map_or(0.0, hundredth);
        Self {
            min: at(0),
            median: at(sorted.len().saturating_sub(1) / 2),
            max: at(sorted.len().saturating_sub(1)),
        }
    }
}

/// One turn.
pub fn line(worker: Worker, seen: &Seen) -> String {
    format!(
        "{:<21} {:>8.0} likes/s; all of it {:>5.1} s, {:>5.1} s of CPU, peak {:>4.0} MB",
        worker.name(),
        seen.rate,
        seen.seconds,
        seen.cpu,
        seen.peak_mb
    )
}

/// Prints min/median/max and writes the file; with `check` it is an error where what is wanted is not reached.
pub fn finish(plan: &Plan, seen: &[(Worker, Vec<Seen>)], check: bool) -> Result<()> {
    println!(
        "{:<21}  likes/s (min/median/max)       seconds with its start  CPU seconds         peak MB",
        "worker"
    );
    let mut windows = Vec::new();
    let (mut own, mut best, mut peak) = (0.0, 0.0f64, 0.0);
    for (worker, turns) in seen {
        let of = |what: fn(&Seen) -> f64| Spread::of(turns.iter().map(what));
        let (rate, seconds) = (of(|seen| seen.rate), of(|seen| seen.seconds));
        let (cpu, memory) = (of(|seen| seen.cpu), of(|seen| seen.peak_mb));
        println!(
            "{:<21}  {:>7.0} / {:>7.0} / {:>7.0}    {:>4.1} / {:>4.1} / {:>4.1}      {:>4.1} / {:>4.1} / {:>4.1}  {:>4.0} / {:>4.0} / {:>4.0}",
            worker.name(),
            rate.min,
            rate.median,
            rate.max,
            seconds.min,
            seconds.median,
            seconds.max,
            cpu.min,
            cpu.median,
            cpu.max,
            memory.min,
            memory.median,
            memory.max
        );
        if *worker == Worker::Counter {
            (own, peak) = (rate.median, memory.max);
        } else {
            best = best.max(rate.median);
        }
        windows.push(json!({
            "worker": worker, "likes_per_second": rate, "seconds_with_start": seconds, "cpu_seconds": cpu, "peak_mb": memory,
        }));
    }
    if seen.len() < Worker::ALL.len() {
        println!("Peak {peak:.1} MB; without peers there is no ratio, and nothing is written.");
        return Ok(());
    }
    println!("{:.2} times the better Kafka Streams; peak {peak:.1} MB.", own / best);
    let document = json!({
        "events": plan.events, "keys": plan.keys, "partitions": plan.partitions, "windows": "1m,5m,10m",
        "guarantee": "exactly once", "ratio_to_best_peer": hundredth(own / best), "peak_mb": peak, "windows_by_worker": windows,
        "likes": likes()?,
    });
    fs::create_dir_all("target/bench")?;
    fs::write(FILE, serde_json::to_string_pretty(&document)? + "\n")?;
    println!("Written to {FILE}.");
    let mut goals = Goals::default();
    goals.at_least("the rate in parts of the better Kafka Streams'", own / best, 3.0);
    goals.at_most("the worker's peak memory in MB", peak, 32.0);
    if check { goals.check() } else { Ok(()) }
}

fn likes() -> Result<Value> {
    if !Path::new(LIKES).is_file() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&fs::read_to_string(LIKES)?).context(LIKES)
}

fn hundredth(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}
