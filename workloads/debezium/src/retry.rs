//! When what has failed is tried again. Pure.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const AT_MOST: Duration = Duration::from_mins(1);
/// What went well for so long has nothing to do with earlier failures.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(5);

/// Failures in a row, with doubled pauses between tries.
#[derive(Debug, Default)]
pub struct Retry {
    failures: u32,
    /// Since the process started.
    last: Option<Duration>,
}

impl Retry {
    /// Something failed at `now`, a time since the start of the process; how long to wait before it is tried again.
    pub fn failed(&mut self, now: Duration) -> Duration {
        if self.last.is_some_and(|last| now.saturating_sub(last) > FORGOTTEN_AFTER) {
            self.failures = 0;
        }
        self.last = Some(now);
        self.failures += 1;
        AT_MOST.min(FIRST * 2u32.saturating_pow(self.failures.min(10) - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_minute_and_shrink_after_a_good_while() {
        let mut retry = Retry::default();
        let mut at = Duration::ZERO;
        let pauses: Vec<u64> = (0..8)
            .map(|_| {
                at += Duration::from_mins(1);
                retry.failed(at).as_secs()
            })
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(retry.failed(at + Duration::from_mins(6)).as_secs(), 1);
    }
}
