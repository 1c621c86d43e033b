//! The clock leases are measured by.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Time since the machine was started. It never runs backwards and goes on while the machine sleeps: a leader that wakes up must not
/// take its lease for fresh.
pub fn now() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or_default(),
        u32::try_from(now.tv_nsec).unwrap_or_default(),
    )
}
