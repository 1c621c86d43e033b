//! What one node's log adds up to.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::{
    Entry, Id, Position, What,
    intervals::Intervals,
    requests::{Key, Requests},
};

/// Likes and unlikes of an id in one log. Both only grow; what is taken back grows the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Likes.
    pub plus: u64,
    /// Unlikes.
    pub minus: u64,
}

impl Sums {
    /// Likes less unlikes.
    pub fn total(self) -> i64 {
        self.plus.wrapping_sub(self.minus).cast_signed()
    }

    fn add(&mut self, n: i64) {
        let sum = if n < 0 { &mut self.minus } else { &mut self.plus };
        *sum = sum.saturating_add(n.unsigned_abs());
    }
}

/// Entries that do not join to what is known: those between are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entries begin at {begins}, and {known} is the last that is known")]
pub struct Gap {
    /// The last position known.
    pub known: Position,
    /// Where the entries begin.
    pub begins: Position,
}

/// What entries up to a position add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub(super) position: Position,
    pub(super) sums: BTreeMap<Id, Sums>,
    pub(super) requests: Requests,
    digest: u64,
}

impl Part {
    /// The last entry's position.
    pub fn position(&self) -> Position {
        self.position
    }

    /// How many ids it has.
    pub fn ids(&self) -> usize {
        self.sums.len()
    }

    /// How many ids, and requests that are not numbered, it has.
    pub fn size(&self) -> usize {
        self.sums.len() + self.requests.others()
    }

    /// What its sums come to: equal sums have equal digests.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Whether the digest is that of the sums: what came from a disk or a peer is not taken at its word.
    pub fn sound(&self) -> bool {
        let digest = |sum: u64, (id, sums): (&Id, &Sums)| sum.wrapping_add(digest(id, *sums));
        self.digest == self.sums.iter().fold(0, digest)
    }

    /// As snapshots had it before requests had positions.
    pub(crate) fn of_the_first_format(part: FirstFormat) -> Self {
        let (position, _, sums, (numbered, _, order), digest) = part;
        let order = order.into_iter().map(|(_, hash)| hash);
        Self {
            position,
            sums,
            requests: Requests::without_positions(numbered, order, position),
            digest,
        }
    }

    /// The next entry, which must be the next. Returns the request it counts.
    pub(super) fn apply(&mut self, entry: &Entry) -> Result<Option<Key>, Gap> {
        if entry.position != self.position.next() {
            return Err(Gap {
                known: self.position,
                begins: entry.position,
            });
        }
        self.position = entry.position;
        match &entry.what {
            What::Add(add) => {
                self.count(&add.id, add.n.into());
                let key = add.request.as_ref().map(Key::from);
                if let Some(key) = &key {
                    self.requests.insert(key.clone(), entry.position);
                }
                Ok(key)
            }
            What::Void(void) => {
                self.count(&void.id, -i64::from(void.n));
                self.requests.remove(&Key::from(&void.request));
                Ok(None)
            }
        }
    }

    fn count(&mut self, id: &Id, n: i64) {
        let sums = self.sums.entry(id.clone()).or_default();
        let before = if *sums == Sums::default() { 0 } else { digest(id, *sums) };
        sums.add(n);
        self.digest = self.digest.wrapping_sub(before).wrapping_add(digest(id, *sums));
    }
}

/// The fields of a part, and of its requests, in the first format: with the time of the last entry, and requests with times.
pub(crate) type FirstFormat = (
    Position,
    i64,
    BTreeMap<Id, Sums>,
    (BTreeMap<Box<str>, Intervals>, HashMap<u128, i64>, Vec<(i64, u128)>),
    u64,
);

/// FNV-1a over the id and both sums, then mixed (the finaliser of SplitMix64), so that digests of different ids can be added up.
pub(super) fn digest(id: &Id, sums: Sums) -> u64 {
    let bytes = id
        .as_str()
        .bytes()
        .chain(sums.plus.to_le_bytes())
        .chain(sums.minus.to_le_bytes());
    mix(bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    }))
}

/// Every bit depends on every other.
pub(super) fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ hash >> 31
}
