//! The writes of a journal that were acknowledged.

use std::collections::{HashMap, VecDeque};

use synccluster_protocol::Site;

use super::judge::Acknowledged;
use crate::{
    journal::{Error, Folder, Key, Keys, Reader, Record, Sent},
    numbers::Numbers,
    values::Sequences as _,
};

/// A write to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Where it was written.
    pub site: Site,
    /// Its table.
    pub table: String,
    /// Its row.
    pub key: Key,
    /// What it was acknowledged with.
    pub acknowledged: Acknowledged,
}

/// What was sent and is not settled yet.
enum Open {
    Chunk {
        site: Site,
        table: u16,
        first: u64,
        rows: u32,
        keys: Keys,
        floor: i64,
    },
    Batch {
        site: Site,
        writes: Vec<Sent>,
    },
}

impl Open {
    fn len(&self) -> u64 {
        match self {
            Self::Chunk { rows, .. } => u64::from(*rows),
            Self::Batch { writes, .. } => writes.len() as u64,
        }
    }
}

/// Reads them, part by part.
pub struct Writes {
    reader: Reader,
    tables: Vec<String>,
    numbers: Numbers,
    open: HashMap<u64, Open>,
    ready: VecDeque<Checked>,
    /// Writes that were sent and never answered; whole when all is read.
    pub unknown: u64,
}

impl Writes {
    /// Of a run.
    pub fn open(journals: &Folder, run: &str) -> Result<Self, Error> {
        Ok(Self {
            reader: journals.read(run)?,
            tables: Vec::new(),
            numbers: Numbers::default(),
            open: HashMap::new(),
            ready: VecDeque::new(),
            unknown: 0,
        })
    }

    /// The next ones, so many at most; none at the end.
    pub fn next(&mut self, most: usize) -> Result<Option<Vec<Checked>>, Error> {
        while self.ready.len() < most {
            let Some(record) = self.reader.next()? else {
                self.unknown = self.open.values().map(Open::len).sum();
                break;
            };
            self.take(record);
        }
        let end = self.ready.len().min(most);
        let part: Vec<Checked> = self.ready.drain(..end).collect();
        Ok((!part.is_empty()).then_some(part))
    }

    fn take(&mut self, record: Record) {
        match record {
            Record::Begin(begin) => self.tables = begin.tables,
            Record::Numbers { table, column, ranges } => {
                self.numbers.set(table.into(), column.into(), ranges);
            }
            Record::Chunk {
                number,
                site,
                table,
                first,
                rows,
                keys,
                floor,
            } => {
                let chunk = Open::Chunk {
                    site,
                    table,
                    first,
                    rows,
                    keys,
                    floor,
                };
                self.open.insert(number, chunk);
            }
            Record::Batch { number, site, writes } => drop(self.open.insert(number, Open::Batch { site, writes })),
            Record::Undone { number } => drop(self.open.remove(&number)),
            Record::Loaded { number } => self.loaded(number),
            Record::Acknowledged { number, versions } => self.acknowledged(number, &versions),
            Record::End(_) | Record::Took { .. } => {}
        }
    }

    fn name(&self, table: u16) -> String {
        self.tables.get(usize::from(table)).cloned().unwrap_or_default()
    }

    fn loaded(&mut self, number: u64) {
        let Some(Open::Chunk {
            site,
            table,
            first,
            rows,
            keys,
            floor,
        }) = self.open.remove(&number)
        else {
            return;
        };
        let keys: Vec<Key> = match keys {
            Keys::Listed(keys) => keys,
            Keys::Sequence(column) => {
                let number = |row| self.numbers.number(table.into(), column.into(), row);
                let rows = first..first + u64::from(rows);
                rows.filter_map(number).map(|number| vec![number.to_string()]).collect()
            }
        };
        let table = self.name(table);
        self.ready.extend(keys.into_iter().map(|key| Checked {
            site,
            table: table.clone(),
            key,
            acknowledged: Acknowledged::AtLeast(floor),
        }));
    }

    fn acknowledged(&mut self, number: u64, versions: &[i64]) {
        let Some(Open::Batch { site, writes }) = self.open.remove(&number) else {
            return;
        };
        for (write, &version) in writes.into_iter().zip(versions) {
            // One that found no row wrote nothing.
            if version != 0 {
                let table = self.name(write.table);
                self.ready.push_back(Checked {
                    site,
                    table,
                    key: write.key,
                    acknowledged: Acknowledged::Version(version),
                });
            }
        }
    }
}
