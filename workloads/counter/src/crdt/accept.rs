//! What becomes of a like: an entry, or nothing because it was counted before. And what becomes of one that was counted twice.

use std::collections::{HashMap, HashSet};

use super::{Add, Entry, Id, Position, State, Void, What, requests::Key};

/// What a node has no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// Another id.
    Ids,
    /// Another request that is not numbered, before every node knows those there are.
    Requests,
    /// Another client that numbers its requests, or another gap in the numbers of one.
    Runs,
}

/// Entries in the making: a group that goes to disk together. They count when they are there, and not before.
#[derive(Debug)]
pub struct Group {
    at: i64,
    first: Position,
    requests: HashSet<Key>,
    /// Of the requests, those that are not numbered, and those that begin a run.
    others: usize,
    runs: usize,
    voided: HashSet<Key>,
    entries: Vec<Entry>,
    new_ids: HashSet<Id>,
}

impl Group {
    /// After what the state's own log has. `now` is what the clock shows, though it may be behind what it has shown: were the latest kept,
    /// one like of a moment in which it was a year ahead would date all later ones.
    pub fn after(state: &State, now: i64) -> Self {
        Self {
            at: now,
            first: state.position(state.own()).next(),
            requests: HashSet::new(),
            others: 0,
            runs: 0,
            voided: HashSet::new(),
            entries: Vec::new(),
            new_ids: HashSet::new(),
        }
    }

    /// Whether there may be as many ids and requests more as these likes bring.
    pub fn has_room(&self, state: &State, adds: &[Add], max_ids: usize) -> Result<(), Full> {
        let new = |add: &&Add| !state.knows(&add.id) && !self.new_ids.contains(&add.id);
        let new = adds.iter().filter(new).count();
        if new > 0 && state.ids() + self.new_ids.len() + new > max_ids {
            return Err(Full::Ids);
        }
        let (remember, (others, runs)) = (state.remember(), state.held());
        let (others, runs) = (others + self.others, runs + self.runs);
        if others + adds.len() <= remember.count && runs + adds.len() <= remember.runs {
            return Ok(());
        }
        // Near a limit it is looked at closely: what was counted before, and the next number of a client, needs no room.
        let (mut new, mut new_others, mut new_runs) = (HashSet::new(), 0, 0);
        for request in adds.iter().filter_map(|add| add.request.as_ref()) {
            let key = Key::from(request);
            if state.counted(request).is_none() && !self.requests.contains(&key) && !new.contains(&key) {
                new_others += usize::from(matches!(key, Key::Other(_)));
                new_runs +=
                    usize::from(self.begins_a_run(state, &key) && !key.before().is_some_and(|key| new.contains(&key)));
                new.insert(key);
            }
        }
        if new_others > 0 && others + new_others > remember.count {
            Err(Full::Requests)
        } else if new_runs > 0 && runs + new_runs > remember.runs {
            Err(Full::Runs)
        } else {
            Ok(())
        }
    }

    /// Takes in a like. Tells where it will be counted; absent when its request is counted already, or in this group.
    pub fn like(&mut self, state: &State, add: Add) -> Option<Position> {
        if let Some(request) = &add.request {
            let key = Key::from(request);
            if state.counted(request).is_some() || self.requests.contains(&key) {
                return None;
            }
            self.others += usize::from(matches!(key, Key::Other(_)));
            self.runs += usize::from(self.begins_a_run(state, &key));
            self.requests.insert(key);
        }
        if !state.knows(&add.id) {
            self.new_ids.insert(add.id.clone());
        }
        Some(self.push(What::Add(add)))
    }

    fn begins_a_run(&self, state: &State, key: &Key) -> bool {
        state.begins_a_run(key) && !key.before().is_some_and(|before| self.requests.contains(&before))
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

    /// What to take back, in the log's order, and which requests were not found.
    pub fn end(self) -> (Vec<Void>, HashSet<Key>) {
        let found = self.found;
        let missing = self.wanted.into_iter().filter(|key| !found.contains_key(key)).collect();
        let mut voids: Vec<_> = found.into_values().collect();
        voids.sort_unstable_by_key(|void| void.position);
        (voids, missing)
    }
}
