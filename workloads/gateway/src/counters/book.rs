//! The windows that changed lately: bounded, each as it is now, in the order of their last change. Pure.
//!
//! Who follows it remembers the number of the last change he has seen, and asks for what changed since: a window that changed a thousand
//! times meanwhile is told once, and nobody has a queue of his own.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
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
    /// Of the windows whose topics are being read.
    reading: BTreeMap<Window, Reading>,
    /// Readings that were begun.
    rounds: u64,
}

/// How far the topic of a window has been read.
#[derive(Debug)]
struct Reading {
    round: u64,
    /// Partitions that have not been read up to where they ended when this reading began.
    left: BTreeSet<i32>,
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
            reading: BTreeMap::new(),
            rounds: 0,
        }
    }

    /// The topic of a window begins to be read, all of these partitions.
    pub fn begin(&mut self, window: Window, partitions: BTreeSet<i32>) {
        self.rounds += 1;
        let reading = Reading {
            round: self.rounds,
            left: partitions,
        };
        self.reading.insert(window, reading);
    }

    /// A partition has been read up to where it ended. Whether the window's topic has been by this.
    pub fn reached(&mut self, window: Window, partition: i32) -> bool {
        let reading = self.reading.get_mut(&window);
        reading.is_some_and(|reading| reading.left.remove(&partition) && reading.left.is_empty())
    }

    /// What is written is not read now: Kafka is away.
    pub fn lose(&mut self) {
        self.reading.clear();
    }

    /// The windows whose topics have been read, each with the number of the reading.
    fn read(&self) -> BTreeMap<Window, u64> {
        let read = self.reading.iter().filter(|(_, reading)| reading.left.is_empty());
        read.map(|(window, reading)| (*window, reading.round)).collect()
    }

    /// The windows whose topics have been read since `seen`, which then has them too.
    pub fn newly_read(&self, seen: &mut BTreeMap<Window, u64>) -> BTreeSet<Window> {
        let before = std::mem::replace(seen, self.read());
        let fresh = seen.iter().filter(|(window, round)| before.get(window) != Some(round));
        fresh.map(|(window, _)| *window).collect()
    }

    /// Whether what is not known of a window has not been counted.
    pub fn is_read(&self, window: Window) -> bool {
        self.reading.get(&window).is_some_and(|reading| reading.left.is_empty())
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

    /// The window of this id that has this time. One that is not known counts nothing, unless its topic has not been read, or it may be one
    /// that had to make room.
    pub fn at(&self, window: Window, id: &Arc<str>, at: i64) -> Option<Aggregation> {
        self.find(window, id, window.start(at))
            .or_else(|| self.nothing(window, id, at))
    }

    /// The same, if it is known to count nothing.
    pub fn nothing(&self, window: Window, id: &Arc<str>, at: i64) -> Option<Aggregation> {
        let start = window.start(at);
        let may_be_forgotten = self.forgotten.get(&window).is_some_and(|latest| start <= *latest);
        let is_sure = self.is_read(window) && !may_be_forgotten && self.find(window, id, start).is_none();
        is_sure.then(|| Aggregation::nothing(window, Arc::clone(id), start))
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

    /// Of topics that have been read.
    fn read(most: usize) -> Book {
        let mut book = Book::new(most);
        for window in Window::ALL {
            book.begin(window, BTreeSet::new());
        }
        book
    }

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
    fn nothing_is_said_to_be_counted_before_the_topic_has_been_read_or_while_kafka_is_away() {
        let mut book = Book::new(10_000);
        let tea: Arc<str> = "tea".into();
        let count = |book: &Book, window| book.at(window, &tea, 60_000).map(|known| known.count);
        assert_eq!((count(&book, Window::One), book.is_read(Window::One)), (None, false));
        book.begin(Window::One, [0, 1].into());
        book.begin(Window::Five, [0].into());
        assert!(!book.reached(Window::One, 1));
        assert_eq!(count(&book, Window::One), None);
        assert!(
            book.reached(Window::One, 0) && !book.reached(Window::One, 0),
            "told once"
        );
        assert_eq!((count(&book, Window::One), count(&book, Window::Five)), (Some(0), None));
        assert!(book.reached(Window::Five, 0));
        assert_eq!(book.read(), [(Window::One, 1), (Window::Five, 2)].into());
        book.note(Window::One, counted("tea", 60_000, 7));
        book.lose();
        assert_eq!(
            (count(&book, Window::One), count(&book, Window::Five)),
            (Some(7), None),
            "what was known is"
        );
        assert!(!book.reached(Window::Five, 0));
        book.begin(Window::Five, BTreeSet::new());
        assert_eq!(book.read(), [(Window::Five, 3)].into());
    }

    #[test]
    fn a_window_in_which_nothing_happened_has_nothing() {
        let mut book = read(10_000);
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
        let mut book = read(2 * (OVERHEAD + 1));
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
