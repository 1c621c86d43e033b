//! What is in a journal.

use serde::{Deserialize, Serialize};
use synccluster_protocol::Site;

use crate::plan::{Deltas, Load, WriteKind};

/// A row's key as Postgres writes it, column by column.
pub type Key = Vec<String>;

/// What a run was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// New rows.
    Load(Load),
    /// Writes that go on.
    Deltas(Deltas),
}

/// The first record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Begin {
    /// The order as JSON: postcard has no names, and orders get more fields.
    pub order: String,
    /// The tables, as `schema.table`; records name them by their place.
    pub tables: Vec<String>,
    /// The first row and the number of rows of each.
    pub rows: Vec<(u64, u64)>,
    /// By table and column, the highest number there was: new ones count on from there.
    pub highest: Vec<(u16, u16, i64)>,
    /// When, in milliseconds since the epoch.
    pub at: i64,
}

/// Numbers that a sequence gave: `first`, and so on in steps, for rows from `row` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRange {
    /// The number of the first row.
    pub row: u64,
    /// Its number from the sequence.
    pub first: i64,
    /// From one to the next.
    pub step: i64,
    /// How many.
    pub count: u64,
}

impl KeyRange {
    /// The number for a row.
    pub fn number(&self, row: u64) -> Option<i64> {
        let place = row.checked_sub(self.row).filter(|place| *place < self.count)?;
        self.step
            .checked_mul(i64::try_from(place).ok()?)?
            .checked_add(self.first)
    }
}

/// The keys of a chunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keys {
    /// The key is this column, with a number from its sequence, in the ranges that were recorded for it.
    Sequence(u16),
    /// Each by itself.
    Listed(Vec<Key>),
}

/// A write that is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The place of its table.
    pub table: u16,
    /// Its kind.
    pub kind: WriteKind,
    /// Its row.
    pub key: Key,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// All was done.
    Done,
    /// Somebody stopped it.
    Stopped,
    /// Something failed.
    Failed(String),
}

/// A record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// The run begins.
    Begin(Begin),
    /// Numbers that a column's sequence gave for all rows of a table.
    Numbers {
        /// The place of the table.
        table: u16,
        /// The place of the column.
        column: u16,
        /// Which.
        ranges: Vec<KeyRange>,
    },
    /// Rows are about to be sent, all in one transaction.
    Chunk {
        /// Its number, from 0.
        number: u64,
        /// The site.
        site: Site,
        /// The place of the table.
        table: u16,
        /// The first row.
        first: u64,
        /// How many rows.
        rows: u32,
        /// Their keys.
        keys: Keys,
        /// Every row will have this version or a higher one.
        floor: i64,
    },
    /// That transaction was committed.
    Loaded {
        /// The chunk.
        number: u64,
    },
    /// Writes are about to be sent, all in one transaction.
    Batch {
        /// Its number, from 0.
        number: u64,
        /// The site.
        site: Site,
        /// Which.
        writes: Vec<Sent>,
    },
    /// That transaction was committed; the version each write made, 0 where it found no row.
    Acknowledged {
        /// The batch.
        number: u64,
        /// One a write.
        versions: Vec<i64>,
    },
    /// That transaction was not: nothing of it is there.
    Undone {
        /// The chunk or the batch.
        number: u64,
    },
    /// The run has ended.
    End(End),
    /// How long it ran until it ended, without its pauses; comes before [`Record::End`], and again with every time it was resumed.
    Took {
        /// Milliseconds.
        millis: u64,
    },
}
