//! What workloads with a REST API share.
//!
//! `problem` are the errors it answers with, `extract` reads what a request carries, `tokens` are the words of a Secret by which people are
//! told apart, `tags` reads entity tags, `swagger` shows an OpenAPI document.

pub mod extract;
pub mod problem;
pub mod swagger;
pub mod tags;
pub mod tokens;
