//! The sequence of writes: which kind, where, to which row. The same seed gives the same sequence for the same rows to begin with.

use super::{Deltas, Mix, WriteKind};
use crate::values::random::{Random, salt};

/// Rows of a table that are remembered, to be written again. What is inserted beyond is inserted and left alone.
const REMEMBERED: usize = 200_000;
/// A row is left to the site that inserted it for so many seconds of writes: before it has travelled nobody else could change it.
const SETTLE_SECONDS: u64 = 3;

/// A write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op {
    /// Its number, from 0.
    pub number: u64,
    /// The place of its site.
    pub site: usize,
    /// The place of its table.
    pub table: usize,
    /// Its kind.
    pub kind: WriteKind,
    /// Its row: those that were there first, by their place; then those that are inserted, in their order.
    pub row: u64,
    /// Whether other writes to the row may follow.
    pub again: bool,
}

/// What is known of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// How many rows there are to begin with.
    pub rows: u64,
    /// Whether others refer to it: then only rows that were inserted here are deleted, to which nobody refers.
    pub referenced: bool,
}

#[derive(Clone, Copy, Debug)]
struct Alive {
    row: u64,
    site: usize,
    /// The number of the write that inserted it; none if it was there.
    born: Option<u64>,
}

#[derive(Clone, Debug)]
struct Rows {
    pool: Pool,
    alive: Vec<Alive>,
    inserted: u64,
}

/// The sequence; it has no end of its own.
#[derive(Clone, Debug)]
pub struct Sequence {
    salt: u64,
    sites: usize,
    mix: Mix,
    skew: f64,
    conflicts: u8,
    pair: Option<super::Pair>,
    settle: u64,
    tables: Vec<Rows>,
    number: u64,
    /// The other half of a conflict.
    next: Option<Op>,
}

impl Sequence {
    /// For so many sites and these tables.
    pub fn new(order: &Deltas, sites: usize, pools: &[Pool]) -> Self {
        let rows = |&pool: &Pool| {
            let known = (0..pool.rows).map(|row| Alive {
                row,
                site: 0,
                born: None,
            });
            Rows {
                pool,
                alive: known.collect(),
                inserted: 0,
            }
        };
        Self {
            salt: salt(order.seed, "deltas"),
            sites,
            mix: order.mix,
            skew: order.skew,
            conflicts: order.conflicts,
            pair: order.pair,
            settle: SETTLE_SECONDS * u64::from(order.rate),
            tables: pools.iter().map(rows).collect(),
            number: 0,
            next: None,
        }
    }

    fn kind(&self, random: &mut Random) -> WriteKind {
        let at = random.below(100);
        if at < u64::from(self.mix.insert) {
            WriteKind::Insert
        } else if at < u64::from(self.mix.insert) + u64::from(self.mix.update) {
            WriteKind::Update
        } else {
            WriteKind::Delete
        }
    }

    fn insert(&mut self, table: usize, site: usize) -> Op {
        let number = self.number;
        let rows = &mut self.tables[table];
        let row = rows.pool.rows + rows.inserted;
        rows.inserted += 1;
        let again = rows.alive.len() < REMEMBERED;
        if again {
            rows.alive.push(Alive {
                row,
                site,
                born: Some(number),
            });
        }
        Op {
            number,
            site,
            table,
            kind: WriteKind::Insert,
            row,
            again,
        }
    }

    /// A row to write to, by its place among those alive.
    fn pick(&self, table: usize, random: &mut Random, fits: impl Fn(&Alive) -> bool) -> Option<usize> {
        let alive = &self.tables[table].alive;
        let mut tries = (0..8).map(|_| zipf(random.unit(), alive.len(), self.skew));
        tries.find(|&place| alive.get(place).is_some_and(&fits))
    }

    fn settled(&self, alive: &Alive) -> bool {
        alive.born.is_none_or(|born| self.number - born > self.settle)
    }

    fn write(&mut self, kind: WriteKind, table: usize, site: usize, random: &mut Random) -> Option<Op> {
        let pair = random.percent(self.conflicts);
        let pair_kinds = match self.pair {
            Some(told) if pair => (told.first, told.second),
            _ => (kind, kind),
        };
        let pool = self.tables[table].pool;
        let deletes = pair && [pair_kinds.0, pair_kinds.1].contains(&WriteKind::Delete) || kind == WriteKind::Delete;
        let deletable = |alive: &Alive| !deletes || !pool.referenced || alive.row >= pool.rows;
        let contested = pair
            .then(|| self.pick(table, random, |alive| deletable(alive) && self.settled(alive)))
            .flatten();
        let (place, both) = match contested {
            Some(place) => (place, true),
            None => (self.pick(table, random, deletable)?, false),
        };
        let alive = self.tables[table].alive[place];
        let site = if self.settled(&alive) { site } else { alive.site };
        let first = Op {
            number: self.number,
            site,
            table,
            kind: if both { pair_kinds.0 } else { kind },
            row: alive.row,
            again: both || kind != WriteKind::Delete,
        };
        let mut kinds = vec![first.kind];
        if both {
            let other = 1 + usize::try_from(random.below(self.sites as u64 - 1)).unwrap_or_default();
            let second = pair_kinds.1;
            kinds.push(second);
            self.next = Some(Op {
                number: self.number + 1,
                site: (site + other) % self.sites,
                kind: second,
                again: !kinds.contains(&WriteKind::Delete),
                ..first
            });
        }
        if kinds.contains(&WriteKind::Delete) {
            self.tables[table].alive.swap_remove(place);
        }
        Some(first)
    }
}

impl Iterator for Sequence {
    type Item = Op;

    fn next(&mut self) -> Option<Op> {
        if self.tables.is_empty() || self.sites == 0 {
            return None;
        }
        let op = self.next.take().unwrap_or_else(|| {
            let mut random = Random::of(self.salt, self.number);
            let kind = self.kind(&mut random);
            let choose = |random: &mut Random, of: usize| usize::try_from(random.below(of as u64)).unwrap_or_default();
            let (table, site) = (choose(&mut random, self.tables.len()), choose(&mut random, self.sites));
            let written = match kind {
                WriteKind::Insert => None,
                kind => self.write(kind, table, site, &mut random),
            };
            // Where there is nothing to change or to delete, something is made first.
            written.unwrap_or_else(|| self.insert(table, site))
        });
        self.number += 1;
        Some(op)
    }
}

/// A place among `count`, by a number from 0 to 1: the place k weighs as much as the area under x^-skew from k+1 to k+2.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "places are far below 2^52"
)]
fn zipf(unit: f64, count: usize, skew: f64) -> usize {
    let end = count as f64 + 1.0;
    let x = if (skew - 1.0).abs() < 1e-9 {
        end.powf(unit)
    } else {
        let power = 1.0 - skew;
        (unit * (end.powf(power) - 1.0) + 1.0).powf(1.0 / power)
    };
    (x as usize).saturating_sub(1).min(count.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn ops(order: &Deltas, sites: usize, pools: &[Pool], count: usize) -> Vec<Op> {
        Sequence::new(order, sites, pools).take(count).collect()
    }

    fn pool(rows: u64) -> Pool {
        Pool {
            rows,
            referenced: false,
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_writes() {
        let order = Deltas {
            conflicts: 20,
            skew: 1.0,
            ..Deltas::default()
        };
        assert_eq!(
            ops(&order, 3, &[pool(10), pool(0)], 5000),
            ops(&order, 3, &[pool(10), pool(0)], 5000)
        );
        let other = Deltas {
            seed: 2,
            ..order.clone()
        };
        assert_ne!(ops(&order, 3, &[pool(10)], 100), ops(&other, 3, &[pool(10)], 100));
    }

    #[test]
    fn the_mix_is_kept() {
        let all = ops(&Deltas::default(), 3, &[pool(1000)], 10_000);
        let mut counts: BTreeMap<WriteKind, usize> = BTreeMap::new();
        for op in &all {
            *counts.entry(op.kind).or_default() += 1;
        }
        for (kind, share) in [
            (WriteKind::Insert, 3000),
            (WriteKind::Update, 6000),
            (WriteKind::Delete, 1000),
        ] {
            assert!(counts[&kind].abs_diff(share) < 300, "{counts:?}");
        }
        assert!(all.iter().enumerate().all(|(number, op)| op.number == number as u64));
    }

    #[test]
    fn nothing_is_written_to_a_row_that_was_deleted_before() {
        let order = Deltas {
            mix: "insert=40,update=20,delete=40".parse().unwrap(),
            ..Deltas::default()
        };
        let mut gone = std::collections::BTreeSet::new();
        for op in ops(&order, 2, &[pool(50)], 20_000) {
            assert!(!gone.contains(&op.row), "{op:?}");
            if op.kind == WriteKind::Delete {
                gone.insert(op.row);
            }
        }
    }

    #[test]
    fn conflicts_are_the_same_key_at_two_sites_one_after_the_other() {
        let order = Deltas {
            mix: "insert=0,update=100,delete=0".parse().unwrap(),
            conflicts: 100,
            ..Deltas::default()
        };
        let all = ops(&order, 3, &[pool(100)], 1000);
        for pair in all.chunks(2) {
            assert_eq!((pair[0].row, pair[0].table), (pair[1].row, pair[1].table));
            assert_ne!(pair[0].site, pair[1].site);
        }
        let against = Deltas {
            pair: Some("delete,update".parse().unwrap()),
            mix: "insert=50,update=50,delete=0".parse().unwrap(),
            ..order
        };
        let all = ops(&against, 3, &[pool(1000)], 1000);
        let deletes: Vec<&Op> = all.iter().filter(|op| op.kind == WriteKind::Delete).collect();
        assert!(deletes.len() > 100);
        for delete in deletes {
            let next = all.get(usize::try_from(delete.number).unwrap() + 1);
            assert!(next.is_none_or(|next| next.kind == WriteKind::Update
                && next.row == delete.row
                && next.site != delete.site));
        }
    }

    #[test]
    fn a_new_row_is_left_to_its_site_until_it_has_travelled() {
        let order = Deltas {
            mix: "insert=50,update=50,delete=0".parse().unwrap(),
            rate: 100,
            ..Deltas::default()
        };
        let mut born: BTreeMap<u64, Op> = BTreeMap::new();
        for op in ops(&order, 4, &[pool(0)], 3000) {
            match born.get(&op.row) {
                None => drop(born.insert(op.row, op)),
                Some(insert) if op.number - insert.number <= 300 => assert_eq!(op.site, insert.site),
                Some(_) => {}
            }
        }
    }

    #[test]
    fn rows_that_others_refer_to_are_deleted_only_if_they_are_new() {
        let order = Deltas {
            mix: "insert=30,update=0,delete=70".parse().unwrap(),
            ..Deltas::default()
        };
        let referenced = Pool {
            rows: 100,
            referenced: true,
        };
        let all = ops(&order, 1, &[referenced], 5000);
        assert!(all.iter().all(|op| op.kind != WriteKind::Delete || op.row >= 100));
        assert!(all.iter().any(|op| op.kind == WriteKind::Delete));
    }

    #[test]
    fn skew_prefers_the_first() {
        let share = |skew: f64| {
            let first = (0..10_000)
                .filter(|&n| zipf(f64::from(n) / 10_000.0, 1000, skew) < 10)
                .count();
            first / 100
        };
        assert_eq!(share(0.0), 1);
        assert!((30..40).contains(&share(1.0)), "{}", share(1.0));
        assert!(share(2.0) > 85, "{}", share(2.0));
        assert_eq!(zipf(0.999_999, 1, 0.5), 0);
        assert_eq!(zipf(0.5, 0, 0.5), 0);
    }
}
