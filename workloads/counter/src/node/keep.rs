//! What goes on beside: load is measured, what was counted twice is taken back, snapshots are written and the log is truncated.

use std::{
    collections::HashSet,
    mem,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use synccluster_runtime::health::Pulse;
use tokio::{task::spawn_blocking, time};
use tokio_util::sync::CancellationToken;

use super::{Node, order::Order};
use crate::{
    crdt::{Key, Position, Search, Summary},
    log::{self, Missing, snapshot},
    mesh::members::Load,
};

/// How often load is measured.
const TICK: Duration = Duration::from_secs(1);
/// How often a snapshot is written while something changes.
const SNAPSHOT_EVERY: u32 = 30;
/// How long a node that stops waits for its writer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why something was not taken back, or a snapshot not written.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Snapshot(#[from] snapshot::Error),
    #[error(transparent)]
    Log(#[from] Missing),
}

impl Node {
    /// Keeps the node until `stop`; then what waits is written, and a last snapshot.
    pub async fn keep(self: Arc<Self>, pulse: Arc<Pulse>, stop: CancellationToken) {
        let mut tick = time::interval(TICK);
        tick.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        let (mut ticks, mut last, mut written) = (0, self.acknowledged.load(Ordering::Relaxed), Vec::new());
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
                    if ticks % SNAPSHOT_EVERY == 0 || self.log.could_truncate(self.stable_position()) {
                        self.snapshot_and_truncate(&mut written).await;
                    }
                }
            }
        }
        // Everything that was ordered before is written first; the writer answers the rest that it stops.
        if self.orders.send(Order::Stop).await.is_ok() {
            let _ = time::timeout(PATIENCE, self.orders.closed()).await;
        }
        self.snapshot_and_truncate(&mut written).await;
    }

    async fn snapshot_and_truncate(self: &Arc<Self>, written: &mut Vec<Summary>) {
        // What the snapshot does not have yet must stay in the log.
        let stable = self.stable_position();
        let summaries = self.state().summaries();
        if summaries != *written {
            let node = Arc::clone(self);
            match spawn_blocking(move || node.snapshot()).await {
                Ok(Ok(())) => *written = summaries,
                Ok(Err(error)) => return tracing::warn!(%error, "no snapshot; the log stays as long as it is"),
                Err(_) => return,
            }
        }
        let own = written.iter().find(|summary| summary.origin == self.origin());
        let covered = own.map_or(Position(0), |summary| summary.position);
        self.log.truncate(stable.min(covered));
    }

    /// Part by part, so that likes wait for no more than one.
    fn snapshot(&self) -> Result<(), snapshot::Error> {
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
        let doubled = mem::take(&mut *self.doubled.lock().unwrap_or_else(PoisonError::into_inner));
        if doubled.is_empty() {
            return;
        }
        let (node, wanted) = (Arc::clone(self), doubled.clone());
        match spawn_blocking(move || node.find(wanted)).await {
            Ok(Ok(order)) => {
                let _ = self.orders.send(order).await;
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "what was counted twice is not taken back yet; it is tried again");
                self.doubled
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend(doubled);
                time::sleep(TICK).await;
                self.doubles.notify_one();
            }
            Err(_) => {}
        }
    }

    /// The entries that count these requests. What the others count is put on the own disk first: if both the other's disk and this
    /// process were lost after the entry was taken back, the request would count nowhere.
    fn find(&self, wanted: HashSet<Key>) -> Result<Order, Error> {
        self.snapshot()?;
        let requests = wanted.len();
        let mut search = Search::new(wanted);
        log::scan(&self.log, |entry| search.read(entry))?;
        let (voids, missing) = search.end();
        tracing::info!(
            requests,
            taken_back = voids.len(),
            missing,
            "requests that another node counts too are taken back here"
        );
        Ok(Order::TakeBack(voids))
    }
}
