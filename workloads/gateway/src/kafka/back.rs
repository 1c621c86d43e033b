//! Which parts of a partition are looked through for its last messages, one before the other: Kafka reads in one direction only. Pure.

use std::ops::Range;

/// Offsets of the first part at most, and of any: one that is looked through whole is an answer, so the first is small and each is twice the one before.
const FIRST: i64 = 64;
const LARGEST: i64 = 8192;

/// How far has been looked.
#[derive(Clone, Debug)]
pub struct Backwards {
    low: i64,
    end: i64,
    from: i64,
    size: i64,
}

impl Backwards {
    /// From one past the last offset, for so many messages.
    pub fn new(low: i64, end: i64, messages: usize) -> Self {
        Self {
            low,
            end,
            from: end,
            size: i64::try_from(messages).unwrap_or(FIRST).clamp(1, FIRST),
        }
    }

    /// What to look through next; nothing when the beginning is reached.
    pub fn part(&self) -> Option<Range<i64>> {
        (self.from > self.low).then(|| self.from.saturating_sub(self.size).max(self.low)..self.from)
    }

    /// It was looked through from this offset to its end.
    pub fn looked(&mut self, from: i64) {
        self.from = from;
        self.size = (self.size * 2).min(LARGEST);
    }

    /// It is too much to look through. Whether there is a smaller one to try: what was seen of it is no answer, since it is its beginning.
    pub fn too_much(&mut self) -> bool {
        let nothing_looked_at = self.from == self.end;
        self.size /= 2;
        nothing_looked_at && self.size > 0
    }

    /// What was looked through.
    pub fn looked_at(&self) -> Range<i64> {
        self.from..self.end
    }

    /// Where to go on, if there is more.
    pub fn previous(&self) -> Option<i64> {
        (self.from > self.low).then_some(self.from)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Looks until so many parts are done; parts of more than `most` offsets are too much.
    fn search(low: i64, end: i64, messages: usize, parts: usize, most: i64) -> (Vec<Range<i64>>, Option<i64>) {
        let (mut search, mut done) = (Backwards::new(low, end, messages), Vec::new());
        while let Some(part) = search.part().filter(|_| done.len() < parts) {
            if part.end - part.start <= most {
                search.looked(part.start);
                done.push(part);
            } else if !search.too_much() {
                break;
            }
        }
        (done, search.previous())
    }

    proptest! {
        #[test]
        fn searches_that_follow_each_other_look_at_every_offset_once(
            low in -5i64..50, length in 0i64..100_000, messages in 1usize..600, parts in 1usize..9, most in 1i64..9000,
        ) {
            let end = low + length;
            let (mut at, mut turns) = (Some(end), 0);
            while let Some(from) = at {
                let (done, previous) = search(low, from, messages, parts, most);
                let mut expected = from;
                for part in &done {
                    prop_assert_eq!(part.end, expected);
                    prop_assert!(part.start < part.end);
                    expected = part.start;
                }
                prop_assert_eq!(previous.unwrap_or(low), expected, "no hole, and nothing twice");
                prop_assert!(previous.is_none_or(|previous| previous < from), "no search stands still");
                (at, turns) = (previous, turns + 1);
            }
            prop_assert!(turns <= 100_001);
        }
    }

    #[test]
    fn parts_grow_and_what_is_too_much_is_halved_as_long_as_nothing_is_known() {
        let sizes = |most| {
            let (parts, previous) = search(0, 100_000, 50, 5, most);
            let sizes: Vec<_> = parts.iter().map(|part| part.end - part.start).collect();
            (sizes, previous)
        };
        assert_eq!(sizes(i64::MAX), (vec![50, 100, 200, 400, 800], Some(98_450)));
        assert_eq!(sizes(120), (vec![50, 100], Some(99_850)));
        assert_eq!(sizes(7), (vec![6], Some(99_994)));
        assert_eq!(sizes(0), (vec![], Some(100_000)));
        assert_eq!(Backwards::new(0, 100, 500).part(), Some(36..100));
        assert_eq!(Backwards::new(7, 7, 5).part(), None);
    }
}
