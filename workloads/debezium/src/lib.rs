//! Uplink of engine Debezium: in place of the native connector, a Kafka Connect worker with Debezium's Postgres connector, and this process over it.
//!
//! The worker is a child process, so that a cut closes its connections at once: the session is dropped, and the worker with it. It keeps
//! nothing: settings are rendered anew and its offsets thrown away before every start, because where the stream goes on is what the slot
//! says, and nothing else. Its REST interface is on loopback; what people ask for comes to this process.
//!
//! Crash windows. Kafka has a record and the slot is not confirmed: it is sent again, as with the native connector, and known by its
//! transaction. A snapshot breaks off: the mark in `sync.snapshots` is missing, the slot is dropped and begun again. The other engine still
//! reads the slot: it is waited for, since a slot has one reader. So an engine follows the other at the slot's position, and nothing is lost.

pub mod hide;
pub mod lag;
pub mod notifications;
pub mod request;
pub mod resnapshot;
pub mod rest;
pub mod retry;
pub mod run;
pub mod session;
pub mod snapshot;
mod tls;
pub mod topic;
pub mod worker;
