//! What a node knows: a part for every origin, its own included.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ops::Bound,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    Entry, Id, Ordinal, Origin, Position, Request, What,
    part::{Gap, Part, mix},
    past::Past,
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
    /// Whether more is to be taken back than before.
    pub doubled: bool,
}

/// What a node knows.
#[derive(Clone, Debug)]
pub struct State {
    own: Origin,
    remember: Remember,
    parts: BTreeMap<Origin, Part>,
    /// Requests of the own log that a lower origin counts as well, until their entries are taken back.
    doubled: HashSet<Key>,
    /// What has been known for as long as texts, and as runs of numbers, are remembered.
    past: Past,
    idle: Past,
    /// How many ids all parts have together.
    ids: usize,
}

impl State {
    /// Nothing is known yet.
    pub fn new(own: Origin, remember: Remember) -> Self {
        let parts = BTreeMap::from([(own, Part::default())]);
        Self {
            own,
            remember,
            parts,
            doubled: HashSet::new(),
            past: Past::default(),
            idle: Past::default(),
            ids: 0,
        }
    }

    /// Takes in a part from this node's own snapshot, before anything else.
    pub fn restore(&mut self, origin: Origin, mut part: Part) {
        part.requests.restored(part.position());
        self.ids += part.sums.keys().filter(|id| !self.knows(id)).count();
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

    /// How requests are remembered.
    pub fn remember(&self) -> Remember {
        self.remember
    }

    /// Of the own log's requests, how many that are not numbered may not be forgotten, and the runs of those that are.
    pub fn held(&self) -> (usize, usize) {
        let own = self.part(self.own).map(|part| &part.requests);
        own.map_or((0, 0), |requests| (requests.unsettled(), requests.runs()))
    }

    /// Whether the own log would have a run of numbers more.
    pub fn begins_a_run(&self, key: &Key) -> bool {
        self.part(self.own).is_none_or(|part| part.requests.begins_a_run(key))
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

    /// How many ids there are, in whichever parts.
    pub fn ids(&self) -> usize {
        self.ids
    }

    /// How much there is to write down: ids and requests that are not numbered, of all parts.
    pub fn size(&self) -> usize {
        self.parts.values().map(Part::size).sum()
    }

    /// How many requests that are not numbered were written after these positions.
    pub fn requests_after(&self, position: impl Fn(Origin) -> Position) -> usize {
        let after = |(origin, part): (&Origin, &Part)| part.requests.after(position(*origin));
        self.parts.iter().map(after).sum()
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
            let ids = part.ids();
            match part.apply(entry) {
                Ok(request) => {
                    self.ids += usize::from(part.ids() > ids && !self.knows(entry.id()));
                    learned.changed.push(entry.id().clone());
                    if let Some(key) = request.filter(|key| self.doubles(origin, key)) {
                        learned.doubled |= self.doubled.insert(key);
                    }
                    if let What::Void(void) = &entry.what
                        && origin == self.own
                    {
                        self.doubled.remove(&Key::from(&void.request));
                    }
                }
                Err(gap) => {
                    result = Err(gap);
                    break;
                }
            }
        }
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
    pub fn merge(&mut self, origin: Origin, mut part: Part, first_hand: bool) -> Learned {
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
        let only = |these: &Part, those: &Part| {
            let only = these.sums.keys().filter(|id| !those.sums.contains_key(*id));
            only.filter(|id| !self.knows(id)).count()
        };
        self.ids = self.ids + only(&part, &known) - only(&known, &part);
        // One that its own node has taken back meanwhile may come along: then a lower one yet counts it, and here it is taken back rightly.
        let position = part.position();
        part.requests.follow(&known.requests, position, self.doubled.iter());
        self.parts.insert(origin, part);
        let before = self.doubled.len();
        self.find_doubled_with(origin);
        Learned {
            changed,
            doubled: self.doubled.len() > before,
        }
    }

    /// Finds what is still to be taken back when a node starts.
    pub fn find_doubled(&mut self) {
        for origin in self.parts.keys().copied().collect::<Vec<_>>() {
            self.find_doubled_with(origin);
        }
    }

    fn find_doubled_with(&mut self, origin: Origin) {
        if let (Some(own), Some(other)) = (self.parts.get(&self.own), self.parts.get(&origin))
            && origin < self.own
        {
            self.doubled.extend(own.requests.common(&other.requests));
        }
    }

    /// Every request of the own log that a lower origin counts as well, and that is not taken back yet.
    pub fn doubled(&self) -> &HashSet<Key> {
        &self.doubled
    }

    /// These have no entry in the own log that could be taken back.
    pub fn give_up(&mut self, missing: &HashSet<Key>) {
        self.doubled.retain(|key| !missing.contains(key));
    }

    /// Forgets requests that every node knows, and that have been known here for long enough. No digest has what is remembered, so nodes
    /// need not forget the same at the same time: a retry that comes when some have is the client's risk.
    ///
    /// `now` is a clock that only goes forward, and `settled` tells up to where every node knows a log for good. While something is to be
    /// taken back nothing is forgotten: after a crash it is found again by what both logs count.
    pub fn forget(&mut self, now: Duration, settled: impl Fn(Origin) -> Position) {
        let known = || self.parts.iter().map(|(&origin, part)| (origin, part.position()));
        let long_ago = self.past.note(now, self.remember.time, known());
        let idle_since = self.idle.note(now, self.remember.idle, known());
        let of = |then: Option<&BTreeMap<Origin, Position>>, origin: &Origin| {
            let position = then.and_then(|known| known.get(origin)).copied();
            position.unwrap_or_default()
        };
        for (origin, part) in &mut self.parts {
            part.requests.settle(settled(*origin));
            if self.doubled.is_empty() {
                part.requests.forget(of(long_ago, origin), self.remember.count);
                part.requests.forget_runs(of(idle_since, origin));
            }
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
