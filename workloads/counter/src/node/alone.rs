//! Whether a node is alone. Pure: time is an argument, and so is whom it hears.

use std::time::Duration;

/// A node that hears no majority of the nodes for so long is alone, and its clients are told. By then the others have a leader, if they can have
/// one: who asks is sent somewhere.
const LIMIT: Duration = Duration::from_secs(3);

/// What was seen of that.
#[derive(Debug, Default)]
pub struct Alone {
    since: Option<Duration>,
}

impl Alone {
    /// Whether it is alone. A process that stood still has heard nobody either: what counts is how long it has looked.
    pub fn looked(&mut self, hears_majority: bool, now: Duration) -> bool {
        if hears_majority {
            self.since = None;
            return false;
        }
        now >= *self.since.get_or_insert(now) + LIMIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_alone_when_it_has_heard_no_majority_for_the_limit_and_no_more_when_it_hears_one() {
        let mut alone = Alone::default();
        let at = Duration::from_millis;
        assert!(!alone.looked(false, at(7000)), "it has just begun to look");
        assert!(!alone.looked(false, at(9999)));
        assert!(alone.looked(false, at(10_000)));
        assert!(alone.looked(false, at(60_000)));
        assert!(!alone.looked(true, at(60_001)));
        assert!(!alone.looked(false, at(61_000)), "the time begins anew");
        assert!(!alone.looked(true, at(63_999)));
        assert!(!alone.looked(false, at(64_000)));
    }
}
