//! A node: what it knows, what it is asked, what it tells. `writer` is the one way into its own log; `mesh` brings what peers say.

mod alone;
mod keep;
mod leave;
mod order;
pub(crate) mod stable;
mod start;
mod writer;

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use synccluster_protocol::ClusterName;
use tokio::sync::{Notify, broadcast, mpsc, watch};

use crate::{
    crdt::{Add, Entry, Full, Gap, Id, Learned, Origin, Part, Position, State, Summary},
    log::{Log, OwnLog},
    mesh::members::Members,
};

use order::Order;
pub use order::{Answer, Refused, Reply};
use stable::Stable;
pub use start::{Settings, StartError};

/// A node, shared by all who serve it.
pub struct Node {
    settings: Settings,
    state: Mutex<State>,
    log: Log,
    orders: mpsc::Sender<Order>,
    changes: broadcast::Sender<Arc<[Id]>>,
    members: Members,
    stable: Mutex<Stable>,
    /// What of the others' logs is on disk.
    kept: Mutex<Vec<(Origin, Position)>>,
    doubles: Notify,
    trouble: watch::Sender<Option<String>>,
    /// Why there is no newer snapshot.
    unkept: Mutex<Option<String>>,
    failure: watch::Sender<Option<String>>,
    alone: watch::Sender<bool>,
    acknowledged: AtomicU64,
    clients: AtomicU32,
}

impl Node {
    /// Counts likes, all or none of them; `reply` is told when they are on disk, or why not.
    pub fn like(&self, adds: Vec<Add>, reply: Reply) {
        if let Err(refused) = self.orders.try_send(Order::Likes { adds, reply }) {
            let (order, reason) = match refused {
                mpsc::error::TrySendError::Full(order) => (order, Refused::Busy),
                mpsc::error::TrySendError::Closed(order) => (order, Refused::Stopping),
            };
            if let Order::Likes { reply, .. } = order {
                reply(Err(reason));
            }
        }
    }

    /// What it knows. Held for short moments only.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cluster it belongs to.
    pub fn cluster(&self) -> &ClusterName {
        &self.settings.cluster
    }

    /// Whose log it writes.
    pub fn origin(&self) -> Origin {
        self.log.origin()
    }

    /// Its own log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// All nodes.
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// Ids whose totals may be others, as it happens. Who falls behind is told so and has to look at everything.
    pub fn changes(&self) -> broadcast::Receiver<Arc<[Id]>> {
        self.changes.subscribe()
    }

    /// Whether it has heard no majority of the nodes for a while: what its clients see may be old, and others may not see their likes.
    pub fn alone(&self) -> watch::Receiver<bool> {
        self.alone.subscribe()
    }

    /// A client is connected until this is dropped.
    pub fn client(self: &Arc<Self>) -> Client {
        self.clients.fetch_add(1, Ordering::Relaxed);
        Client(Arc::clone(self))
    }

    /// How many clients are connected.
    pub fn clients(&self) -> u32 {
        self.clients.load(Ordering::Relaxed)
    }

    /// Likes acknowledged since the start.
    pub fn likes(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Takes in entries of a peer's log.
    pub fn learn(&self, origin: Origin, entries: &[Entry]) -> Result<(), Gap> {
        let (learned, result) = self.state().apply(origin, entries);
        self.learned(learned);
        result
    }

    /// Takes in a whole part; `first_hand` when its own node tells it.
    pub fn learn_whole(&self, origin: Origin, part: Part, first_hand: bool) {
        let learned = self.state().merge(origin, part, first_hand);
        self.learned(learned);
    }

    /// What peers are told: what of the others' logs is on disk here, and what is known. In this order: where the own log ends must be seen
    /// after what it was written with.
    pub fn word(&self) -> (Vec<(Origin, Position)>, Vec<Summary>) {
        let kept = self.kept().clone();
        (kept, self.state().summaries())
    }

    /// A peer says what it knows, and what of it is on its disk.
    pub fn said(&self, peer: Origin, kept: &[(Origin, Position)], theirs: &[Summary]) {
        let position = |origin| {
            let summary = theirs.iter().find(|summary| summary.origin == origin);
            summary.map(|summary| summary.position).unwrap_or_default()
        };
        let (knows, end) = (position(self.origin()), *self.log.end().borrow());
        if knows > end {
            self.fail(format!(
                "{peer} knows this node's log up to position {knows}, and on disk it ends at {end}: the volume was put back to an older \
                 state. Empty the folder; the node begins anew as another incarnation, and what its peers know stays counted"
            ));
            return;
        }
        let state = self.state();
        self.stable()
            .said(peer, kept.iter().copied(), position(peer), |origin| {
                state.position(origin)
            });
    }

    /// Up to where nobody needs its log.
    pub fn stable_position(&self) -> Position {
        let mut stable = self.stable();
        stable.published(self.log.published_position());
        stable.position().min(*self.log.end().borrow())
    }

    /// Why it cannot go on, if that is so.
    pub fn failure(&self) -> Option<String> {
        self.failure.borrow().clone()
    }

    /// What is wrong, if anything is.
    pub fn error(&self) -> Option<String> {
        let trouble = || self.trouble.borrow().clone();
        self.failure().or_else(trouble).or_else(|| self.unkept().clone())
    }

    /// Ends when the node cannot go on.
    pub async fn failed(&self) -> String {
        let mut failure = self.failure.subscribe();
        match failure.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }

    fn stable(&self) -> MutexGuard<'_, Stable> {
        self.stable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> MutexGuard<'_, Vec<(Origin, Position)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What failed when a snapshot was written last.
    fn unkept(&self) -> MutexGuard<'_, Option<String>> {
        self.unkept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learned(&self, learned: Learned) {
        if learned.doubled {
            self.doubles.notify_one();
        }
        if !learned.changed.is_empty() {
            // Nobody watches: that is no error.
            let _ = self.changes.send(learned.changed.into());
        }
    }

    /// A group is on disk: from now on it counts.
    fn count_group(&self, entries: &[Entry]) {
        let (learned, gap) = self.state().apply(self.origin(), entries);
        if let Err(gap) = gap {
            self.fail(format!("the own log does not join: {gap}"));
        }
        self.trouble(None);
        self.learned(learned);
    }

    /// Why nothing more is written, if that is so.
    fn log_full(&self) -> Option<Refused> {
        let bytes = self.log.bytes();
        (bytes > self.settings.log_bytes).then(|| {
            let unkept = self.unkept().clone();
            let reason = unkept.unwrap_or_else(|| {
                let mut stable = self.stable();
                stable.published(self.log.published_position());
                let behind = stable.behind();
                format!(
                    "{behind} lacks its entries: bring that back, or remove a node that is away for good from spec.counter.nodes"
                )
            });
            Refused::LogFull { bytes, reason }
        })
    }

    fn full(&self, full: Full) -> Refused {
        let remember = self.settings.remember;
        match full {
            Full::Ids => Refused::TooManyIds(self.settings.max_ids),
            Full::Runs => Refused::TooManyClients(remember.runs),
            Full::Requests => Refused::TooManyRequests {
                count: remember.count,
                behind: self.stable().nodes_behind(),
            },
        }
    }

    fn max_ids(&self) -> usize {
        self.settings.max_ids
    }

    fn acknowledged(&self, likes: usize) {
        self.acknowledged.fetch_add(likes as u64, Ordering::Relaxed);
    }

    fn trouble(&self, trouble: Option<String>) {
        self.trouble.send_if_modified(|current| {
            let changed = *current != trouble;
            if changed {
                let written = trouble.is_none();
                tracing::warn!(
                    written,
                    reason = trouble.as_deref().unwrap_or_default(),
                    "whether likes are written has changed"
                );
                *current = trouble;
            }
            changed
        });
    }

    fn fail(&self, reason: String) {
        tracing::error!(reason, "the node cannot go on");
        self.failure.send_replace(Some(reason));
    }
}

/// What of logs that are not the own one is in these.
fn others(own: Origin, summaries: &[Summary]) -> Vec<(Origin, Position)> {
    let others = summaries.iter().filter(|summary| summary.origin != own);
    others.map(|summary| (summary.origin, summary.position)).collect()
}

/// Counts as one client while it lives.
pub struct Client(Arc<Node>);

impl Drop for Client {
    fn drop(&mut self) {
        self.0.clients.fetch_sub(1, Ordering::Relaxed);
    }
}
