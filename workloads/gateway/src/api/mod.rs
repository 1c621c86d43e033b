//! The REST surface, one file a subject. Each has `routes()`, which `app::routes` merges.

pub mod topics;
