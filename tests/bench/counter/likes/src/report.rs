//! The numbers, for people and for `make bench-counter`.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::{Args, load::Found};

#[derive(Serialize)]
struct Report {
    likes_per_second: f64,
    latency: Latency,
    visible: Latency,
    peak_mb: f64,
}

#[derive(Serialize)]
struct Latency {
    rate: u32,
    likes_per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

impl Latency {
    fn of(latencies: &[Duration], rate: u32, likes_per_second: f64) -> Self {
        let mut sorted: Vec<_> = latencies.iter().map(|latency| latency.as_secs_f64() * 1000.0).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |part: usize| {
            sorted
                .get(sorted.len() * part / 100)
                .or(sorted.last())
                .copied()
                .unwrap_or_default()
        };
        Self {
            rate,
            likes_per_second,
            p50_ms: at(50),
            p99_ms: at(99),
            max_ms: at(100),
        }
    }
}

/// Prints and writes; with `--check` it is an error where a number is not reached.
pub fn finish(args: &Args, most: &Found, steady: &Found, seen: &[Duration], peak_mb: f64) -> Result<()> {
    let per_second = |found: &Found| {
        let likes = u32::try_from(found.latencies.len()).unwrap_or(u32::MAX);
        f64::from(likes) / found.took.as_secs_f64()
    };
    let report = Report {
        likes_per_second: per_second(most),
        latency: Latency::of(&steady.latencies, args.rate, per_second(steady)),
        visible: Latency::of(seen, args.visible_rate, f64::from(args.visible_rate)),
        peak_mb,
    };
    println!(
        "likes acknowledged on one node, each fsynced: {:.0}/s (wanted 20000)",
        report.likes_per_second
    );
    let line = |what: &str, latency: &Latency, wanted: f64| {
        let Latency {
            rate,
            p50_ms,
            p99_ms,
            max_ms,
            ..
        } = latency;
        println!("{what} at {rate}/s: p50 {p50_ms:.1} ms, p99 {p99_ms:.1} ms (wanted {wanted}), max {max_ms:.1} ms");
    };
    line("acknowledged", &report.latency, 20.0);
    line("seen at every other node, from being sent,", &report.visible, 50.0);
    println!("peak of the node's memory: {peak_mb:.1} MB");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let folder = target.join("bench");
    fs::create_dir_all(&folder)?;
    let path = folder.join("counter-likes.json");
    fs::write(&path, serde_json::to_string_pretty(&report)?).with_context(|| format!("writing {}", path.display()))?;
    if args.check {
        ensure!(report.likes_per_second >= 20_000.0, "fewer likes than wanted");
        ensure!(report.latency.p99_ms < 20.0, "slower than wanted");
        ensure!(report.visible.p99_ms < 50.0, "seen later than wanted");
    }
    Ok(())
}
