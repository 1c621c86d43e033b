//! Likes counted by windows of event time: from the topic of the likes to one topic of aggregations for each size, exactly once.
//!
//! `engine` counts, pure. `worker` reads the partitions the consumer group gives it and feeds one engine each. `partition` is the thread beside
//! each engine that waits for Kafka: it fences whoever had the partition before, reads back what was emitted for open windows, and commits.
//! `tail` finds what a transaction lost whose end did not reach every topic.

mod aggregate;
mod checkpoint;
mod clock;
mod command;
mod engine;
mod like;
mod names;
mod outgoing;
mod partition;
mod pulse;
mod readback;
mod series;
mod session;
mod settings;
mod share;
mod size;
mod state;
mod tail;
mod worker;

pub use clock::Clock;
pub use command::{Run, run};
pub use engine::Rules;
pub use session::Windows;
pub use settings::{Arguments, Settings, Topics};
pub use size::{Sizes, WindowSize};
pub use state::{PartitionStatus, State, Status};
