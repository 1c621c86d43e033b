//! What every workload has: configuration, telemetry, health endpoints, shutdown, connections to Postgres and Kafka, and the probe that
//! measures its way to Kafka.

pub mod catalog;
pub mod clock;
pub mod config;
pub mod health;
pub mod kafka;
pub mod link;
pub mod postgres;
pub mod sites;
pub mod sockets;
pub mod telemetry;
pub mod workload;
