//! What happens at the sites and in Kafka, as it happens.

pub mod bus;

use bus::{Bus, LIMITS};

/// What this process learns, and remembers of it.
pub struct Live {
    /// For whoever wants to hear of it: `/events`, Socket.IO.
    pub bus: Bus,
}

impl Live {
    /// Nothing learnt yet. `started` tells this process from every other: the microsecond of its start.
    pub fn new(started: i64) -> Self {
        Self {
            bus: Bus::new(started.unsigned_abs(), LIMITS),
        }
    }
}
