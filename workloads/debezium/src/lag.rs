//! How long something has been on its way, from positions alone: Connect does not tell. Pure.

use std::collections::VecDeque;

use synccluster_protocol::{Lsn, status::Millis};

/// Positions of the site's WAL that were seen and are not confirmed yet, with the time.
#[derive(Debug, Default)]
pub struct Lag(VecDeque<(Millis, Lsn)>);

impl Lag {
    /// Takes in where the WAL ends and what is confirmed; whole seconds since the oldest position that is not.
    pub fn observe(&mut self, now: Millis, end: Lsn, confirmed: Lsn) -> u64 {
        if self.0.back().is_none_or(|(_, last)| end > *last) {
            self.0.push_back((now, end));
        }
        while self.0.front().is_some_and(|(_, position)| *position <= confirmed) {
            self.0.pop_front();
        }
        let oldest = self.0.front().map_or(now, |(at, _)| *at);
        u64::try_from(now - oldest).unwrap_or_default() / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_the_age_of_the_oldest_position_that_is_not_confirmed() {
        let mut lag = Lag::default();
        assert_eq!(lag.observe(0, Lsn(10), Lsn(10)), 0);
        assert_eq!(lag.observe(1000, Lsn(20), Lsn(10)), 0);
        assert_eq!(lag.observe(3000, Lsn(30), Lsn(10)), 2);
        assert_eq!(lag.observe(5000, Lsn(30), Lsn(25)), 2);
        assert_eq!(lag.observe(6000, Lsn(30), Lsn(30)), 0);
    }
}
