//! A set of numbers that are mostly contiguous, as a client numbers its requests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// First and last of each run; runs neither meet nor overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Intervals(BTreeMap<u64, u64>);

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

    /// Puts it in.
    pub fn insert(&mut self, number: u64) {
        if self.contains(number) {
            return;
        }
        let before = number.checked_sub(1).and_then(|before| self.run(before));
        let after = number.checked_add(1).and_then(|after| self.0.remove(&after));
        let first = before.map_or(number, |(first, _)| first);
        self.0.insert(first, after.unwrap_or(number));
    }

    /// Takes it out.
    pub fn remove(&mut self, number: u64) {
        let Some((first, last)) = self.run(number) else { return };
        self.0.remove(&first);
        if first < number {
            self.0.insert(first, number - 1);
        }
        if number < last {
            self.0.insert(number + 1, last);
        }
    }

    /// What is in both.
    pub fn common(&self, other: &Self) -> impl Iterator<Item = u64> {
        let overlap = |(&first, &last): (&u64, &u64)| {
            let begin = other.run(first).map_or(first, |(begin, _)| begin);
            let runs = other.0.range(begin..=last);
            let cut: Vec<_> = runs.map(|(&begin, &end)| begin.max(first)..=end.min(last)).collect();
            cut
        };
        self.0.iter().flat_map(overlap).flatten()
    }

    /// The run that holds the number.
    fn run(&self, number: u64) -> Option<(u64, u64)> {
        let (&first, &last) = self.0.range(..=number).next_back()?;
        (number <= last).then_some((first, last))
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
        for number in [3, 1, 0, 2, u64::MAX, u64::MAX - 1] {
            set.insert(number);
        }
        assert_eq!(set.0, BTreeMap::from([(0, 3), (u64::MAX - 1, u64::MAX)]));
    }

    proptest! {
        #[test]
        fn it_is_a_set(steps in prop::collection::vec((any::<bool>(), 0..40u64), 0..200), other in prop::collection::btree_set(0..40u64, 0..40)) {
            let (mut set, mut naive) = (Intervals::default(), BTreeSet::new());
            for (put, number) in steps {
                if put { set.insert(number); naive.insert(number); } else { set.remove(number); naive.remove(&number); }
            }
            let mut second = Intervals::default();
            for &number in &other {
                second.insert(number);
            }
            for number in 0..40 {
                prop_assert_eq!(set.contains(number), naive.contains(&number));
            }
            prop_assert!(set.0.iter().zip(set.0.iter().skip(1)).all(|((_, last), (next, _))| last + 1 < *next));
            prop_assert_eq!(set.common(&second).collect::<Vec<_>>(), naive.intersection(&other).copied().collect::<Vec<_>>());
        }
    }
}
