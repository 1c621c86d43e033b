//! What people look at: a page, a REST API, server-sent events and Socket.IO over all sites of a cluster.
//!
//! `access` says who may do what; `rows` reads and writes tables of any site; `kafka` shows topics and groups; `kubernetes` reads the
//! SyncCluster and patches its partition; `counters` asks the counter nodes and
//! reads their windows; `live` follows every site's WAL and every topic and tells what happened where and when;
//! `api` is the REST surface over them, `problem` its errors; `app` puts them together and `serve` answers connections.

pub mod access;
pub mod api;
pub mod app;
pub mod assets;
pub mod config;
pub mod counters;
pub mod health;
pub mod kafka;
pub mod kubernetes;
pub mod limit;
pub mod linger;
pub mod live;
pub mod metrics;
pub mod rows;
pub mod serve;
pub mod sites;
pub mod sockets;

pub use synccluster_web::{extract, problem};
