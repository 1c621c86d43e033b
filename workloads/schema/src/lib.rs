//! Schema `sync` in a site's database: roles, versions, tombstones, enrolment, and the application's own migrations.
//!
//! `sql/bootstrap.sql` makes the roles (run inside the Postgres pod), `sql/sync.sql` the schema, [`migrate`] does the rest before a
//! site's uplink starts. [`external`] does what bootstrap.sql does for a Postgres that is somebody else's.

pub mod enrol;
pub mod external;
pub mod files;
pub mod migrate;

pub use migrate::{Error, migrate};

/// Makes schema `sync`; as `sync_admin`.
pub const SYNC_SQL: &str = include_str!("../sql/sync.sql");
