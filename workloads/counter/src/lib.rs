//! Counter nodes: likes shared by all, a leader that assigns clients to nodes, windows over time.
//!
//! `crdt` is what is counted, without IO or clock; `log` keeps a node's own entries on disk; `node` takes likes, in groups, and answers
//! when they are on disk; `mesh` tells peers and learns from them; `serve` is the port for clients; `run` ties them together.

pub mod command;
pub mod config;
pub mod crdt;
pub mod log;
pub mod mesh;
pub mod node;
pub mod publish;
pub mod run;
pub mod serve;
pub mod state;
pub mod windows;
