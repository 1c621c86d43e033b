//! What was written and what of it was acknowledged: one file a run, beside no database, so that what a database forgets is still known here.
//!
//! Before something is sent it is in the file, after it was acknowledged the acknowledgement is: so whenever the process ends, what was
//! acknowledged is known, and what was sent without an answer is known to be unknown. The file is forced to disk once a second and at the end:
//! what a machine that loses its power forgets is the last second.

mod file;
mod record;
mod shared;

pub use file::{Error, Folder, Reader, Writer};
pub use record::{Begin, End, Key, KeyRange, Keys, Order, Record, Sent};
pub use shared::{Told, Turn};
