//! The own log to the topic of the likes, each entry exactly once.
//!
//! The position up to which the log is published is stored with the entries, in one transaction, as the offset of a group of the node's own.
//! Whatever is killed, the next session begins after exactly the entries that are in the topic; `recovery` finds them where Kafka ended a
//! transaction in some partitions only, and `left` ends what another node left open there and does not come back to end.

mod left;
mod owner;
pub mod reader;
mod record;
mod recovery;
pub mod refused;
mod session;
mod sessions;
pub mod topics;
pub mod transaction;
mod writer;

pub use left::Nodes;
pub use session::{Error, Publisher, Reason};
pub use sessions::{Sessions, supervise};
