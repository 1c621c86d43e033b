//! The windows that changed lately: bounded, each as it is now, in the order of their last change. Pure.
//!
//! Who follows it remembers the number of the last change he has seen, and asks for what changed since: a window that changed a thousand
//! times meanwhile is told once, and nobody has a queue of his own.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{aggregation::Aggregation, window::Window};

/// What one costs beside its id: its places in both maps.
const OVERHEAD: usize = 300;

/// A window of an id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    window: Window,
    start: i64,
    id: Arc<str>,
}

/// What is known.
#[derive(Debug)]
pub struct Book {
    known: HashMap<Key, (u64, Aggregation)>,
    /// By the number of its last change.
    changes: BTreeMap<u64, Key>,
    last: u64,
    bytes: usize,
    most: usize,
    /// The latest start of a window that had to make room.
    forgotten: HashMap<Window, i64>,
}

impl Book {
    /// Nothing yet, and never more than so many bytes.
    pub fn new(most: usize) -> Self {
        Self {
            known: HashMap::new(),
            changes: BTreeMap::new(),
            last: 0,
            bytes: 0,
            most,
            forgotten: HashMap::new(),
        }
    }

    /// A window is so now. Those that did not change for the longest time make room.
    pub fn note(&mut self, window: Window, aggregation: Aggregation) {
        let key = Key {
            window,
            start: aggregation.window_start,
            id: Arc::clone(&aggregation.id),
        };
        self.last += 1;
        self.bytes += cost(&key);
        self.changes.insert(self.last, key.clone());
        if let Some((before, _)) = self.known.insert(key, (self.last, aggregation)) {
            self.forget_change(before);
        }
        while self.bytes > self.most {
            let Some((_, key)) = self.changes.pop_first() else {
                return;
            };
            self.bytes -= cost(&key);
            self.known.remove(&key);
            let latest = self.forgotten.entry(key.window).or_insert(key.start);
            *latest = key.start.max(*latest);
        }
    }

    fn forget_change(&mut self, number: u64) {
        if let Some(key) = self.changes.remove(&number) {
            self.bytes -= cost(&key);
        }
    }

    /// The number of the last change.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// What changed after the change of this number, each as it is now, in the order of the changes; of ids that are wanted.
    pub fn since(&self, seen: u64, wanted: impl Fn(&Arc<str>) -> bool) -> Vec<(Window, Aggregation)> {
        let changed = self.changes.range(seen.saturating_add(1)..);
        changed
            .filter(|(_, key)| wanted(&key.id))
            .filter_map(|(_, key)| Some((key.window, self.known.get(key)?.1.clone())))
            .collect()
    }

    /// The window of this id that has this time. One that is not known counts nothing, unless it may be one that had to make room.
    pub fn at(&self, window: Window, id: &Arc<str>, at: i64) -> Option<Aggregation> {
        let start = window.start(at);
        let may_be_forgotten = self.forgotten.get(&window).is_some_and(|latest| start <= *latest);
        let nothing = || (!may_be_forgotten).then(|| Aggregation::nothing(window, Arc::clone(id), start));
        self.find(window, id, start).or_else(nothing)
    }

    /// Those of the last so many windows of this id, up to the one that has this time, that are known.
    pub fn latest(&self, window: Window, id: &Arc<str>, at: i64, count: usize) -> Vec<Aggregation> {
        let newest = window.start(at);
        let starts = std::iter::successors(Some(newest), |start| start.checked_sub(window.millis()));
        let mut found: Vec<_> = starts
            .take(count)
            .filter_map(|start| self.find(window, id, start))
            .collect();
        found.reverse();
        found
    }

    fn find(&self, window: Window, id: &Arc<str>, start: i64) -> Option<Aggregation> {
        let key = Key {
            window,
            start,
            id: Arc::clone(id),
        };
        self.known.get(&key).map(|(_, known)| known.clone())
    }
}

fn cost(key: &Key) -> usize {
    OVERHEAD + key.id.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counted(id: &str, start: i64, count: i64) -> Aggregation {
        Aggregation {
            count,
            ..Aggregation::nothing(Window::One, id.into(), start)
        }
    }

    #[test]
    fn a_window_that_changed_often_is_told_once_as_it_is_now() {
        let mut book = Book::new(10_000);
        for count in 1..=5 {
            book.note(Window::One, counted("a", 0, count));
        }
        book.note(Window::One, counted("b", 0, 1));
        let seen = book.last();
        assert_eq!(
            book.since(0, |_| true),
            [(Window::One, counted("a", 0, 5)), (Window::One, counted("b", 0, 1))]
        );
        assert_eq!(book.since(seen, |_| true), []);
        book.note(Window::One, counted("a", 0, 6));
        assert_eq!(book.since(seen, |_| true), [(Window::One, counted("a", 0, 6))]);
        assert_eq!(book.since(u64::MAX, |_| true), []);
        assert_eq!(book.since(0, |id| &**id == "b").len(), 1);
    }

    #[test]
    fn a_window_in_which_nothing_happened_has_nothing() {
        let mut book = Book::new(10_000);
        book.note(Window::One, counted("a", 60_000, 3));
        let id: Arc<str> = "a".into();
        let count = |book: &Book, window, at| book.at(window, &id, at).map(|known| known.count);
        assert_eq!(count(&book, Window::One, 119_999), Some(3));
        assert_eq!(book.at(Window::One, &id, 120_000), Some(counted("a", 120_000, 0)));
        assert_eq!(count(&book, Window::Five, 60_000), Some(0));
        book.note(Window::One, counted("a", 180_000, 4));
        let counts = |at, count| -> Vec<i64> {
            let latest = book.latest(Window::One, &id, at, count);
            latest.iter().map(|window| window.count).collect()
        };
        assert_eq!(counts(180_000, 3), [3, 4]);
        assert_eq!(counts(180_000, 2), [4]);
        assert_eq!(counts(100_000, 9), [3]);
    }

    #[test]
    fn a_window_that_had_to_make_room_is_not_said_to_have_nothing() {
        let mut book = Book::new(2 * (OVERHEAD + 1));
        for id in ["a", "b", "c"] {
            book.note(Window::One, counted(id, 60_000, 5));
        }
        let at = |id: &str, at| book.at(Window::One, &id.into(), at).map(|known| known.count);
        assert_eq!(
            (at("a", 60_000), at("b", 60_000), at("d", 60_000)),
            (None, Some(5), None)
        );
        assert_eq!((at("a", 120_000), at("a", 0)), (Some(0), None));
    }

    proptest! {
        /// Whoever asks now and then ends with what is so, whatever was between, and the memory stays within its bound.
        #[test]
        fn a_follower_knows_the_last_state_of_every_window(
            changes in prop::collection::vec((0u8..6, 0i64..4, any::<i8>(), any::<bool>()), 1..200),
            bounded in any::<bool>(),
        ) {
            let most = if bounded { 5 * (OVERHEAD + 1) } else { 1 << 20 };
            let mut book = Book::new(most);
            let (mut seen, mut followed, mut truth) = (0, HashMap::new(), HashMap::new());
            for (id, start, count, looks) in changes {
                let aggregation = counted(&id.to_string(), start * 60_000, count.into());
                truth.insert((id, start), aggregation.clone());
                book.note(Window::One, aggregation);
                prop_assert!(book.bytes <= most);
                prop_assert_eq!(book.known.len(), book.changes.len());
                if looks || bounded {
                    for (_, aggregation) in book.since(seen, |_| true) {
                        let id: u8 = aggregation.id.parse().unwrap();
                        followed.insert((id, aggregation.window_start / 60_000), aggregation);
                    }
                    seen = book.last();
                }
            }
            for (_, aggregation) in book.since(seen, |_| true) {
                let id: u8 = aggregation.id.parse().unwrap();
                followed.insert((id, aggregation.window_start / 60_000), aggregation);
            }
            prop_assert_eq!(followed, truth);
        }
    }
}
