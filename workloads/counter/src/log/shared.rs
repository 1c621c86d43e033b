//! What the writer, the readers and the housekeeping share of a log.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::watch;

use super::{
    follow::{LogEnd, OwnLog},
    reader::Reader,
    segment::{self, Segment},
};
use crate::crdt::{Origin, Position};

/// A handle to the own log. Clones are the same log.
#[derive(Clone)]
pub struct Log(pub(super) Arc<Shared>);

pub(super) struct Shared {
    origin: Origin,
    folder: PathBuf,
    segments: Mutex<Vec<Segment>>,
    end: watch::Sender<Position>,
    published: watch::Sender<Option<Position>>,
    /// A segment that nobody needs could not be removed.
    stuck: AtomicBool,
    _lock: File,
}

impl Shared {
    pub(super) fn new(origin: Origin, folder: PathBuf, segments: Vec<Segment>, end: Position, lock: File) -> Self {
        Self {
            origin,
            folder,
            segments: Mutex::new(segments),
            end: watch::Sender::new(end),
            published: watch::Sender::new(None),
            stuck: AtomicBool::new(false),
            _lock: lock,
        }
    }

    pub(super) fn segments(&self) -> MutexGuard<'_, Vec<Segment>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn advance(&self, end: Position) {
        self.end.send_replace(end);
    }
}

impl Log {
    pub(super) fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    /// Bytes it has on disk.
    pub fn bytes(&self) -> u64 {
        self.0.segments().iter().map(|segment| segment.length).sum()
    }

    /// The first position that is still there.
    pub fn begin(&self) -> Position {
        self.0
            .segments()
            .first()
            .map(|segment| segment.first)
            .unwrap_or_default()
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        self.0.folder()
    }

    /// Up to where it is in Kafka; absent before that was told.
    pub fn published_position(&self) -> Option<Position> {
        *self.0.published.borrow()
    }

    /// Whether a segment could go if all up to `stable` may. One that could not be removed last time is no reason to try again at once.
    pub fn could_truncate(&self, stable: Position) -> bool {
        let second = self.0.segments().get(1).map(|second| second.first);
        second.is_some_and(|second| second <= stable.next()) && !self.0.stuck.load(Ordering::Relaxed)
    }

    /// Removes segments of which nothing after `stable` is left. The newest one stays, and one that cannot be removed keeps those behind it: a log with a
    /// hole would not be opened again.
    pub fn truncate(&self, stable: Position) {
        let mut segments = self.0.segments();
        while segments.get(1).is_some_and(|second| second.first <= stable.next()) {
            let removed = segment::remove(&segments[0].path);
            self.0.stuck.store(removed.is_err(), Ordering::Relaxed);
            if let Err(error) = removed {
                tracing::warn!(%error, path = %segments[0].path.display(), "cannot remove a segment that nobody needs; it is tried again with the next snapshots");
                return;
            }
            segments.remove(0);
        }
    }
}

impl OwnLog for Log {
    type Follower = Reader;

    fn origin(&self) -> Origin {
        self.0.origin
    }

    fn end(&self) -> LogEnd {
        self.0.end.subscribe()
    }

    fn follow(&self, from: Position) -> Reader {
        Reader::new(self.clone(), from)
    }

    fn published(&self, position: Position) {
        self.0.published.send_replace(Some(position));
    }
}
