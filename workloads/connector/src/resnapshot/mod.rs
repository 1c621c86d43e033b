//! Every row once more, while streaming goes on: an incremental snapshot after "DBLog: A Watermark Based Change-Data-Capture Framework"
//! (Andreakis and Papapanagiotou, 2020), which Debezium's has its name from.
//!
//! Rows are read in chunks by primary key. What a chunk read is older than what is written while it is on its way, and a topic that is compacted
//! keeps the last record of a key: a stale row behind a newer one would take its place. So a chunk has a window. It opens when the chunk is read, and
//! a position of the WAL that is taken afterwards, the watermark, closes it: every commit the chunk has seen lies before. Until the stream has reached
//! the watermark, each change takes its row out of the chunk; what is left then is as new as the stream, and is sent at that place, between
//! two transactions. DBLog writes watermarks into a table on both sides of the read; one message in the WAL after it is enough here, because
//! the stream waits while the chunk is read.
//!
//! What a commit did is seen by others a moment after the commit is in the WAL, when its session has got a processor again: the stream may have passed it
//! by then, and a chunk would have the row of before. So no chunk is read until all that the stream has passed is seen.
//!
//! A row that is sent so has the version it had, so no sink applies it twice (`merge`: a resent row that is not newer changes nothing).
//!
//! Crash windows: how far it is, is written down after Kafka has acknowledged a chunk. What was sent after that is sent again.

pub mod book;
pub mod chunk;
pub mod streamed;
pub mod window;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{Json, Router, http::StatusCode, routing::put};
use synccluster_protocol::{
    Lsn,
    event::{TOMBSTONES, TableName},
    status::ResnapshotStatus,
};
use synccluster_replication::{pgoutput::Datum, relations::Table};
use synccluster_runtime::{
    catalog,
    clock::now_millis,
    postgres::{self, PostgresSecret},
};
use tokio_postgres::{
    Client,
    error::{Severity, SqlState},
};

use crate::{
    envelope::{self, Origin, Record},
    lock,
    session::Error,
    slot::PUBLICATION,
    snapshot,
};
pub use book::Request;
use chunk::{FIRST_ROWS, chunk, next_rows};
use streamed::{Snapshot, Streamed};
use window::Window;

/// When what could not be done is tried again.
pub const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// What is asked for, and how far it is.
#[derive(Default)]
pub struct Resnapshot {
    job: Option<Job>,
    stage: Stage,
    /// Something that the stream has passed was not seen yet when a chunk was to be read.
    unseen: bool,
}

struct Job {
    status: ResnapshotStatus,
    /// Absent when it is done, or cannot be.
    work: Option<Work>,
    /// Since when it could not be.
    stopped: Instant,
}

struct Work {
    /// What is left, the last first.
    left: Vec<Portion>,
    /// The key of the last row that was sent of the table that is being sent.
    after: Vec<String>,
    /// How many rows are asked for at once: about as many as fit a chunk.
    rows: usize,
    reading: Client,
}

/// A table, or a part of its rows, like the tombstones that are about another.
pub struct Portion {
    /// The table.
    pub table: Table,
    /// Types of the key's columns.
    pub types: Vec<String>,
    /// What its rows have to meet, as SQL.
    pub condition: Option<String>,
}

#[derive(Default)]
enum Stage {
    /// The next chunk may be read.
    #[default]
    Read,
    /// It was read, and the stream has not reached its watermark.
    Open(Window, Reached),
    /// It was sent under this number.
    Sent(u64, Reached),
}

/// How far it is with a chunk.
struct Reached {
    rows: u64,
    after: Vec<String>,
    /// Nothing is left of the table.
    table_done: bool,
}

impl Resnapshot {
    /// Goes on with what was asked for before, if it is not done. `asked`: what has been asked for since, and not been written down.
    pub async fn load(sql: &Client, postgres: &PostgresSecret, asked: Option<&Request>) -> Result<Self, Error> {
        if let Some(request) = asked {
            book::write(sql, request).await?;
        }
        let Some(entry) = book::read(sql).await? else {
            return Ok(Self::default());
        };
        let mut status = entry.status;
        let mut work = None;
        if !status.done {
            let reading = connect(postgres).await?;
            match portions(&reading, status.only.as_deref()).await? {
                Ok(left) => {
                    let ready = Work::from(left, status.table.as_deref(), entry.after, reading);
                    if let Some(next) = ready.left.last() {
                        status.error = unreadable(&ready.reading, &next.table.name).await?;
                    }
                    work = status.error.is_none().then_some(ready);
                }
                Err(problem) => status.problem = Some(problem),
            }
        }
        let stopped = Instant::now();
        Ok(Self {
            job: Some(Job { status, work, stopped }),
            ..Self::default()
        })
    }

    /// For `/status`.
    pub fn status(&self) -> Option<&ResnapshotStatus> {
        self.job.as_ref().map(|job| &job.status)
    }

    /// Whether it could not be done a while ago: then it is loaded again.
    pub fn is_due(&self) -> bool {
        let job = self.job.as_ref().filter(|job| job.work.is_none() && !job.status.done);
        job.is_some_and(|job| job.stopped.elapsed() >= AGAIN_AFTER)
    }

    /// Whether the stream's position is waited for, or what it has passed.
    pub fn waits(&self) -> bool {
        self.unseen || matches!(self.stage, Stage::Open(..))
    }

    /// A change of this key goes into the topic.
    pub fn touch(&mut self, key: &str) {
        if let Stage::Open(window, _) = &mut self.stage {
            window.touch(key);
        }
    }

    /// Reads the next chunk, if one is due. The stream waits meanwhile, and no transaction is open in it. A table that cannot be read stops
    /// this and nothing else; whether it was stopped.
    pub async fn read(&mut self, origin: &Origin, streamed: &Streamed) -> Result<bool, Error> {
        let (Stage::Read, Some(job)) = (&self.stage, &mut self.job) else {
            return Ok(false);
        };
        let Some(work) = &job.work else { return Ok(false) };
        let Some(portion) = work.left.last() else {
            return Ok(false);
        };
        self.unseen = !streamed.are_seen(&snapshot_of(&work.reading).await?);
        if self.unseen {
            return Ok(false);
        }
        let (rows, table_done) = match chunk(&work.reading, portion, &work.after, work.rows).await {
            Err(Error::Postgres(error)) if let Some(why) = refusal(&portion.table.name, &error) => {
                (job.status.error, job.work, job.stopped) = (Some(why), None, Instant::now());
                return Ok(true);
            }
            chunk => chunk?,
        };
        let next = next_rows(work.rows, rows.len(), table_done);
        let watermark = watermark(&work.reading).await?;
        // One before, because a commit may begin at the watermark itself, and is newer.
        let at = Lsn(watermark.0.saturating_sub(1));
        let records: Vec<Record> = rows
            .iter()
            .map(|row| envelope::snapshot_record(origin, &portion.table, row, at, now_millis(), "incremental"))
            .collect::<Result<_, _>>()?;
        let reached = Reached {
            rows: rows.len() as u64,
            after: rows.last().map_or_else(Vec::new, |row| key_of(&portion.table, row)),
            table_done,
        };
        if let Some(work) = &mut job.work {
            work.rows = next;
        }
        self.stage = Stage::Open(Window::new(watermark, records), reached);
        Ok(false)
    }

    /// What is to be sent now that the stream is at this position and no transaction is open in it, with the watermark; then [`Self::sent`] is due.
    pub fn due(&mut self, position: Lsn) -> Option<(Vec<Record>, Lsn)> {
        match std::mem::take(&mut self.stage) {
            Stage::Open(window, reached) if window.watermark <= position => {
                let watermark = window.watermark;
                self.stage = Stage::Sent(u64::MAX, reached);
                Some((window.into_records(), watermark))
            }
            other => {
                self.stage = other;
                None
            }
        }
    }

    /// The chunk was handed over under this number.
    pub fn sent(&mut self, number: u64) {
        if let Stage::Sent(under, _) = &mut self.stage {
            *under = number;
        }
    }

    /// Writes down how far it is once `settled` says that Kafka has the chunk; whether it was.
    pub async fn acknowledge(&mut self, sql: &Client, settled: impl Fn(u64) -> bool) -> Result<bool, Error> {
        let (
            Stage::Sent(number, reached),
            Some(Job {
                status,
                work: Some(work),
                ..
            }),
        ) = (&self.stage, &mut self.job)
        else {
            return Ok(false);
        };
        if !settled(*number) {
            return Ok(false);
        }
        status.rows += reached.rows;
        work.after.clone_from(&reached.after);
        if reached.table_done {
            work.left.pop();
            work.after.clear();
        }
        status.table = work.left.last().map(|portion| portion.table.name.to_string());
        status.done = work.left.is_empty();
        status.done_at = status.done.then(now_millis);
        book::advance(sql, status, &work.after).await?;
        self.stage = Stage::Read;
        if let Some(job) = self.job.as_mut().filter(|job| job.status.done) {
            tracing::info!(
                id = job.status.id,
                rows = job.status.rows,
                "every row was sent once more"
            );
            job.work = None;
        }
        Ok(true)
    }
}

impl Work {
    /// What is left of these, where `after` of `table` was sent last.
    fn from(mut left: Vec<Portion>, table: Option<&str>, mut after: Vec<String>, reading: Client) -> Self {
        match left
            .iter()
            .position(|portion| Some(portion.table.name.to_string().as_str()) == table)
        {
            Some(place) => _ = left.drain(..place),
            // Nothing was sent yet, or the table is gone: then all begins anew, which is more than need be and not wrong.
            None => after.clear(),
        }
        if left.first().is_none_or(|first| first.types.len() != after.len()) {
            after.clear();
        }
        left.reverse();
        Self {
            left,
            after,
            rows: FIRST_ROWS,
            reading,
        }
    }
}

/// What was asked for last and has not been taken up.
#[derive(Clone, Debug, Default)]
pub struct Requests(Arc<Mutex<Option<Request>>>);

impl Requests {
    /// `PUT /resnapshot`: every row once more. Asked for again by the same id it changes nothing.
    pub fn routes(&self) -> Router {
        let requests = self.clone();
        let ask = async move |Json(request): Json<Request>| {
            requests.ask(request);
            StatusCode::ACCEPTED
        };
        Router::new().route("/resnapshot", put(ask))
    }

    /// Asks, in place of what was asked for before.
    pub fn ask(&self, request: Request) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(request);
    }

    /// Takes it up.
    pub fn take(&self) -> Option<Request> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Why `only` cannot be sent, where it is none of these tables.
pub fn missing<'a>(tables: impl Iterator<Item = &'a TableName>, only: Option<&str>) -> Option<String> {
    let only = only?;
    let known: Vec<String> = tables.map(ToString::to_string).collect();
    let there = known.iter().any(|table| table == only);
    (!there).then(|| format!("there is no enrolled table {only} here, but {}", known.join(", ")))
}

/// Why a table cannot be read, with what to do; `None`: it can.
pub async fn unreadable(client: &Client, table: &TableName) -> Result<Option<String>, tokio_postgres::Error> {
    let statement = format!("select from {} limit 1", catalog::quote_table(table));
    match client.batch_execute(&statement).await {
        Ok(()) => Ok(None),
        Err(error) => refusal(table, &error).map(Some).ok_or(error),
    }
}

/// Why a table cannot be read, with what to do, where Postgres refused that and the connection lives on.
pub fn refusal(table: &TableName, error: &tokio_postgres::Error) -> Option<String> {
    let refused = error.as_db_error()?;
    let remedy = match *refused.code() {
        SqlState::INSUFFICIENT_PRIVILEGE => {
            format!("grant select on {} to sync_connector", catalog::quote_table(table))
        }
        SqlState::LOCK_NOT_AVAILABLE => lock::REMEDY.to_owned(),
        _ => "mend that".to_owned(),
    };
    let why = postgres::describe(error);
    (refused.parsed_severity() == Some(Severity::Error)).then(|| {
        format!("the connector cannot read {table}: {why}. Its rows are not sent: {remedy}; it is tried again")
    })
}

/// A session that reads what is sent once more. It does not wait long for a table that somebody has locked: the stream waits for it.
pub async fn connect(postgres: &PostgresSecret) -> Result<Client, Error> {
    let reading = lock::connect(postgres, "synccluster-connector resnapshot", lock::BESIDE).await?;
    snapshot::settle(&reading).await?;
    reading.batch_execute("set standard_conforming_strings = on").await?;
    Ok(reading)
}

/// What this session sees now.
async fn snapshot_of(reading: &Client) -> Result<Snapshot, Error> {
    let row = reading.query_one("select pg_current_snapshot()::text", &[]).await?;
    Snapshot::parse(row.get(0)).ok_or(Error::Snapshot)
}

/// A position behind every commit that this session has seen.
pub async fn watermark(reading: &Client) -> Result<Lsn, Error> {
    let statement = "select pg_logical_emit_message(true, 'synccluster', 'watermark')::text";
    let watermark: String = reading.query_one(statement, &[]).await?.get(0);
    watermark.parse().map_err(|_| Error::Watermark)
}

/// The tables that are sent, in the order of their names; `Err`: why none is.
pub async fn portions(client: &Client, only: Option<&str>) -> Result<Result<Vec<Portion>, String>, Error> {
    let tables = snapshot::tables(client, PUBLICATION).await?;
    if let Some(problem) = missing(tables.iter().map(|table| &table.name), only) {
        return Ok(Err(problem));
    }
    let mut portions = Vec::new();
    for table in tables {
        let name = table.name.to_string();
        let tombstones = table.name.is(TOMBSTONES);
        let condition = match only {
            Some(only) if tombstones => Some(format!("relation = {}", literal(only))),
            Some(only) if only != name => continue,
            _ => None,
        };
        let Some(known) = catalog::table(client, &table.name).await? else {
            continue;
        };
        let types: Option<Vec<String>> = table
            .key
            .iter()
            .map(|column| known.column(column).map(|column| column.sql_type.clone()))
            .collect();
        let Some(types) = types.filter(|types| !types.is_empty()) else {
            return Ok(Err(format!(
                "the primary key of {name} cannot be read in order: it is missing, or a generated column"
            )));
        };
        portions.push(Portion {
            table,
            types,
            condition,
        });
    }
    Ok(Ok(portions))
}

fn key_of(table: &Table, row: &[Datum]) -> Vec<String> {
    let value = |column: &String| {
        let place = table.columns.iter().position(|(name, _)| name == column)?;
        match row.get(place)? {
            Datum::Text(text) => Some(text.to_string()),
            Datum::Null | Datum::Unchanged | Datum::LeftOut(_) => None,
        }
    };
    table.key.iter().filter_map(value).collect()
}

/// Text as SQL has it: COPY takes no parameters; the session has `standard_conforming_strings` on.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
