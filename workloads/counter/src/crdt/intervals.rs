//! A set of numbers that are mostly contiguous, as a client numbers its requests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Position;

/// Runs by their first number; they neither meet nor overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Intervals(BTreeMap<u64, Run>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    last: u64,
    /// Where the newest of its numbers was written, 0 while that is not known: it does not go to disk, nor to a peer.
    #[serde(skip)]
    written: Position,
}

impl Intervals {
    /// Whether the number is in it.
    pub fn contains(&self, number: u64) -> bool {
        self.run(number).is_some()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many runs there are.
    pub fn runs(&self) -> usize {
        self.0.len()
    }

    /// Puts it in; `position` is where it was written.
    pub fn insert(&mut self, number: u64, position: Position) {
        let (first, last, written) = if let Some((first, run)) = self.run(number) {
            (first, run.last, run.written)
        } else {
            let before = number.checked_sub(1).and_then(|before| self.run(before));
            let after = number.checked_add(1).and_then(|after| self.0.remove(&after));
            let beside = before.map(|(_, run)| run.written).max(after.map(|run| run.written));
            let first = before.map_or(number, |(first, _)| first);
            (first, after.map_or(number, |run| run.last), beside.unwrap_or(position))
        };
        let written = written.max(position);
        self.0.insert(first, Run { last, written });
    }

    /// Takes it out.
    pub fn remove(&mut self, number: u64) {
        let Some((first, run)) = self.run(number) else { return };
        self.0.remove(&first);
        if first < number {
            let last = number - 1;
            self.0.insert(first, Run { last, ..run });
        }
        if number < run.last {
            self.0.insert(number + 1, run);
        }
    }

    /// Where the newest of the run was written that holds the number.
    pub fn written(&self, number: u64) -> Option<Position> {
        self.run(number).map(|(_, run)| run.written)
    }

    /// They come from a disk or a peer, which say of no run where it was written: it is known of those that are in `before` too, and the
    /// others were written by `position`.
    pub fn date(&mut self, before: Option<&Self>, position: Position) {
        for (first, run) in self.0.iter_mut().filter(|(_, run)| run.written == Position(0)) {
            let known = before.and_then(|before| before.0.get(first));
            let same = known.filter(|known| known.last == run.last);
            run.written = same.map_or(position, |known| known.written);
        }
    }

    /// Takes out the runs of which nothing was written after `until`.
    pub fn forget(&mut self, until: Position) {
        self.0.retain(|_, run| run.written > until);
    }

    /// What is in both.
    pub fn common(&self, other: &Self) -> impl Iterator<Item = u64> {
        let overlap = |(&first, run): (&u64, &Run)| {
            let begin = other.run(first).map_or(first, |(begin, _)| begin);
            let runs = other.0.range(begin..=run.last);
            let cut: Vec<_> = runs
                .map(|(&begin, theirs)| begin.max(first)..=theirs.last.min(run.last))
                .collect();
            cut
        };
        self.0.iter().flat_map(overlap).flatten()
    }

    /// The run that holds the number, and its first.
    fn run(&self, number: u64) -> Option<(u64, Run)> {
        let (&first, &run) = self.0.range(..=number).next_back()?;
        (number <= run.last).then_some((first, run))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_in_a_row_are_one_run_in_whatever_order_they_come() {
        let mut set = Intervals::default();
        for (number, position) in [3, 1, 0, 2, u64::MAX, u64::MAX - 1].into_iter().zip(1..) {
            set.insert(number, Position(position));
        }
        let run = |last, written| Run {
            last,
            written: Position(written),
        };
        assert_eq!(
            set.0,
            BTreeMap::from([(0, run(3, 4)), (u64::MAX - 1, run(u64::MAX, 6))])
        );
    }

    #[test]
    fn a_run_is_as_old_as_its_newest_number() {
        let mut set = Intervals::default();
        for (number, position) in [(1, 1), (5, 2), (2, 3), (5, 4), (9, 5)] {
            set.insert(number, Position(position));
        }
        set.forget(Position(3));
        assert_eq!(
            [1, 2, 5, 9].map(|number| set.contains(number)),
            [false, false, true, true]
        );
        set.forget(Position(4));
        assert_eq!((set.written(5), set.written(9)), (None, Some(Position(5))));
    }

    #[test]
    fn of_what_was_on_a_disk_it_is_known_by_when_it_was_written() {
        let mut before = Intervals::default();
        for (number, position) in [(1, 1), (2, 2), (9, 3)] {
            before.insert(number, Position(position));
        }
        let disk =
            |set: &Intervals| -> Intervals { postcard::from_bytes(&postcard::to_allocvec(set).unwrap()).unwrap() };
        let mut alone = disk(&before);
        alone.date(None, Position(7));
        assert_eq!(
            (alone.written(2), alone.written(9)),
            (Some(Position(7)), Some(Position(7)))
        );
        let mut told = before.clone();
        told.insert(3, Position(4));
        let mut told = disk(&told);
        told.date(Some(&before), Position(7));
        assert_eq!(
            (told.written(2), told.written(9)),
            (Some(Position(7)), Some(Position(3)))
        );
    }

    proptest! {
        #[test]
        fn it_is_a_set(steps in prop::collection::vec((any::<bool>(), 0..40u64), 0..200), other in prop::collection::btree_set(0..40u64, 0..40)) {
            let (mut set, mut naive) = (Intervals::default(), BTreeSet::new());
            for (put, number) in steps {
                if put { set.insert(number, Position(1)); naive.insert(number); } else { set.remove(number); naive.remove(&number); }
            }
            let mut second = Intervals::default();
            for &number in &other {
                second.insert(number, Position(1));
            }
            for number in 0..40 {
                prop_assert_eq!(set.contains(number), naive.contains(&number));
            }
            prop_assert!(set.0.iter().zip(set.0.iter().skip(1)).all(|((_, run), (next, _))| run.last + 1 < *next));
            prop_assert_eq!(set.common(&second).collect::<Vec<_>>(), naive.intersection(&other).copied().collect::<Vec<_>>());
        }
    }
}
