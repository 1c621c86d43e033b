//! What goes on beside: load is measured, what was counted twice is taken back, snapshots are written and the log is truncated; and whether the node is
//! alone is looked at.

use std::{
    collections::HashSet,
    mem,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use synccluster_runtime::health::Pulse;
use tokio::{task::spawn_blocking, time};
use tokio_util::sync::CancellationToken;

use super::{
    Node,
    alone::{Alone, LOOK},
    order::Order,
    writer::GROUP,
};
use crate::{
    crdt::{Key, Position, Search, Summary, Void},
    log::{self, Missing, OwnLog, snapshot},
    mesh::members::{Load, hears_majority},
};

/// How often load is measured.
const TICK: Duration = Duration::from_secs(1);
/// How often a snapshot is written while something changes, in ticks.
const SNAPSHOT_EVERY: u32 = 30;
/// The same where it is worth while earlier: peers keep what is not in it, and may be full of it.
const SNAPSHOT_EARLY: u32 = 5;
/// Entries for which it is worth while at least.
const WORTH: u64 = 100;

/// Why something was not taken back, or a snapshot not written.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Snapshot(#[from] snapshot::Error),
    #[error(transparent)]
    Log(#[from] Missing),
}

impl Node {
    /// Keeps the node until `stop`, which comes when it has left; then a last snapshot is written.
    pub async fn keep(self: Arc<Self>, pulse: Arc<Pulse>, stop: CancellationToken) {
        let mut tick = time::interval(TICK);
        tick.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        let (mut ticks, mut last, mut written) = (0_u32, self.acknowledged.load(Ordering::Relaxed), Vec::new());
        let began = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.doubles.notified() => self.take_back().await,
                _ = tick.tick() => {
                    pulse.beat();
                    ticks += 1;
                    let now = self.acknowledged.load(Ordering::Relaxed);
                    let likes_per_second = u32::try_from(now.saturating_sub(mem::replace(&mut last, now))).unwrap_or(u32::MAX);
                    self.members.load(Load { clients: self.clients(), likes_per_second });
                    let is_due = ticks.is_multiple_of(SNAPSHOT_EVERY)
                        || ticks.is_multiple_of(SNAPSHOT_EARLY)
                            && (self.unkept().is_some() || self.is_worth_a_snapshot(&written))
                        || self.log.could_truncate(self.stable_position());
                    if is_due {
                        self.snapshot_and_truncate(&mut written).await;
                    }
                    self.forget(began.elapsed());
                    if ticks.is_multiple_of(SNAPSHOT_EARLY) && !self.state().doubled().is_empty() {
                        // They could not be written: the volume was full.
                        self.doubles.notify_one();
                    }
                }
            }
        }
        self.snapshot_and_truncate(&mut written).await;
    }

    /// Looks whether the node is alone until `stop`, and tells it when that changes. It waits for nothing else: a snapshot or a search in the log may take long,
    /// and clients would be told late that the others are heard again.
    pub async fn look_around(self: Arc<Self>, stop: CancellationToken) {
        let mut look = time::interval(LOOK);
        look.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        let (began, mut alone) = (Instant::now(), Alone::default());
        while stop.run_until_cancelled(look.tick()).await.is_some() {
            let now = Instant::now();
            let is_alone = alone.looked(hears_majority(&self.members.all(now)), now - began);
            let has_changed = self
                .alone
                .send_if_modified(|told| mem::replace(told, is_alone) != is_alone);
            if has_changed {
                tracing::info!(is_alone, "whether this node is alone has changed");
            }
        }
    }

    fn forget(&self, now: Duration) {
        let mut state = self.state();
        let stable = self.stable();
        state.forget(now, |origin| stable.settled(origin));
    }

    /// Whether much was learnt for what a snapshot has to write, or so much that peers may soon have no room for what is not in it.
    fn is_worth_a_snapshot(&self, written: &[Summary]) -> bool {
        let state = self.state();
        let before = |origin| {
            let before = written.iter().find(|summary| summary.origin == origin);
            before.map(|before| before.position).unwrap_or_default()
        };
        let grown = |summary: &Summary| summary.position.0.saturating_sub(before(summary.origin).0);
        let grown: u64 = state.summaries().iter().map(grown).sum();
        grown >= WORTH.max(state.size() as u64) || state.requests_after(before) > self.settings.remember.count / 4
    }

    async fn snapshot_and_truncate(self: &Arc<Self>, written: &mut Vec<Summary>) {
        // What the snapshot does not have yet must stay in the log.
        let stable = self.stable_position();
        let summaries = self.state().summaries();
        if summaries != *written {
            let node = Arc::clone(self);
            match spawn_blocking(move || node.snapshot()).await {
                Ok(Ok(())) => {
                    // Whether the writer lives does not matter here.
                    let kept = super::others(self.origin(), &summaries);
                    let _ = self.orders.send(Order::Kept(kept)).await;
                    *written = summaries;
                }
                Ok(Err(error)) => return tracing::warn!(%error, "no snapshot; the log stays as long as it is"),
                Err(_) => return,
            }
        }
        let own = written.iter().find(|summary| summary.origin == self.origin());
        let covered = own.map_or(Position(0), |summary| summary.position);
        self.log.truncate(stable.min(covered));
    }

    /// Whether it could be written is told in the status: without one nothing of the log may go, and nothing is taken back.
    fn snapshot(&self) -> Result<(), snapshot::Error> {
        let written = self.write_snapshot();
        let unkept = written
            .as_ref()
            .err()
            .map(|error| format!("no snapshot is written, and without one the log stays as long as it is: {error}"));
        *self.unkept() = unkept;
        written
    }

    /// Part by part, so that likes wait for no more than one.
    fn write_snapshot(&self) -> Result<(), snapshot::Error> {
        let summaries = self.state().summaries();
        let mut parts = Vec::with_capacity(summaries.len());
        for summary in summaries {
            if let Some(part) = self.state().part(summary.origin) {
                parts.push(snapshot::encode(summary.origin, part)?);
            }
        }
        snapshot::write(self.log.folder(), &parts)
    }

    async fn take_back(self: &Arc<Self>) {
        let (wanted, position) = {
            let state = self.state();
            (state.doubled().clone(), state.position(self.origin()))
        };
        // What was counted just now is told a moment later.
        if wanted.is_empty() || self.log.end().wait_for(|end| *end >= position).await.is_err() {
            return;
        }
        let node = Arc::clone(self);
        match spawn_blocking(move || node.find(wanted)).await {
            Ok(Ok(voids)) => {
                for voids in voids.chunks(GROUP) {
                    let _ = self.orders.send(Order::TakeBack(voids.to_vec())).await;
                }
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "what was counted twice is not taken back yet; it is tried again");
                time::sleep(TICK).await;
                self.doubles.notify_one();
            }
            Err(_) => {}
        }
    }

    /// The entries that count these requests. What the others count is put on the own disk first: if both the other's disk and this
    /// process were lost after the entry was taken back, the request would count nowhere.
    fn find(&self, wanted: HashSet<Key>) -> Result<Vec<Void>, Error> {
        self.snapshot()?;
        let requests = wanted.len();
        let mut search = Search::new(wanted);
        log::scan(&self.log, |entry| search.read(entry))?;
        let (voids, missing) = search.end();
        tracing::info!(
            requests,
            taken_back = voids.len(),
            missing = missing.len(),
            "requests that another node counts too are taken back here"
        );
        self.state().give_up(&missing);
        Ok(voids)
    }
}
