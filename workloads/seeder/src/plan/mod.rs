//! What is to be written, decided without a clock and without a database.
//!
//! `order` is what somebody asks for, `presets` are orders with a name, `deltas` makes the sequence of writes of one, `pace` says how many of them are due.

pub mod deltas;
mod kinds;
mod order;
mod pace;
pub mod presets;

pub use kinds::{Hold, Mix, Pair, WriteKind};
pub use order::{Deltas, Error, Load};
pub use pace::Pace;
