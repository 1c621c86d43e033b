//! Which requests a log counts.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Request, intervals::Intervals};

/// How requests that are not numbered are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remember {
    /// For how long after they were written.
    pub time: Duration,
    /// How many of each log at most; then the oldest is forgotten first.
    pub count: usize,
}

/// A request, as it is looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// `<client>/<number>`.
    Numbered(Box<str>, u64),
    /// The hash of anything else.
    Other(u128),
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
    /// When each was written.
    others: HashMap<u128, i64>,
    /// The same, oldest first. What is not in `others` with this time was taken back, or came again.
    order: VecDeque<(i64, u128)>,
}

impl Requests {
    /// Whether it is counted, as far as it is remembered.
    pub fn contains(&self, key: &Key) -> bool {
        match key {
            Key::Numbered(client, number) => self
                .numbered
                .get(client)
                .is_some_and(|numbers| numbers.contains(*number)),
            Key::Other(hash) => self.others.contains_key(hash),
        }
    }

    /// It is counted, by an entry of this time.
    pub fn insert(&mut self, key: Key, at: i64) {
        match key {
            Key::Numbered(client, number) => self.numbered.entry(client).or_default().insert(number),
            Key::Other(hash) => {
                self.others.insert(hash, at);
                self.order.push_back((at, hash));
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
                numbers.remove(*number);
                if numbers.is_empty() {
                    self.numbered.remove(client);
                }
            }
            Key::Other(hash) => drop(self.others.remove(hash)),
        }
    }

    /// Forgets what is too old or too many.
    pub fn forget(&mut self, remember: Remember, now: i64) {
        let age = i64::try_from(remember.time.as_millis()).unwrap_or(i64::MAX);
        let oldest = now.saturating_sub(age);
        while let Some(&(at, hash)) = self.order.front()
            && (at < oldest || self.order.len() > remember.count)
        {
            self.order.pop_front();
            if self.others.get(&hash) == Some(&at) {
                self.others.remove(&hash);
            }
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

    #[test]
    fn numbers_are_remembered_for_ever_and_others_for_a_while_and_not_too_many() {
        let mut requests = Requests::default();
        let remember = Remember {
            time: Duration::from_millis(100),
            count: 2,
        };
        for (text, at) in [("a/1", 0), ("x", 0), ("y", 50), ("z", 60)] {
            requests.insert(key(text), at);
        }
        requests.forget(remember, 60);
        assert_eq!(
            ["a/1", "x", "y", "z"].map(|text| requests.contains(&key(text))),
            [true, false, true, true]
        );
        requests.forget(remember, 151);
        assert_eq!(
            ["a/1", "y", "z"].map(|text| requests.contains(&key(text))),
            [true, false, true]
        );
    }

    #[test]
    fn one_that_was_taken_back_and_came_again_is_remembered_from_then_on() {
        let mut requests = Requests::default();
        requests.insert(key("x"), 0);
        requests.remove(&key("x"));
        assert!(!requests.contains(&key("x")));
        requests.insert(key("x"), 90);
        requests.forget(
            Remember {
                time: Duration::from_millis(100),
                count: 9,
            },
            120,
        );
        assert!(requests.contains(&key("x")));
    }

    #[test]
    fn what_two_logs_both_count_is_found() {
        let set = |texts: &[&str]| {
            let mut requests = Requests::default();
            for text in texts {
                requests.insert(key(text), 0);
            }
            requests
        };
        let (left, right) = (
            set(&["a/1", "a/2", "b/1", "x", "y"]),
            set(&["a/2", "a/3", "c/1", "y", "z"]),
        );
        assert_eq!(left.common(&right), [key("y"), key("a/2")]);
    }
}
