//! The REST surface, one file a subject. Each has `routes()`, which `app::routes` merges.

pub mod aggregations;
pub mod cluster;
pub mod components;
pub mod conflicts;
pub mod counters;
mod described;
pub mod difference;
pub mod events;
pub mod groups;
pub mod likes;
pub mod openapi;
pub mod parked;
pub mod partition;
pub mod rows;
pub mod session;
pub mod tables;
pub mod tail;
pub mod topics;
pub mod way;
