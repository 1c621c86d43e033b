//! Uplink: a site's WAL to its topic.
//!
//! `envelope` makes Debezium's events of the stream of `synccluster-replication`; `progress` knows what Kafka has acknowledged, and so what
//! Postgres may forget; `session` ties them together until the link is cut or something fails; `run` is
//! what it needs and tells.

pub mod envelope;
pub mod progress;
pub mod resnapshot;
pub mod run;
pub mod session;
pub mod slot;
pub mod snapshot;
pub mod topic;
