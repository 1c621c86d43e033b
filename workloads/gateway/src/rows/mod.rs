//! Tables of any site: what is enrolled, reading, writing, comparing sites, and the books of what lost and what waits.
//!
//! What a request says is parsed (`filter`, `order`, `key`, `cursor`), names in it are looked up in the `catalogue`, and SQL is put together
//! (`sql`) of text of ours, quoted names of the catalogue and parameters. Those parts are pure.

pub mod catalogue;
pub mod catalogues;
mod condition;
mod cursor;
mod failure;
pub mod filter;
pub mod key;
mod order;
pub mod read;
pub mod row;
mod sql;
mod words;

pub use catalogues::Catalogues;
pub use failure::problem;

#[cfg(test)]
pub(crate) mod fixture;
