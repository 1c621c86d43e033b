//! The REST surface, one file a subject. Each has `routes()`, which `app::routes` merges.

pub mod tables;
pub mod rows;
pub mod topics;
