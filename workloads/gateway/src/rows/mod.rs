//! Tables of any site: what is enrolled, reading, writing, comparing sites, and the books of what lost and what waits.
//!
//! What a request says is parsed (`filter`, `order`, `key`, `cursor`), names in it are looked up in the `catalogue`, and SQL is put together
//! (`sql`) of text of ours, quoted names of the catalogue and parameters. Those parts are pure.

pub mod align;
pub mod books;
pub mod catalogue;
pub mod catalogues;
pub mod compare;
mod condition;
pub mod conflicts;
mod connection;
mod cursor;
mod failure;
pub mod filter;
mod image;
pub mod key;
mod order;
pub mod panel;
pub mod parked;
mod probe;
pub mod read;
pub mod reapply;
pub mod row;
mod sent;
mod sql;
pub mod values;
mod words;
pub mod write;

pub use catalogues::Catalogues;
pub use failure::problem;

#[cfg(test)]
pub(crate) mod fixture;
