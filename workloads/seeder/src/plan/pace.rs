//! How many writes are due, by a clock that is handed in.

use std::time::Duration;

/// What was not made within this is given up: after a standstill a rate is a rate again, and no flood.
const BACKLOG: Duration = Duration::from_secs(1);

/// A rate, from a moment on.
#[derive(Clone, Debug)]
pub struct Pace {
    rate: u32,
    /// What counts as the beginning.
    begin: Duration,
    made: u64,
}

impl Pace {
    /// So many a second, from now on.
    pub fn new(rate: u32, now: Duration) -> Self {
        Self {
            rate: rate.max(1),
            begin: now,
            made: 0,
        }
    }

    /// How many are to be made now.
    pub fn due(&mut self, now: Duration) -> u64 {
        let by_now =
            |since: Duration| u64::try_from(since.as_micros() * u128::from(self.rate) / 1_000_000).unwrap_or(u64::MAX);
        let wanted = by_now(now.saturating_sub(self.begin));
        let most = by_now(BACKLOG).max(1);
        let late = wanted.saturating_sub(self.made);
        if late > most {
            let given_up = late - most;
            self.begin += self.time(given_up);
            return most;
        }
        late
    }

    /// So many were made.
    pub fn made(&mut self, count: u64) {
        self.made += count;
    }

    /// How long until the next is due.
    pub fn wait(&self, now: Duration) -> Duration {
        (self.begin + self.time(self.made + 1)).saturating_sub(now)
    }

    fn time(&self, count: u64) -> Duration {
        let micros = (u128::from(count) * 1_000_000).div_ceil(u128::from(self.rate));
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(100);

    #[test]
    fn a_rate_is_kept_over_time() {
        let mut pace = Pace::new(5000, START);
        let mut made = 0;
        for millis in (0..=10_000).step_by(7) {
            let due = pace.due(START + Duration::from_millis(millis));
            pace.made(due);
            made += due;
        }
        assert!((49_950..=50_000).contains(&made), "{made}");
    }

    #[test]
    fn a_slow_one_says_when_the_next_is_due() {
        let mut pace = Pace::new(2, START);
        assert_eq!(pace.due(START), 0);
        assert_eq!(pace.wait(START), Duration::from_millis(500));
        assert_eq!(pace.due(START + Duration::from_millis(500)), 1);
        pace.made(1);
        assert_eq!(
            pace.wait(START + Duration::from_millis(700)),
            Duration::from_millis(300)
        );
    }

    #[test]
    fn after_a_standstill_there_is_no_flood() {
        let mut pace = Pace::new(1000, START);
        let later = START + Duration::from_mins(1);
        assert_eq!(pace.due(later), 1000);
        pace.made(1000);
        assert!(pace.due(later) <= 1, "{}", pace.due(later));
        assert_eq!(pace.due(later + Duration::from_millis(500)), 500);
    }
}
