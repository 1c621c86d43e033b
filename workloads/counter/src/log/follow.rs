//! Reading the own log from a position on, and waiting for more: what `publish` and the mesh do.

use std::{io, sync::Arc};

use tokio::sync::watch;

use crate::crdt::{Entry, Origin, Position};

/// Why entries cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// They were needed by nobody any more.
    #[error("entries up to {0} are no longer in the log")]
    Truncated(Position),
    /// The disk.
    #[error("cannot read the log: {0}; check the volume")]
    Io(#[from] io::Error),
    /// A record that was good when it was written is not good now.
    #[error("the log is damaged at position {0}; check the volume")]
    Damaged(Position),
    /// The node has ended.
    #[error("the node has ended")]
    Ended,
}

/// Where the own log ends: entries up to here are on disk and count.
pub type LogEnd = watch::Receiver<Position>;

/// Reads entries that are on disk. It never sees one that is not.
pub trait Follower: Send {
    /// Entries from the next position on, one at least and about `limit` at most; waits until there is one. Dropped while it waits, it
    /// loses nothing.
    fn next(&mut self, limit: usize) -> impl Future<Output = Result<Arc<[Entry]>, Missing>> + Send;
}

/// The own log, as those see it who pass it on.
pub trait OwnLog: Clone + Send + Sync + 'static {
    /// Reads it.
    type Follower: Follower;

    /// Whose log it is. Positions begin at 1 anew in every incarnation: whoever stores a position stores the incarnation beside it.
    fn origin(&self) -> Origin;
    /// The last position that is on disk.
    fn end(&self) -> LogEnd;
    /// Reads from `from` on, that entry included.
    fn follow(&self, from: Position) -> Self::Follower;
    /// Everything up to `position` is in Kafka for good. From the first call on, no more than that is ever truncated.
    fn published(&self, position: Position);
}
