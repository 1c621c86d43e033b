//! The counter as a CRDT, pure: no IO, no clock.
//!
//! Every node writes a log of its own and nobody else's. What all others know of it is a [`Part`]: a position and what the entries up to
//! it add up to. Of two parts of one origin the one with the higher position says more, so parts merge by taking it, and entries after a
//! part's position bring it forward. A total is the sum over all parts.
//!
//! A request that was counted by two logs, because its client moved while they were cut from one another, is taken back by the higher
//! origin with an entry of its own, [`Void`], as soon as it learns of the other: that entry travels as all others do.

mod accept;
mod intervals;
mod part;
mod past;
mod requests;
mod state;
#[cfg(test)]
mod tests;
mod words;

pub use accept::{Full, Group, Search};
pub(crate) use part::FirstFormat;
pub use part::{Gap, Part, Sums};
pub use requests::{Key, Remember};
pub use state::{Learned, State, Summary, Total};
pub use words::{Add, By, Entry, Id, Incarnation, MAX_N, Ordinal, Origin, Position, Request, Void, What, WordError};
