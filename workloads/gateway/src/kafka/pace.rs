//! How many messages a tail shows a second; what is too much is counted and not shown. Pure: the time is an argument.

use std::time::Duration;

/// The seconds in which a tail counts.
const WINDOW: Duration = Duration::from_secs(1);

/// A tail's pace.
#[derive(Debug)]
pub struct Pace {
    most: u32,
    window: Duration,
    shown: u32,
    skipped: u64,
}

impl Pace {
    /// So many messages a second.
    pub fn new(most: u32) -> Self {
        Self {
            most,
            window: Duration::ZERO,
            shown: 0,
            skipped: 0,
        }
    }

    /// Whether one more may be shown now; if not it counts as skipped.
    pub fn admits(&mut self, now: Duration) -> bool {
        if now >= self.window + WINDOW {
            (self.window, self.shown) = (now, 0);
        }
        let admits = self.shown < self.most;
        if admits {
            self.shown += 1;
        } else {
            self.skipped += 1;
        }
        admits
    }

    /// One that was admitted was not taken: its reader is slow.
    pub fn lost(&mut self) {
        self.skipped += 1;
    }

    /// How many were skipped and have not been told, once their second is over.
    pub fn untold(&self, now: Duration) -> Option<u64> {
        (self.skipped > 0 && now >= self.window + WINDOW).then_some(self.skipped)
    }

    /// So many have been told.
    pub fn told(&mut self, skipped: u64) {
        self.skipped = self.skipped.saturating_sub(skipped);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_too_much_is_counted_and_told_when_its_second_is_over() {
        let mut pace = Pace::new(2);
        let at = Duration::from_millis;
        let admitted: Vec<bool> = [5000, 5100, 5200, 5900].map(|ms| pace.admits(at(ms))).to_vec();
        assert_eq!(admitted, [true, true, false, false]);
        assert_eq!(pace.untold(at(5999)), None);
        assert_eq!(pace.untold(at(6000)), Some(2));
        pace.told(2);
        assert_eq!(pace.untold(at(6000)), None);
        assert!(pace.admits(at(6001)));
    }

    proptest! {
        #[test]
        fn every_message_is_shown_or_counted(most in 1u32..5, steps in prop::collection::vec((0u64..700, any::<bool>()), 0..80)) {
            let mut pace = Pace::new(most);
            let (mut now, mut shown, mut told) = (Duration::ZERO, 0, 0);
            for (step, full) in &steps {
                now += Duration::from_millis(*step);
                if let Some(skipped) = pace.untold(now) {
                    pace.told(skipped);
                    told += skipped;
                }
                match (pace.admits(now), *full) {
                    (true, false) => shown += 1,
                    (true, true) => pace.lost(),
                    (false, _) => {}
                }
            }
            told += pace.untold(now + WINDOW).unwrap_or_default();
            prop_assert_eq!(shown + told, steps.len() as u64);
            let seconds = u64::try_from(now.as_millis()).unwrap() / 1000 + 1;
            prop_assert!(shown <= seconds * u64::from(most));
        }
    }
}
