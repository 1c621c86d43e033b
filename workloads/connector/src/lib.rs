//! Uplink: a site's WAL to its topic.
//!
//! `envelope` makes Debezium's events of the stream of `synccluster-replication`; `progress` knows what Kafka has acknowledged, and so what
//! Postgres may forget; `producer` hands them to Kafka, and `aside` keeps what it does not take; `session` ties them together until the link
//! is cut or something fails; `run` is what it needs and tells. `lock` is about what others have locked.

pub mod aside;
pub mod envelope;
pub mod installation;
pub mod lock;
pub mod producer;
pub mod progress;
pub mod resnapshot;
pub mod run;
pub mod session;
pub mod slot;
pub mod snapshot;
pub mod topic;
