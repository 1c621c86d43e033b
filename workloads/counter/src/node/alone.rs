//! Whether a node is alone. Pure: time is an argument, and so is whom it hears.

use std::time::Duration;

/// How often a node looks whether it is.
pub const LOOK: Duration = Duration::from_millis(250);
/// Between two looks no more than this counts: a process that stood still has heard nobody either.
const STEP: Duration = LOOK.saturating_mul(2);
/// A node that hears no majority of the nodes for so long is alone, and its clients are told. By then the others have a leader, if they can have
/// one: who asks is sent somewhere.
const LIMIT: Duration = Duration::from_secs(3);

/// What was seen of that.
#[derive(Debug, Default)]
pub struct Alone {
    /// When it looked last, and for how long it has found no majority; absent where it found one.
    missed: Option<(Duration, Duration)>,
}

impl Alone {
    /// Whether it is alone.
    pub fn looked(&mut self, hears_majority: bool, now: Duration) -> bool {
        if hears_majority {
            self.missed = None;
            return false;
        }
        let (last, missed) = self.missed.unwrap_or((now, Duration::ZERO));
        let missed = missed + now.saturating_sub(last).min(STEP);
        self.missed = Some((now, missed));
        missed >= LIMIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What it says to looks at these milliseconds that find nobody.
    fn says(alone: &mut Alone, looks: impl IntoIterator<Item = u64>) -> Vec<bool> {
        let looks = looks.into_iter();
        looks.map(|at| alone.looked(false, Duration::from_millis(at))).collect()
    }

    #[test]
    fn a_node_is_alone_when_it_has_heard_no_majority_for_the_limit_and_no_more_when_it_hears_one() {
        let mut alone = Alone::default();
        let every = |begin: u64| (begin..begin + 3000).step_by(250);
        assert!(!says(&mut alone, every(7000)).contains(&true));
        assert_eq!(says(&mut alone, [10_000, 10_250, 10_500]), [true; 3]);
        assert!(!alone.looked(true, Duration::from_millis(10_750)));
        assert!(!says(&mut alone, every(11_000)).contains(&true), "the time begins anew");
        assert!(!alone.looked(true, Duration::from_secs(14)));
        assert_eq!(says(&mut alone, [14_250]), [false]);
    }

    #[test]
    fn a_node_that_stood_still_is_not_alone_before_it_has_looked_again_and_again() {
        let mut alone = Alone::default();
        assert_eq!(says(&mut alone, [0, 20_000, 20_250, 20_500]), [false; 4]);
        assert!(says(&mut alone, (20_750..22_500).step_by(250)).iter().all(|is| !is));
        assert_eq!(says(&mut alone, [22_500]), [true], "half a second of the stop counts");
    }
}
