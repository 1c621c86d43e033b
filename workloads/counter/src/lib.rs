//! Counter nodes: likes shared by all, a leader that assigns clients to nodes, windows over time.
//!
//! `crdt` is what is counted, without IO or clock; `log` keeps a node's own entries on disk; `node` takes likes, in groups, and answers
//! when they are on disk; `mesh` tells peers and learns from them; `serve` is the port for clients; `leader` says which node a client
//! goes to; `drain` is how a node ends; `run` ties them together. `client` is a person's terminal.

pub mod client;
pub mod command;
pub mod config;
pub mod crdt;
mod drain;
pub mod leader;
pub mod log;
pub mod mesh;
pub mod node;
pub mod publish;
pub mod run;
pub mod serve;
pub mod state;
pub mod windows;
