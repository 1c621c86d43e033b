//! What was known some time ago, by a clock that only goes forward: what the clock on the wall shows, and what entries say of it, may jump.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::{Origin, Position};

/// So many looks back are kept, about.
const LOOKS: u32 = 64;

/// Up to where each log was known, and when.
#[derive(Clone, Debug, Default)]
pub struct Past(VecDeque<(Duration, BTreeMap<Origin, Position>)>);

impl Past {
    /// Notes what is known `now`, and tells what has been known for `time`, if there was anything to look at so long ago.
    pub fn note(
        &mut self,
        now: Duration,
        time: Duration,
        known: impl Iterator<Item = (Origin, Position)>,
    ) -> Option<&BTreeMap<Origin, Position>> {
        if self.0.back().is_none_or(|(at, _)| *at + time / LOOKS <= now) {
            self.0.push_back((now, known.collect()));
        }
        while self.0.get(1).is_some_and(|(at, _)| *at + time <= now) {
            self.0.pop_front();
        }
        let then = self.0.front().filter(|(at, _)| *at + time <= now);
        then.map(|(_, known)| known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crdt::{Incarnation, Ordinal};

    #[test]
    fn it_tells_what_was_known_so_long_ago_and_not_more() {
        let (mut past, origin) = (
            Past::default(),
            Origin {
                ordinal: Ordinal(0),
                incarnation: Incarnation(1),
            },
        );
        let (time, second) = (Duration::from_mins(10), Duration::from_secs(1));
        for now in 0..3000_u32 {
            let known = [(origin, Position(now.into()))].into_iter();
            let long_ago = past.note(now * second, time, known).map_or(0, |known| known[&origin].0);
            let exact = u64::from(now).saturating_sub(600);
            assert!(long_ago <= exact && long_ago + 20 > exact, "{now}: {long_ago}");
            assert!(past.0.len() < 80);
        }
    }
}
