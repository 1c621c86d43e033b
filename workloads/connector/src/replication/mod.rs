//! Postgres' streaming replication protocol (documentation, chapter 54 "Frontend/Backend Protocol", section "Streaming Replication Protocol").
//!
//! tokio-postgres cannot speak it, and `pg_walstream` hides the keepalives whose position lets an idle slot move on, and brings a C
//! library for TLS; on top of `postgres-protocol` (the wire format of tokio-postgres) it is two small files.

pub mod pgoutput;
pub mod transport;

pub use transport::{Error, Frame, ReplicationConnection};
