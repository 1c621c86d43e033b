//! The operator: SyncCluster to Kubernetes objects, and what was measured to status.
//!
//! `dereference → validate → plan → apply → observe → assess → status`, one module a step. `validate`, `plan` and `assess` are pure: no client,
//! no clock. [`reconcile`] puts the steps together; beside them it keeps the [`topics`].

// What `json!` makes is made to be given away.
#![allow(clippy::needless_pass_by_value)]

pub mod api;
pub mod apply;
pub mod assess;
pub mod client;
pub mod connectors;
pub mod controller;
pub mod dereference;
pub mod events;
pub mod external;
pub mod heal;
pub mod metrics;
pub mod names;
pub mod observe;
pub mod passwords;
pub mod plan;
pub mod reconcile;
pub mod removal;
pub mod resnapshot;
pub mod rollout;
pub mod serve;
pub mod status;
pub mod topics;
pub mod validate;
pub mod whose;

#[cfg(test)]
mod fixture;
