//! Who leads the counter nodes, where their clients go, and the terminal client: real processes, by votes and by a Lease.

mod alone;
mod api;
mod clients;
mod fencing;
mod lease;
mod typed;
mod votes;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use synccluster_harness::eventually;
use synccluster_integration::counter::{Nodes, PATIENCE};

/// A node, and a client of one.
const NODE: &str = env!("CARGO_BIN_EXE_counter_node");

/// Within this a client has another node, and the nodes another leader, on a machine that lets them.
const SOON: Duration = Duration::from_secs(3);

/// That something took less than it may, but for the time in which nobody got anything done: `late`, of the same time.
fn in_time(what: &str, took: Duration, limit: Duration, late: Duration) -> Result<()> {
    let said = format!("{what}: {took:?}, of which nobody got anything done for {late:?}");
    println!("{said}");
    ensure!(took < limit + late, "{said}");
    Ok(())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who leads in which term, as one of these nodes answers.
async fn leader(nodes: &Nodes, asked: &[usize]) -> Result<(usize, u64)> {
    for node in asked {
        let answer = nodes.ask_leader(*node, "/nodes").await?;
        let Some(term) = answer.header("counter-term") else {
            continue;
        };
        let listed = answer.ok()?;
        let entries = listed.as_array().context("no array")?;
        let leads = entries.iter().filter(|entry| entry["leader"] == true);
        let leads: Vec<_> = leads.map(|entry| entry["node"].as_u64()).collect();
        ensure!(leads.len() == 1, "{listed}");
        let leads = leads[0].context("no number")?;
        return Ok((usize::try_from(leads)?, term.parse()?));
    }
    anyhow::bail!("nobody leads")
}

/// The same, as soon as there is one of at least this term; and how long that took.
async fn next_leader(nodes: &Nodes, asked: &[usize], term: u64) -> Result<(usize, u64, Duration)> {
    let begin = Instant::now();
    let (node, term) = eventually(PATIENCE, async || {
        let (node, now) = leader(nodes, asked).await?;
        ensure!(now >= term, "node {node} leads in term {now}");
        Ok((node, now))
    })
    .await?;
    Ok((node, term, begin.elapsed()))
}
