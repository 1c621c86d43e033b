//! A server site whose Postgres is somebody else's. Nobody is superuser there: what a pod's start does for a site of our own is done here by
//! a role that may make others, and what was made can be listed and taken out again.

mod facts;
mod made;
mod prepare;

pub use facts::{Facts, look};
pub use made::{made, remove};
pub use prepare::{Credentials, prepare};

/// The roles that are made, beside the one whose Secret it is.
pub const ROLES: [&str; 3] = ["sync_connector", "sync_sink", "sync_gateway"];

/// What a superuser runs once, by psql with the variable `role`.
pub const GRANTS_SQL: &str = include_str!("../../sql/external.sql");

/// The comment on the roles: whose they are.
fn mark(owner: &str) -> String {
    format!("SyncCluster {owner}")
}
