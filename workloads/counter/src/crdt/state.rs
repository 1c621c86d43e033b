//! What a node knows: a part for every origin, its own included.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ops::Bound,
};

use serde::{Deserialize, Serialize};

use super::{
    Entry, Id, Ordinal, Origin, Position, Request,
    part::{Gap, Part, mix},
    requests::{Key, Remember},
};

/// A part in a few numbers: what nodes compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Whose.
    pub origin: Origin,
    /// Up to where it is known.
    pub position: Position,
    /// Of its sums.
    pub digest: u64,
}

/// What an id has over all nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Total {
    /// Likes less unlikes.
    pub total: i64,
    /// The same by node; a node in whose logs the id never was is left out.
    pub nodes: BTreeMap<Ordinal, i64>,
}

/// What taking something in has changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// Ids whose totals may be others now.
    pub changed: Vec<Id>,
    /// Requests of the own log that a lower origin counts as well: the own entries are to be taken back.
    pub doubled: HashSet<Key>,
}

/// What a node knows.
#[derive(Clone, Debug)]
pub struct State {
    own: Origin,
    remember: Remember,
    parts: BTreeMap<Origin, Part>,
}

impl State {
    /// Nothing is known yet.
    pub fn new(own: Origin, remember: Remember) -> Self {
        let parts = BTreeMap::from([(own, Part::default())]);
        Self { own, remember, parts }
    }

    /// Takes in a part from this node's own snapshot, before anything else.
    pub fn restore(&mut self, origin: Origin, part: Part) {
        self.parts.insert(origin, part);
    }

    /// This node.
    pub fn own(&self) -> Origin {
        self.own
    }

    /// A part.
    pub fn part(&self, origin: Origin) -> Option<&Part> {
        self.parts.get(&origin)
    }

    /// Up to where an origin's log is known; 0 if it is not.
    pub fn position(&self, origin: Origin) -> Position {
        self.part(origin).map(Part::position).unwrap_or_default()
    }

    /// Every part in a few numbers, by origin.
    pub fn summaries(&self) -> Vec<Summary> {
        let summary = |(&origin, part): (&Origin, &Part)| Summary {
            origin,
            position: part.position(),
            digest: part.digest(),
        };
        self.parts.iter().map(summary).collect()
    }

    /// Of all totals: equal on two nodes when, and for all practical purposes only when, they know the same of every origin.
    pub fn digest(&self) -> u64 {
        let parts = self.parts.iter().filter(|(_, part)| part.position() > Position(0));
        parts.fold(0, |sum: u64, (origin, part)| {
            let origin = mix(origin.incarnation.0 ^ u64::from(origin.ordinal.0));
            sum.wrapping_add(mix(origin ^ part.digest()))
        })
    }

    /// How many ids the largest part has.
    pub fn ids(&self) -> usize {
        self.parts.values().map(Part::ids).max().unwrap_or_default()
    }

    /// Whether the id was ever liked.
    pub fn knows(&self, id: &Id) -> bool {
        self.parts.values().any(|part| part.sums.contains_key(id))
    }

    /// Whose log counts this request, as far as it is known and remembered.
    pub fn counted(&self, request: &Request) -> Option<Origin> {
        let key = Key::from(request);
        let holds = |(origin, part): (&Origin, &Part)| part.requests.contains(&key).then_some(*origin);
        self.parts.iter().find_map(holds)
    }

    /// Whether the own log counts it.
    pub fn counts(&self, key: &Key) -> bool {
        self.part(self.own).is_some_and(|part| part.requests.contains(key))
    }

    /// Takes in entries of an origin, in order. Those already known are passed over. Where some are missing those before them are taken in,
    /// and the rest is refused.
    pub fn apply(&mut self, origin: Origin, entries: &[Entry]) -> (Learned, Result<(), Gap>) {
        let (mut learned, mut result) = (Learned::default(), Ok(()));
        let mut part = self.parts.remove(&origin).unwrap_or_default();
        let known = part.position();
        for entry in entries.iter().skip_while(|entry| entry.position <= known) {
            match part.apply(entry) {
                Ok(request) => {
                    learned.changed.push(entry.id().clone());
                    learned.doubled.extend(request.filter(|key| self.doubles(origin, key)));
                }
                Err(gap) => {
                    result = Err(gap);
                    break;
                }
            }
        }
        let now = part.at();
        part.requests.forget(self.remember, now);
        if origin == self.own || part.position() > Position(0) {
            self.parts.insert(origin, part);
        }
        (learned, result)
    }

    /// Whether a request that `origin` counts is to be taken back from the own log. `origin`'s part is not in `parts` meanwhile.
    fn doubles(&self, origin: Origin, key: &Key) -> bool {
        if origin == self.own {
            let mut lower = self.parts.range(..self.own);
            lower.any(|(_, part)| part.requests.contains(key))
        } else {
            origin < self.own && self.counts(key)
        }
    }

    /// Takes in a whole part. It replaces the one that is known where it says more, or where its own node tells it (`first_hand`) and the
    /// digests differ though the positions are the same, which only a fault can bring about. The own part is never replaced.
    pub fn merge(&mut self, origin: Origin, part: Part, first_hand: bool) -> Learned {
        let differs =
            |known: &Part| first_hand && part.position() == known.position() && part.digest() != known.digest();
        let better = |known: &Part| part.position() > known.position() || differs(known);
        if origin == self.own || !self.part(origin).is_none_or(better) || !part.sound() {
            return Learned::default();
        }
        let known = self.parts.remove(&origin).unwrap_or_default();
        let ids = part.sums.iter().filter(|(id, sums)| known.sums.get(*id) != Some(sums));
        let gone = known.sums.keys().filter(|id| !part.sums.contains_key(*id));
        let changed = ids.map(|(id, _)| id).chain(gone).cloned().collect();
        self.parts.insert(origin, part);
        let doubled = if origin < self.own {
            self.doubled_with(origin)
        } else {
            HashSet::new()
        };
        Learned { changed, doubled }
    }

    /// Every request of the own log that a lower origin counts as well: what is left to do when a node starts.
    pub fn doubled(&self) -> HashSet<Key> {
        let lower = self.parts.range(..self.own);
        lower.flat_map(|(&origin, _)| self.doubled_with(origin)).collect()
    }

    fn doubled_with(&self, origin: Origin) -> HashSet<Key> {
        match (self.part(self.own), self.part(origin)) {
            (Some(own), Some(other)) => own.requests.common(&other.requests).into_iter().collect(),
            _ => HashSet::new(),
        }
    }

    /// What the id has.
    pub fn total(&self, id: &str) -> Total {
        let mut total = Total {
            total: 0,
            nodes: BTreeMap::new(),
        };
        for (origin, part) in &self.parts {
            if let Some(sums) = part.sums.get(id) {
                total.total += sums.total();
                *total.nodes.entry(origin.ordinal).or_default() += sums.total();
            }
        }
        total
    }

    /// Ids that begin with `prefix`, in order, after `after`, `limit` at most.
    pub fn page(&self, prefix: &str, after: Option<&str>, limit: usize) -> Vec<Id> {
        let begin = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let mut ids = BTreeSet::new();
        for part in self.parts.values() {
            let range = part.sums.range::<str, _>((begin, Bound::Unbounded));
            let of_prefix = range.map(|(id, _)| id).take_while(|id| id.as_str().starts_with(prefix));
            ids.extend(of_prefix.take(limit).cloned());
        }
        ids.into_iter().take(limit).collect()
    }
}
