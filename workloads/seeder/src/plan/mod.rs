//! What is to be written, decided without a clock and without a database.
//!
//! `order` is what somebody asks for, `presets` are orders with a name, `deltas` makes the sequence of writes of one, `pace` says how many of them are due.

pub mod deltas;
mod order;
mod pace;
pub mod presets;

pub use order::{Deltas, Error, Hold, Load, Mix, Pair, WriteKind};
pub use pace::Pace;
