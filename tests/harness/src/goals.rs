//! What a measurement is to reach.

use anyhow::{Result, ensure};

/// Goals of a measurement, and which of them it has missed.
#[derive(Debug, Default)]
pub struct Goals(Vec<String>);

impl Goals {
    /// So much, or more.
    pub fn at_least(&mut self, what: &str, reached: f64, wanted: f64) {
        self.reach(
            reached >= wanted,
            format!("{what} is {reached:.2}, and {wanted} or more is wanted"),
        );
    }

    /// So much, or less.
    pub fn at_most(&mut self, what: &str, reached: f64, wanted: f64) {
        self.reach(
            reached <= wanted,
            format!("{what} is {reached:.2}, and {wanted} or less is wanted"),
        );
    }

    /// Less than so much.
    pub fn below(&mut self, what: &str, reached: f64, wanted: f64) {
        self.reach(
            reached < wanted,
            format!("{what} is {reached:.2}, and less than {wanted} is wanted"),
        );
    }

    /// Anything else: whether it holds, and what to say if it does not.
    pub fn reach(&mut self, reached: bool, missed: String) {
        if !reached {
            self.0.push(missed);
        }
    }

    /// An error with every goal that was missed.
    pub fn check(self) -> Result<()> {
        ensure!(self.0.is_empty(), "not reached: {}", self.0.join("; "));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_goal_that_is_missed_is_said_and_a_number_that_is_none_misses_all() {
        let mut goals = Goals::default();
        goals.at_least("the ratio", 3.0, 3.0);
        goals.at_most("the peak", 32.0, 32.0);
        goals.below("p99", 19.99, 20.0);
        goals.check().unwrap();
        let mut goals = Goals::default();
        goals.at_least("the ratio", 2.994, 3.0);
        goals.at_most("the peak", 32.1, 32.0);
        goals.below("p99", 20.0, 20.0);
        goals.below("p50", f64::NAN, 20.0);
        assert_eq!(
            goals.check().unwrap_err().to_string(),
            "not reached: the ratio is 2.99, and 3 or more is wanted; the peak is 32.10, and 32 or less is wanted; \
             p99 is 20.00, and less than 20 is wanted; p50 is NaN, and less than 20 is wanted"
        );
    }
}
