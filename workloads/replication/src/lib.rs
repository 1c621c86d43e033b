//! Postgres' streaming replication protocol (documentation, chapter 54 "Frontend/Backend Protocol", section "Streaming Replication Protocol").
//!
//! `transport` is a connection in replication mode, `large` keeps what it reads small, `pgoutput` reads what the output plugin says in it, `relations` keeps the tables it
//! has described. tokio-postgres cannot speak the protocol, and `pg_walstream` hides the keepalives whose position lets an idle slot move
//! on, and brings a C library for TLS; on top of `postgres-protocol` (the wire format of tokio-postgres) it is small.

pub mod large;
pub mod pgoutput;
pub mod relations;
pub mod transport;

pub use transport::{Error, Frame, Lifetime, Origins, ReplicationConnection};
