//! The counter as a CRDT, pure: no IO, no clock.
//!
//! Every node writes a log of its own and nobody else's. What all others know of it is a [`Part`]: a position and what the entries up to
//! it add up to. Of two parts of one origin the one with the higher position says more, so parts merge by taking it, and entries after a
//! part's position bring it forward. A total is the sum over all parts.

mod words;

pub use words::{Add, By, Entry, Id, Incarnation, MAX_N, Ordinal, Origin, Position, Request, Void, What, WordError};
