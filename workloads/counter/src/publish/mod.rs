//! The own log to the topic of the likes, each entry exactly once.
//!
//! The position up to which the log is published is stored with the entries, in one transaction, as the offset of a group of the node's own.
//! Whatever is killed, the next session begins after exactly the entries that are in the topic; `recovery` finds them where Kafka ended a
//! transaction in some partitions only.

pub mod reader;
mod record;
mod recovery;
mod session;
mod sessions;
pub mod topics;
pub mod transaction;
mod writer;

pub use session::{Error, Publisher, Reason};
pub use sessions::{Sessions, supervise};
