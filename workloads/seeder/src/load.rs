//! A full load: COPY of one chunk after another, each in a transaction of its own, while the next is made.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use futures::SinkExt as _;
use synccluster_protocol::Site;
use synccluster_runtime::{catalog::quote_table, postgres::describe};
use tokio_postgres::Client;

use crate::{
    copy::{self, Pieces},
    journal::{self, End, Key, Keys, Reader, Record, Writer},
    numbers::{self, Numbers},
    prepare::{key_columns, refusal, sequence_key},
    run::Run,
    values::{Rows, Values, random::salt},
};

/// Rows of a chunk.
const CHUNK: u64 = 20_000;

/// Why a load ends before its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// Postgres.
    #[error("loading {table} at {site}: {reason}")]
    Postgres {
        /// The site.
        site: Site,
        /// The table.
        table: String,
        /// What it said.
        reason: String,
    },
}

/// What an earlier process did of this load.
#[derive(Debug, Default)]
pub struct Before {
    numbers: Numbers,
    /// By table and first row.
    chunks: HashMap<(usize, u64), Known>,
    next: u64,
}

/// A chunk that was sent.
#[derive(Debug)]
struct Known {
    number: u64,
    outcome: Outcome,
    /// The key of its first row, where no sequence gave it.
    key: Option<Key>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Loaded,
    Undone,
    Unknown,
}

impl Before {
    /// From its journal.
    pub fn read(mut reader: Reader) -> Result<Self, journal::Error> {
        let mut before = Self::default();
        let mut places: HashMap<u64, (usize, u64)> = HashMap::new();
        while let Some(record) = reader.next()? {
            let mut settle = |number: u64, outcome| {
                if let Some(chunk) = places.get(&number).and_then(|place| before.chunks.get_mut(place)) {
                    chunk.outcome = outcome;
                }
            };
            match record {
                Record::Numbers { table, column, ranges } => before.numbers.set(table.into(), column.into(), ranges),
                Record::Chunk {
                    number,
                    table,
                    first,
                    keys,
                    ..
                } => {
                    places.insert(number, (table.into(), first));
                    let key = match keys {
                        Keys::Sequence(_) => None,
                        Keys::Listed(keys) => keys.into_iter().next(),
                    };
                    let chunk = Known {
                        number,
                        outcome: Outcome::Unknown,
                        key,
                    };
                    before.chunks.insert((table.into(), first), chunk);
                    before.next = number + 1;
                }
                Record::Loaded { number } => settle(number, Outcome::Loaded),
                Record::Undone { number } => settle(number, Outcome::Undone),
                _ => {}
            }
        }
        Ok(before)
    }
}

/// A chunk that is made.
struct Chunk {
    first: u64,
    rows: u64,
    pieces: Vec<Bytes>,
    keys: Keys,
}

/// A load that goes on.
pub struct Loader<'a> {
    /// The site.
    pub site: Site,
    /// A connection to it.
    pub client: &'a Client,
    /// The values.
    pub values: Arc<Values>,
    /// Where it is written down.
    pub journal: &'a mut Writer,
    /// What it is told, and what it tells.
    pub run: &'a Run,
}

impl Loader<'_> {
    /// Loads what is not loaded yet.
    pub async fn load(&mut self, before: Before) -> Result<End, Error> {
        self.alone().await?;
        let Before {
            mut numbers,
            chunks,
            mut next,
        } = before;
        for table in 0..self.values.tables().count() {
            let Rows { first, count } = self.values.rows(table);
            self.take_numbers(table, &mut numbers).await?;
            let known_numbers = Arc::new(numbers.clone());
            let mut starts = (first..first + count)
                .step_by(usize::try_from(CHUNK).unwrap_or(1))
                .peekable();
            let all = Arc::clone(&self.values);
            let make = |start: u64| {
                let (values, numbers) = (Arc::clone(&all), Arc::clone(&known_numbers));
                tokio::task::spawn_blocking(move || {
                    make(&values, &numbers, table, start, (first + count - start).min(CHUNK))
                })
            };
            let mut next_chunk = starts.peek().map(|&start| make(start));
            while let (Some(start), Some(making)) = (starts.next(), next_chunk.take()) {
                next_chunk = starts.peek().map(|&start| make(start));
                let chunk = making.await.map_err(|error| self.fail(table)(error.to_string()))?;
                if !self.run.may_go_on().await {
                    return Ok(End::Stopped);
                }
                let rows = chunk.rows;
                match chunks.get(&(table, start)) {
                    Some(known) if known.outcome == Outcome::Loaded => {}
                    Some(known)
                        if known.outcome == Outcome::Unknown
                            && self.is_there(table, start, known, &known_numbers).await? =>
                    {
                        self.journal.append(&Record::Loaded { number: known.number })?;
                    }
                    _ => {
                        self.send(table, next, chunk).await?;
                        next += 1;
                    }
                }
                let name = self.values.table(table).name.to_string();
                self.run.edit().acknowledge(self.site, &name, rows);
            }
        }
        Ok(End::Done)
    }

    /// Waits until the session of an earlier process has ended, which may still be about to commit what that process sent last.
    async fn alone(&self) -> Result<(), Error> {
        let lock = {
            let progress = self.run.edit();
            salt(progress.begun_at.unsigned_abs(), &progress.id).cast_signed()
        };
        let locked = self.client.execute("select pg_advisory_lock($1)", &[&lock]).await;
        locked.map(drop).map_err(|error| self.fail(0)(describe(&error)))
    }

    fn fail(&self, table: usize) -> impl Fn(String) -> Error + use<> {
        let (site, table) = (self.site, self.values.table(table).name.to_string());
        move |reason| Error::Postgres {
            site,
            table: table.clone(),
            reason,
        }
    }

    async fn take_numbers(&mut self, table: usize, numbers: &mut Numbers) -> Result<(), Error> {
        let (fail, values) = (self.fail(table), Arc::clone(&self.values));
        let Rows { first, count } = values.rows(table);
        for (column, sequence) in values.sequences(table) {
            if numbers.has(table, column) {
                continue;
            }
            let ranges = numbers::take(self.client, sequence, first, count)
                .await
                .map_err(&fail)?;
            self.journal.append(&Record::Numbers {
                table: u16::try_from(table).unwrap_or(u16::MAX),
                column: u16::try_from(column).unwrap_or(u16::MAX),
                ranges: ranges.clone(),
            })?;
            numbers.set(table, column, ranges);
        }
        Ok(())
    }

    async fn send(&mut self, table: usize, number: u64, chunk: Chunk) -> Result<(), Error> {
        let fail = self.fail(table);
        let floor = self.client.query_one("select sync.next_version(null)", &[]).await;
        let floor = floor.map_err(|error| fail(describe(&error)))?.get(0);
        self.journal.append(&Record::Chunk {
            number,
            site: self.site,
            table: u16::try_from(table).unwrap_or(u16::MAX),
            first: chunk.first,
            rows: u32::try_from(chunk.rows).unwrap_or(u32::MAX),
            keys: chunk.keys,
            floor,
        })?;
        // One statement outside of a transaction is one of its own.
        let copied = async {
            let sink = self.client.copy_in(&copy::statement(self.values.table(table))).await?;
            futures::pin_mut!(sink);
            for piece in chunk.pieces {
                sink.send(piece).await?;
            }
            sink.finish().await
        };
        match copied.await {
            Ok(_) => self.journal.append(&Record::Loaded { number })?,
            Err(error) => {
                // What Postgres refused is not there; a connection that broke says nothing.
                if error.as_db_error().is_some() {
                    self.journal.append(&Record::Undone { number })?;
                }
                return Err(fail(refusal(&error, self.values.table(table))));
            }
        }
        self.journal.sync()?;
        Ok(())
    }

    /// Whether a chunk that was sent without an answer is there: it is there as a whole or not at all, so its first row tells.
    async fn is_there(&self, table: usize, row: u64, known: &Known, numbers: &Numbers) -> Result<bool, Error> {
        let declared = self.values.table(table);
        let key = known.key.clone().unwrap_or_else(|| {
            let made = declared
                .key
                .iter()
                .map(|&column| self.values.value(table, row, column, numbers));
            made.map(Option::unwrap_or_default).collect()
        });
        let columns = key_columns(declared).into_iter().enumerate();
        let equal: Vec<String> = columns
            .map(|(place, (name, sql_type))| format!("{name} = ${}::text::{sql_type}", place + 1))
            .collect();
        let query = format!(
            "select exists (select from {} where {})",
            quote_table(&declared.name),
            equal.join(" and ")
        );
        let key: Vec<_> = key
            .iter()
            .map(|value| value as &(dyn tokio_postgres::types::ToSql + Sync))
            .collect();
        let row = self.client.query_one(&query, &key).await;
        row.map(|row| row.get(0))
            .map_err(|error| self.fail(table)(describe(&error)))
    }
}

fn make(values: &Values, numbers: &Numbers, table: usize, first: u64, rows: u64) -> Chunk {
    let (mut pieces, mut listed) = (Pieces::default(), Vec::new());
    let sequence = sequence_key(values, table);
    for row in first..first + rows {
        let made = values.row(table, row, numbers);
        if sequence.is_none() {
            let key = values.table(table).key.iter();
            listed.push(key.map(|&place| made[place].clone().unwrap_or_default()).collect());
        }
        pieces.row(&made);
    }
    Chunk {
        first,
        rows,
        pieces: pieces.done(),
        keys: sequence.map_or(Keys::Listed(listed), Keys::Sequence),
    }
}
