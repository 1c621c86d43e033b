//! The seeder that ships, as a process of its own: what it takes, and how much memory.

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::time::sleep;

use crate::place::Place;

/// What a run took.
pub struct Ran {
    /// What it said at its end.
    pub progress: Value,
    /// From its start to its end, connecting and looking at the tables included.
    pub seconds: f64,
    /// The most memory it had.
    pub peak_mb: f64,
}

/// The binary beside this one.
pub fn binary() -> Result<PathBuf> {
    let own = env::current_exe()?;
    let binary = own
        .parent()
        .context("a binary without a folder")?
        .join("synccluster-seeder");
    ensure!(
        binary.exists(),
        "{} is missing: make bench-seeder builds it",
        binary.display()
    );
    Ok(binary)
}

/// Runs it with this command line.
pub async fn run(place: &Place, line: &str) -> Result<Ran> {
    let began = Instant::now();
    let mut child = Command::new(binary()?)
        .args(line.split_ascii_whitespace())
        .arg("--sites")
        .arg(place.sites())
        .arg("--journal")
        .arg(place.journal())
        .args(["--output", "json"])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut peak_mb: f64 = 0.0;
    while child.try_wait()?.is_none() {
        peak_mb = peak_mb.max(peak(child.id()));
        sleep(Duration::from_millis(50)).await;
    }
    let seconds = began.elapsed().as_secs_f64();
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "{line} failed: {}",
        String::from_utf8_lossy(&output.stdout)
    );
    Ok(Ran {
        progress: serde_json::from_slice(&output.stdout)?,
        seconds,
        peak_mb,
    })
}

/// The most a process has had so far; 0 once it has ended.
fn peak(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<f64>().ok());
    kilobytes.unwrap_or_default() / 1024.0
}
