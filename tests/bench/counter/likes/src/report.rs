//! The numbers, for people and for `make bench-counter`.

use std::{fmt, fs, time::Duration};

use anyhow::Result;
use serde_json::{Value, json};
use synccluster_harness::Goals;

use crate::{Args, load::Found};

/// Where they are written, from the repository's root; the bench of windows takes them into its own file.
const FOLDER: &str = "target/bench";
const FILE: &str = "target/bench/counter-likes.json";

/// A like is acknowledged once it is on disk; p99, in milliseconds.
const ACKNOWLEDGED: f64 = 20.0;
/// The same of when every node shows it.
const VISIBLE: f64 = 50.0;
/// A like waits for the write that is under way and for its own: where one alone takes longer than this, no node can keep `ACKNOWLEDGED`.
const DISK: f64 = ACKNOWLEDGED / 2.0;

/// What one round found.
pub struct Round {
    likes_per_second: f64,
    acknowledged: Latency,
    visible: Latency,
    disk: Latency,
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

    fn document(&self) -> Value {
        json!({"p50_ms": tenth(self.p50), "p99_ms": tenth(self.p99), "max_ms": tenth(self.max)})
    }
}

impl Round {
    /// Of as many likes as are taken, of so many a second, of when these were seen, and of the disk meanwhile.
    pub fn of(most: &Found, steady: &Found, seen: &[Duration], on_disk: &[Duration], peak_mb: f64) -> Self {
        let likes = u32::try_from(most.latencies.len()).unwrap_or(u32::MAX);
        Self {
            likes_per_second: f64::from(likes) / most.took.as_secs_f64(),
            acknowledged: Latency::of(&steady.latencies),
            visible: Latency::of(seen),
            disk: Latency::of(on_disk),
            peak_mb,
        }
    }

    /// Whether the disk alone left room for what is wanted of a node.
    pub fn says_something(&self) -> bool {
        self.disk.p99 < DISK
    }

    /// All it found. What is passed over is marked, and counts nowhere; who reads the file may judge that himself.
    fn document(&self) -> Value {
        json!({
            "passed_over": !self.says_something(), "likes_per_second": tenth(self.likes_per_second),
            "latency": self.acknowledged.document(), "visible": self.visible.document(), "disk": self.disk.document(),
            "peak_mb": tenth(self.peak_mb),
        })
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0} likes/s; p99 acknowledged {:.1} ms, p99 visible {:.1} ms, p99 of the disk alone {:.1} ms; peak {:.1} MB",
            self.likes_per_second, self.acknowledged.p99, self.visible.p99, self.disk.p99, self.peak_mb
        )
    }
}

/// Prints min/median/max of the rounds that say something and writes them, and each round by itself; with `--check` it is an error where a
/// median does not reach what is wanted.
pub fn finish(args: &Args, all: &[Round]) -> Result<()> {
    let rounds: Vec<_> = all.iter().filter(|round| round.says_something()).collect();
    let passed_over = all.len() - rounds.len();
    let line = |what: &str, of: fn(&Round) -> f64| {
        let sorted = sorted(rounds.iter().map(|round| of(round)));
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
    let disk = [
        line("the disk alone, p50, ms", |round| round.disk.p50),
        line(
            &format!("the disk alone, p99, ms (other rounds are passed over: {passed_over})"),
            |round| round.disk.p99,
        ),
        line("the disk alone, max, ms", |round| round.disk.max),
    ];
    let peak = line("peak memory of the node, MB", |round| round.peak_mb);
    let of_rate = |rate: u32, [p50, p99, max]: &[(f64, Value); 3]| json!({"rate": rate, "p50_ms": p50.1, "p99_ms": p99.1, "max_ms": max.1});
    let [p50, p99, max] = &disk;
    let disk = json!({"p50_ms": p50.1, "p99_ms": p99.1, "max_ms": max.1});
    let document = json!({
        "rounds": rounds.len(), "likes_per_second": most.1, "latency": of_rate(rate, &acknowledged), "visible": of_rate(seen, &visible),
        "disk": disk, "rounds_passed_over": passed_over, "peak_mb": peak.1,
        "each_round": all.iter().map(Round::document).collect::<Vec<_>>(),
    });
    fs::create_dir_all(FOLDER)?;
    fs::write(FILE, serde_json::to_string_pretty(&document)? + "\n")?;
    if args.check {
        let mut goals = Goals::default();
        goals.at_least("likes acknowledged on one node a second", most.0, 20_000.0);
        goals.below("p99 of an acknowledgement in ms", acknowledged[1].0, ACKNOWLEDGED);
        goals.below("p99 until every node shows a like in ms", visible[1].0, VISIBLE);
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
