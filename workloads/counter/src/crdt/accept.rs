//! What becomes of a like: an entry, or nothing because it was counted before. And what becomes of one that was counted twice.

use std::collections::{HashMap, HashSet};

use super::{Add, Entry, Id, Position, State, Void, What, requests::Key};

/// Entries in the making: a group that goes to disk together. They count when they are there, and not before.
#[derive(Debug)]
pub struct Group {
    at: i64,
    first: Position,
    requests: HashSet<Key>,
    voided: HashSet<Key>,
    entries: Vec<Entry>,
    new_ids: HashSet<Id>,
}

impl Group {
    /// After what the state's own log has. `now` may be behind: time does not run backwards in a log.
    pub fn after(state: &State, now: i64) -> Self {
        let own = state.part(state.own());
        Self {
            at: own.map_or(now, |part| part.at().max(now)),
            first: state.position(state.own()).next(),
            requests: HashSet::new(),
            voided: HashSet::new(),
            entries: Vec::new(),
            new_ids: HashSet::new(),
        }
    }

    /// Whether there may be as many ids more as these likes bring.
    pub fn has_room(&self, state: &State, adds: &[Add], max_ids: usize) -> bool {
        let new = |add: &&Add| !state.knows(&add.id) && !self.new_ids.contains(&add.id);
        let new = adds.iter().filter(new).count();
        new == 0 || state.ids() + self.new_ids.len() + new <= max_ids
    }

    /// Takes in a like. Tells where it will be counted; absent when its request is counted already, or in this group.
    pub fn like(&mut self, state: &State, add: Add) -> Option<Position> {
        if let Some(request) = &add.request
            && (state.counted(request).is_some() || !self.requests.insert(Key::from(request)))
        {
            return None;
        }
        if !state.knows(&add.id) {
            self.new_ids.insert(add.id.clone());
        }
        Some(self.push(What::Add(add)))
    }

    /// Takes back own entries, where they count still.
    pub fn take_back(&mut self, state: &State, voids: Vec<Void>) {
        for void in voids {
            let key = Key::from(&void.request);
            if state.counts(&key) && self.voided.insert(key) {
                self.push(What::Void(void));
            }
        }
    }

    /// What goes to disk.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn push(&mut self, what: What) -> Position {
        let position = Position(self.first.0 + self.entries.len() as u64);
        self.entries.push(Entry {
            position,
            at: self.at,
            what,
        });
        position
    }
}

/// The entries that count requests, found by reading a log in order.
#[derive(Debug)]
pub struct Search {
    wanted: HashSet<Key>,
    found: HashMap<Key, Void>,
}

impl Search {
    /// For these.
    pub fn new(wanted: HashSet<Key>) -> Self {
        Self {
            wanted,
            found: HashMap::new(),
        }
    }

    /// The next entry of the log.
    pub fn read(&mut self, entry: &Entry) {
        match &entry.what {
            What::Add(Add {
                id,
                by,
                n,
                request: Some(request),
            }) => {
                let key = Key::from(request);
                if self.wanted.contains(&key) {
                    let void = Void {
                        position: entry.position,
                        id: id.clone(),
                        by: by.clone(),
                        n: *n,
                        at: entry.at,
                        request: request.clone(),
                    };
                    self.found.insert(key, void);
                }
            }
            What::Add(_) => {}
            What::Void(void) => {
                let key = Key::from(&void.request);
                if self
                    .found
                    .get(&key)
                    .is_some_and(|found| found.position == void.position)
                {
                    self.found.remove(&key);
                }
            }
        }
    }

    /// What to take back, in the log's order, and how many requests were not found.
    pub fn end(self) -> (Vec<Void>, usize) {
        let missing = self.wanted.len() - self.found.len();
        let mut voids: Vec<_> = self.found.into_values().collect();
        voids.sort_unstable_by_key(|void| void.position);
        (voids, missing)
    }
}
