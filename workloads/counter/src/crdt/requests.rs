//! Which requests a log counts.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Position, Request, intervals::Intervals};

/// How requests are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remember {
    /// For how long those that are not numbered, after they became known.
    pub time: Duration,
    /// How many of these of each log at most; then the oldest is forgotten first, where every node knows it.
    pub count: usize,
    /// For how long a run of numbers of a client, after the newest of them became known: a client whose numbers have no gap has one run.
    pub idle: Duration,
    /// How many of these runs the own log may have.
    pub runs: usize,
}

/// A request, as it is looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// `<client>/<number>`.
    Numbered(Box<str>, u64),
    /// The hash of anything else.
    Other(u128),
}

impl Key {
    /// The number before it, of the same client.
    pub fn before(&self) -> Option<Self> {
        match self {
            Self::Numbered(client, number) => Some(Self::Numbered(client.clone(), number.checked_sub(1)?)),
            Self::Other(_) => None,
        }
    }
}

impl From<&Request> for Key {
    fn from(request: &Request) -> Self {
        numbered(request.as_str()).map_or_else(
            || {
                let hash = Sha256::digest(request.as_str());
                Self::Other(hash.iter().take(16).fold(0, |sum, byte| sum << 8 | u128::from(*byte)))
            },
            |(client, number)| Self::Numbered(client.into(), number),
        )
    }
}

/// `a/01` and `a/+1` would be second names of `a/1`, so they are not numbered.
fn numbered(text: &str) -> Option<(&str, u64)> {
    let (client, digits) = text.rsplit_once('/')?;
    let canonical = digits == "0" || !digits.starts_with(['0', '+']);
    (canonical && !client.is_empty()).then_some(())?;
    Some((client, digits.parse().ok()?))
}

/// The requests a log counts; one whose entry was taken back is none of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    numbered: BTreeMap<Box<str>, Intervals>,
    runs: usize,
    /// Where each was written.
    others: HashMap<u128, Position>,
    /// The same, in the log's order. What is not in `others` with this position was taken back, or came again.
    order: VecDeque<(Position, u128)>,
    /// What was written up to here every node knows for good. What was written later is not forgotten, however old or many: a log that
    /// nobody has seen yet may count it too.
    settled: Position,
    /// No run that is left was written up to here only.
    #[serde(skip)]
    swept: Position,
}

impl Requests {
    /// Whether it is counted, as far as it is remembered.
    pub fn contains(&self, key: &Key) -> bool {
        match key {
            Key::Numbered(client, number) => self.has(client, *number),
            Key::Other(hash) => self.others.contains_key(hash),
        }
    }

    fn has(&self, client: &str, number: u64) -> bool {
        self.numbered
            .get(client)
            .is_some_and(|numbers| numbers.contains(number))
    }

    /// Whether it is a number, and stands next to none of its client's.
    pub fn begins_a_run(&self, key: &Key) -> bool {
        let Key::Numbered(client, number) = key else {
            return false;
        };
        let beside = [number.checked_sub(1), Some(*number), number.checked_add(1)];
        !beside.into_iter().flatten().any(|number| self.has(client, number))
    }

    /// How many are remembered that are not numbered.
    pub fn others(&self) -> usize {
        self.others.len()
    }

    /// How many runs of numbers there are.
    pub fn runs(&self) -> usize {
        self.runs
    }

    /// How many that are not numbered may not be forgotten yet.
    pub fn unsettled(&self) -> usize {
        self.after(self.settled)
    }

    /// How many that are not numbered were written after this position.
    pub fn after(&self, position: Position) -> usize {
        self.order.len() - self.order.partition_point(|(written, _)| *written <= position)
    }

    /// It is counted, by the entry at this position.
    pub fn insert(&mut self, key: Key, position: Position) {
        match key {
            Key::Numbered(client, number) => {
                let numbers = self.numbered.entry(client).or_default();
                self.runs -= numbers.runs();
                numbers.insert(number, position);
                self.runs += numbers.runs();
            }
            Key::Other(hash) => {
                self.others.insert(hash, position);
                self.order.push_back((position, hash));
            }
        }
    }

    /// Its entry was taken back.
    pub fn remove(&mut self, key: &Key) {
        match key {
            Key::Numbered(client, number) => {
                let Some(numbers) = self.numbered.get_mut(client) else {
                    return;
                };
                self.runs -= numbers.runs();
                numbers.remove(*number);
                self.runs += numbers.runs();
                if numbers.is_empty() {
                    self.numbered.remove(client);
                }
            }
            Key::Other(hash) => drop(self.others.remove(hash)),
        }
    }

    /// Every node knows the log up to here.
    pub fn settle(&mut self, settled: Position) {
        self.settled = settled.max(self.settled);
    }

    /// Forgets those that are not numbered and every node knows, if they were known here long ago, or where there are more than `count`.
    pub fn forget(&mut self, long_ago: Position, count: usize) {
        while let Some(&(position, hash)) = self.order.front()
            && position <= self.settled
            && (position <= long_ago || self.order.len() > count)
        {
            self.order.pop_front();
            if self.others.get(&hash) == Some(&position) {
                self.others.remove(&hash);
            }
        }
    }

    /// Forgets the runs of numbers that every node knows, and of which nothing became known here after `idle_since`.
    pub fn forget_runs(&mut self, idle_since: Position) {
        let until = idle_since.min(self.settled);
        // All runs are looked at, so only where some may have come to an end.
        if until <= self.swept {
            return;
        }
        self.swept = until;
        self.numbered.retain(|_, numbers| {
            numbers.forget(until);
            !numbers.is_empty()
        });
        self.runs = self.numbered.values().map(Intervals::runs).sum();
    }

    /// They come from this node's own disk, where they reached up to `position`.
    pub fn restored(&mut self, position: Position) {
        for numbers in self.numbered.values_mut() {
            numbers.date(None, position);
        }
    }

    /// Takes the place of what was known before of the same log, and reaches up to `position`. How far that is settled was found out here,
    /// and whoever has told this part may have forgotten what is still to be compared (`wanted`) here.
    pub fn follow<'a>(&mut self, before: &Self, position: Position, wanted: impl Iterator<Item = &'a Key>) {
        (self.settled, self.swept) = (before.settled, Position(0));
        for (client, numbers) in &mut self.numbered {
            numbers.date(before.numbered.get(client), position);
        }
        for key in wanted.filter(|key| before.contains(key)) {
            match key {
                Key::Other(hash) => {
                    if let Some(&position) = before.others.get(hash)
                        && !self.others.contains_key(hash)
                    {
                        self.others.insert(*hash, position);
                        let place = self.order.partition_point(|(other, _)| *other < position);
                        self.order.insert(place, (position, *hash));
                    }
                }
                Key::Numbered(client, number) => {
                    let written = before.numbered.get(client).and_then(|numbers| numbers.written(*number));
                    if let Some(written) = written.filter(|_| !self.has(client, *number)) {
                        self.insert(key.clone(), written);
                    }
                }
            }
        }
    }

    /// As they were kept before they had positions: these are somewhere up to `position`.
    pub(super) fn without_positions(
        numbered: BTreeMap<Box<str>, Intervals>,
        order: impl Iterator<Item = u128>,
        position: Position,
    ) -> Self {
        let order: VecDeque<_> = order.map(|hash| (position, hash)).collect();
        Self {
            runs: numbered.values().map(Intervals::runs).sum(),
            numbered,
            others: order.iter().map(|&(position, hash)| (hash, position)).collect(),
            order,
            settled: Position(0),
            swept: Position(0),
        }
    }

    /// What both count.
    pub fn common(&self, other: &Self) -> Vec<Key> {
        let (few, many) = if self.others.len() < other.others.len() {
            (self, other)
        } else {
            (other, self)
        };
        let hashes = few.others.keys().filter(|hash| many.others.contains_key(hash));
        let mut common: Vec<_> = hashes.map(|&hash| Key::Other(hash)).collect();
        for (client, numbers) in &self.numbered {
            if let Some(others) = other.numbered.get(client) {
                common.extend(
                    numbers
                        .common(others)
                        .map(|number| Key::Numbered(client.clone(), number)),
                );
            }
        }
        common
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::from(&text.parse::<Request>().unwrap())
    }

    #[test]
    fn only_the_canonical_number_of_a_client_is_kept_as_a_number() {
        assert_eq!(key("a/b/7"), Key::Numbered("a/b".into(), 7));
        assert_eq!(key("a/18446744073709551615"), Key::Numbered("a".into(), u64::MAX));
        for other in ["a/07", "a/+7", "a/", "/7", "7", "a/18446744073709551616", "a/-1"] {
            assert!(matches!(key(other), Key::Other(_)), "{other}");
        }
        assert_ne!(key("a/07"), key("a/7"));
    }

    fn requests(texts: &[&str]) -> Requests {
        let mut requests = Requests::default();
        for (text, position) in texts.iter().zip(1..) {
            requests.insert(key(text), Position(position));
        }
        requests
    }

    fn held(requests: &Requests, texts: &str) -> String {
        let held = texts.split(' ').filter(|text| requests.contains(&key(text)));
        held.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn those_that_are_not_numbered_are_remembered_for_a_while_and_not_too_many() {
        let mut requests = requests(&["a/1", "x", "y", "z"]);
        requests.settle(Position(9));
        requests.forget(Position(0), 2);
        assert_eq!(held(&requests, "a/1 x y z"), "a/1 y z");
        requests.forget(Position(3), 2);
        assert_eq!(held(&requests, "a/1 x y z"), "a/1 z");
    }

    #[test]
    fn what_not_every_node_knows_is_never_forgotten() {
        let mut requests = requests(&["x", "y", "z"]);
        requests.settle(Position(1));
        requests.forget(Position(9), 0);
        assert_eq!((held(&requests, "x y z").as_str(), requests.unsettled()), ("y z", 2));
        requests.settle(Position(3));
        assert_eq!(requests.unsettled(), 0);
    }

    #[test]
    fn runs_of_numbers_are_remembered_until_every_node_knows_them_and_their_client_has_been_idle() {
        let mut requests = requests(&["a/1", "b/1", "a/2", "a/9", "x"]);
        requests.forget_runs(Position(4));
        assert_eq!(requests.runs(), 3, "not every node knows them");
        requests.settle(Position(3));
        requests.forget_runs(Position(2));
        assert_eq!(
            (held(&requests, "a/1 b/1 a/2 a/9 x"), requests.runs()),
            ("a/1 a/2 a/9 x".to_owned(), 2)
        );
        requests.forget_runs(Position(9));
        assert_eq!(
            (held(&requests, "a/1 b/1 a/2 a/9 x"), requests.runs()),
            ("a/9 x".to_owned(), 1)
        );
        requests.settle(Position(9));
        requests.forget_runs(Position(9));
        assert_eq!((held(&requests, "a/9 x"), requests.runs()), ("x".to_owned(), 0));
        assert!(requests.numbered.is_empty() && requests.begins_a_run(&key("a/10")));
    }

    #[test]
    fn one_that_was_taken_back_and_came_again_is_remembered_from_then_on() {
        let mut requests = requests(&["x"]);
        requests.remove(&key("x"));
        assert!(!requests.contains(&key("x")));
        requests.insert(key("x"), Position(3));
        requests.settle(Position(3));
        requests.forget(Position(2), 9);
        assert!(requests.contains(&key("x")));
    }

    #[test]
    fn a_part_that_takes_anothers_place_keeps_what_is_still_wanted() {
        let before = requests(&["x", "y", "z", "a/1", "a/2", "a/3"]);
        let mut after = Requests::default();
        after.insert(key("z"), Position(3));
        after.settle(Position(3));
        let wanted = ["x", "z", "other", "a/2", "a/4"].map(key);
        after.follow(&before, Position(6), wanted.iter());
        assert_eq!(held(&after, "x y z other a/1 a/2 a/3 a/4"), "x z a/2");
        assert_eq!((after.unsettled(), after.order[0].0, after.runs()), (2, Position(1), 1));
    }

    #[test]
    fn runs_of_numbers_are_counted() {
        let mut requests = requests(&["a/1", "a/2", "b/1", "a/9", "x"]);
        assert_eq!(requests.runs(), 3);
        assert!(
            ["c/1", "a/4", "b/3"]
                .iter()
                .all(|text| requests.begins_a_run(&key(text)))
        );
        assert!(
            !["a/1", "a/3", "a/0", "a/8", "y"]
                .iter()
                .any(|text| requests.begins_a_run(&key(text)))
        );
        requests.remove(&key("a/9"));
        requests.remove(&key("b/1"));
        assert_eq!(requests.runs(), 1);
    }

    #[test]
    fn what_two_logs_both_count_is_found() {
        let (left, right) = (
            requests(&["a/1", "a/2", "b/1", "x", "y"]),
            requests(&["a/2", "a/3", "c/1", "y", "z"]),
        );
        assert_eq!(left.common(&right), [key("y"), key("a/2")]);
    }
}
