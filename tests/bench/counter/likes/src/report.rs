//! The numbers, for people and for `make bench-counter`.

use std::{fmt, fs, time::Duration};

use anyhow::Result;
use serde_json::{Value, json};
use synccluster_harness::Goals;

use crate::{Args, load::Found};

/// Where they are written, from the repository's root; the bench of windows takes them into its own file.
const FOLDER: &str = "target/bench";
const FILE: &str = "target/bench/counter-likes.json";

/// What one round found.
pub struct Round {
    likes_per_second: f64,
    acknowledged: Latency,
    visible: Latency,
    peak_mb: f64,
}

/// In milliseconds.
struct Latency {
    p50: f64,
    p99: f64,
    max: f64,
}

impl Latency {
    fn of(latencies: &[Duration]) -> Self {
        let sorted = sorted(latencies.iter().map(|latency| latency.as_secs_f64() * 1000.0));
        let at = |part: usize| {
            let place = sorted.get(sorted.len() * part / 100).or(sorted.last());
            place.copied().unwrap_or_default()
        };
        Self {
            p50: at(50),
            p99: at(99),
            max: at(100),
        }
    }
}

impl Round {
    /// Of as many likes as are taken, of so many a second, and of when these were seen.
    pub fn of(most: &Found, steady: &Found, seen: &[Duration], peak_mb: f64) -> Self {
        let likes = u32::try_from(most.latencies.len()).unwrap_or(u32::MAX);
        Self {
            likes_per_second: f64::from(likes) / most.took.as_secs_f64(),
            acknowledged: Latency::of(&steady.latencies),
            visible: Latency::of(seen),
            peak_mb,
        }
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0} likes/s; p99 acknowledged {:.1} ms, p99 visible {:.1} ms; peak {:.1} MB",
            self.likes_per_second, self.acknowledged.p99, self.visible.p99, self.peak_mb
        )
    }
}

/// Prints min/median/max and writes them; with `--check` it is an error where a median does not reach what is wanted.
pub fn finish(args: &Args, rounds: &[Round]) -> Result<()> {
    let line = |what: &str, of: fn(&Round) -> f64| {
        let sorted = sorted(rounds.iter().map(of));
        let at = |place: usize| sorted.get(place).copied().unwrap_or_default();
        let (min, median, max) = (
            at(0),
            at(sorted.len().saturating_sub(1) / 2),
            at(sorted.len().saturating_sub(1)),
        );
        println!("{what:<60} {min:>9.1} / {median:>9.1} / {max:>9.1}");
        (
            median,
            json!({"min": tenth(min), "median": tenth(median), "max": tenth(max)}),
        )
    };
    println!("{:<60} min / median / max", "likes");
    let most = line("acknowledged on one node, fsynced, a second (wanted 20000)", |round| {
        round.likes_per_second
    });
    let (rate, seen) = (args.rate, args.visible_rate);
    let own = |p: &str, wanted: &str| format!("acknowledged at {rate}/s, {p}, ms{wanted}");
    let others = |p: &str, wanted: &str| format!("seen at every other node at {seen}/s, {p}, ms{wanted}");
    let acknowledged = [
        line(&own("p50", ""), |round| round.acknowledged.p50),
        line(&own("p99", " (wanted 20)"), |round| round.acknowledged.p99),
        line(&own("max", ""), |round| round.acknowledged.max),
    ];
    let visible = [
        line(&others("p50", ""), |round| round.visible.p50),
        line(&others("p99", " (wanted 50)"), |round| round.visible.p99),
        line(&others("max", ""), |round| round.visible.max),
    ];
    let peak = line("peak memory of the node, MB", |round| round.peak_mb);
    let latency = |rate: u32, [p50, p99, max]: &[(f64, Value); 3]| json!({"rate": rate, "p50_ms": p50.1, "p99_ms": p99.1, "max_ms": max.1});
    let document = json!({
        "rounds": rounds.len(), "likes_per_second": most.1, "latency": latency(rate, &acknowledged), "visible": latency(seen, &visible), "peak_mb": peak.1,
    });
    fs::create_dir_all(FOLDER)?;
    fs::write(FILE, serde_json::to_string_pretty(&document)? + "\n")?;
    if args.check {
        let mut goals = Goals::default();
        goals.at_least("likes acknowledged on one node a second", most.0, 20_000.0);
        goals.below("p99 of an acknowledgement in ms", acknowledged[1].0, 20.0);
        goals.below("p99 until every node shows a like in ms", visible[1].0, 50.0);
        goals.check()?;
    }
    Ok(())
}

fn sorted(numbers: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut sorted: Vec<_> = numbers.collect();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

fn tenth(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}
