//! A node's own log on disk.
//!
//! Entries stand in groups, one record each, in segments; a group is acknowledged when fdatasync has returned. A record at the very end
//! that is not whole was interrupted by a crash and is cut off; one that is not whole with good ones after it was damaged later, and the
//! node refuses to start rather than count wrongly. The snapshot has what all logs add up to, so that old segments can go.

mod follow;
pub mod identity;
mod open;
mod reader;
mod record;
mod segment;
mod shared;
pub mod snapshot;
#[cfg(test)]
mod tests;
mod writer;

pub use follow::{Follower, LogEnd, Missing, OwnLog};
pub use open::{Error as OpenError, Settings, open};
pub use reader::{Reader, scan};
pub use shared::Log;
pub use writer::{AppendError, Writer};
