//! Fills the tables of a SyncCluster, keeps writing to them, and checks afterwards that nothing it was acknowledged is lost.
//!
//! `schema` is what the tables look like, `values` which value is in which row, `plan` which writes are made when: all pure. `prepare` reads what a
//! run needs to know; `load` and `deltas` write, `journal` keeps what was acknowledged, `verify` checks it. `runs` are all of them, `api` and
//! `command` two ways to them; `client` asks the one from the other.

pub mod api;
mod client;
pub mod command;
mod copy;
mod deltas;
pub mod health;
pub mod journal;
mod load;
mod numbers;
pub mod plan;
pub mod prepare;
mod recall;
pub mod run;
pub mod runs;
pub mod schema;
pub mod serve;
pub mod sites;
pub mod values;
pub mod verify;
