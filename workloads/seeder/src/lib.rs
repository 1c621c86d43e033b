//! Fills the tables of a SyncCluster, keeps writing to them, and checks afterwards that nothing it was acknowledged is lost.
//!
//! `schema` is what the tables look like, `values` which value is in which row, `plan` which writes are made when: all pure. `load` and `deltas`
//! write, `journal` keeps what was acknowledged, `verify` checks it.

mod copy;
pub mod deltas;
pub mod journal;
pub mod load;
mod numbers;
pub mod plan;
pub mod prepare;
pub mod run;
pub mod schema;
pub mod sites;
pub mod values;
pub mod verify;
