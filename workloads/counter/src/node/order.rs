//! What the writer is asked to do, and what it answers.

use serde::Serialize;

use crate::crdt::{Add, Id, Origin, Position, Void};

/// What became of a like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// Of what.
    pub id: Id,
    /// What the id has now over all nodes, as far as this one knows.
    pub total: i64,
    /// Where it stands in the node's log; absent when it was counted before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// The node that has answered.
    pub node: u16,
    /// Its request was counted before, and is not counted again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
}

/// Why likes were not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// More wait than can be held.
    #[error(
        "more likes are on their way to the disk than this node holds: send them again, with the same requests, in a moment"
    )]
    Busy,
    /// The log has grown too large.
    #[error("the log has {bytes} bytes because {reason}")]
    LogFull {
        /// How large it is.
        bytes: u64,
        /// Why it is kept, with what to do.
        reason: String,
    },
    /// Nothing was written.
    #[error("{0}: nothing was counted; make room on the node's volume, then send the likes again")]
    VolumeFull(String),
    /// The counter keeps all ids in memory.
    #[error(
        "there are ids enough, {0} at most over all nodes: like one of those, or raise spec.counter.limits.ids (--max-ids)"
    )]
    TooManyIds(usize),
    /// Requests that are not numbered are remembered until every node knows them.
    #[error(
        "the log has {count} requests that {behind} may not know yet, and no more are remembered: bring that back, or remove a node that is \
         away for good from spec.counter.nodes; requests like `<client>/<number>`, numbers in a row, go on"
    )]
    TooManyRequests {
        /// How many at most.
        count: usize,
        /// Who lacks them.
        behind: String,
    },
    /// Numbered requests are remembered until their client has been idle for long, and every node knows them.
    #[error(
        "{0} clients number their requests as `<client>/<number>`, each gap in one's numbers counted as one more, and no more are remembered: \
         number in a row, use another form of request, raise spec.counter.limits.clients (--max-clients), or forget idle ones earlier by \
         spec.counter.limits.forgetClientsAfter (--remember-clients); while a node is away none is forgotten"
    )]
    TooManyClients(usize),
    /// Whether it was written is not known.
    #[error("{0}; whether this was counted is not known: send it again with the same request")]
    Broken(String),
    /// The process ends.
    #[error("the node is stopping: send the likes to another, with the same requests")]
    Stopping,
}

/// Called once, from the writer's thread.
pub type Reply = Box<dyn FnOnce(Result<Vec<Answer>, Refused>) + Send>;

/// What the writer does.
pub enum Order {
    /// Counts likes, all or none of them.
    Likes {
        /// The likes.
        adds: Vec<Add>,
        /// Who is told.
        reply: Reply,
    },
    /// Takes back own entries.
    TakeBack(Vec<Void>),
    /// A snapshot has these. Peers may be told when everything that was decided without knowing them is written.
    Kept(Vec<(Origin, Position)>),
    /// Ends.
    Stop,
}
