//! A node's own log on disk.

mod follow;

pub use follow::{Follower, LogEnd, Missing, OwnLog};
