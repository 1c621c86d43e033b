//! Every row once more, while streaming goes on: Debezium's incremental snapshots, asked for by a row of `sync.debezium_signal`.
//!
//! Debezium reads a chunk between two rows that it writes into that table itself, and sends it when it meets the second in the WAL, less what was
//! changed between the two: so each row is sent at the place of the stream where it was read. How far it is stands in Connect's offsets, which
//! are written when Kafka has what lies before; the rows are counted in the topic.
//!
//! Of a table that it cannot read Debezium says so in a notification, and goes on as if it had been sent; where others were asked for with it,
//! it stops at the next. So it is asked for one table after the other, and none is taken for sent without the notification that it was. Where it
//! failed in the middle of a table, rows written after that did not arrive either: the worker is replaced.
//!
//! Crash windows: a worker that ends forgets its snapshot. The next is asked for the table that was being sent, from its beginning, and for
//! those after it. A signal the slot was not told of is read again, and its table is sent twice.

use std::{collections::VecDeque, time::Instant};

use serde_json::json;
use synccluster_connector::{
    resnapshot::{AGAIN_AFTER, book, literal, missing, unreadable},
    slot::PUBLICATION,
    snapshot,
};
use synccluster_protocol::{
    Lsn,
    connect::table_pattern,
    event::{TOMBSTONES, TableName},
    status::{ResnapshotRequest, ResnapshotStatus},
};
use synccluster_runtime::clock::now_millis;
use tokio_postgres::Client;

use crate::{
    notifications::{Notifications, Scan},
    rest::Incremental,
    session::Error,
    topic::{Rows, Topic},
};

/// What is asked for, and how far it is.
pub struct Resnapshot {
    status: ResnapshotStatus,
    stage: Stage,
}

enum Stage {
    Sends(Work),
    /// It cannot be done, since then.
    Stopped(Instant),
    Done,
}

/// Debezium sends the first of the tables.
struct Work {
    left: VecDeque<TableName>,
    /// Asked for at this position of the WAL or before it.
    asked_at: Lsn,
    notifications: Notifications,
    rows: Rows,
    /// Rows that were sent before this worker was asked.
    before: u64,
}

impl Resnapshot {
    /// Asks Debezium for what was asked for before, if it is not done. `asked`: what has been asked for since, and not been written down.
    pub async fn begin(
        sql: &Client,
        topic: &Topic,
        end: i64,
        notifications: Notifications,
        asked: Option<&ResnapshotRequest>,
    ) -> Result<Option<Self>, Error> {
        if let Some(request) = asked {
            book::write(sql, request).await?;
        }
        let Some(book::Entry { mut status, .. }) = book::read(sql).await? else {
            return Ok(None);
        };
        if status.done {
            let stage = Stage::Done;
            return Ok(Some(Self { status, stage }));
        }
        let tables = snapshot::names(sql, PUBLICATION).await?;
        status.problem = missing(tables.iter(), status.only.as_deref());
        let mut this = Self {
            stage: Stage::Stopped(Instant::now()),
            status,
        };
        if this.status.problem.is_none() {
            let work = Work {
                left: left(tables, &this.status).into(),
                asked_at: Lsn(0),
                notifications,
                rows: topic.rows(end)?,
                before: this.status.rows,
            };
            this.ask(sql, work).await?;
        }
        Ok(Some(this))
    }

    /// For `/status`.
    pub fn status(&self) -> &ResnapshotStatus {
        &self.status
    }

    /// Whether there is anything to look at.
    pub fn runs(&self) -> bool {
        matches!(self.stage, Stage::Sends(_))
    }

    /// Whether it could not be done a while ago: then it is begun again.
    pub fn is_due(&self) -> bool {
        matches!(self.stage, Stage::Stopped(since) if since.elapsed() >= AGAIN_AFTER)
    }

    /// Takes in what Connect has written down, and after that what the topic has up to `end`; why this worker cannot go on, if it cannot.
    pub async fn look(&mut self, sql: &Client, offset: Option<Incremental>, end: i64) -> Result<Option<String>, Error> {
        let Stage::Sends(work) = &mut self.stage else {
            return Ok(None);
        };
        let all = work.rows.count(end).await?;
        self.status.rows = work.before + work.rows.counted();
        let Some(Incremental { left, .. }) = offset.filter(|offset| offset.lsn >= work.asked_at) else {
            mark(sql, &self.status.id).await?;
            return Ok(None);
        };
        if !left.is_empty() || !all {
            return Ok(None);
        }
        let stopped = Stage::Stopped(Instant::now());
        let Stage::Sends(mut work) = std::mem::replace(&mut self.stage, stopped) else {
            return Ok(None);
        };
        let Some(table) = work.left.front() else {
            return Ok(None);
        };
        match work.notifications.scan(table)? {
            Scan::Sent => {
                work.left.pop_front();
                let there = snapshot::names(sql, PUBLICATION).await?;
                work.left.retain(|table| there.contains(table));
                self.ask(sql, work).await?;
            }
            Scan::Failed(status) => {
                let why = unreadable(sql, table).await?;
                self.status.error = Some(why.unwrap_or_else(|| {
                    format!("Debezium could not read {table} ({status}), and its rows are not sent: the connector's log says why; it is tried again")
                }));
                return Ok(self.status.error.clone());
            }
        }
        Ok(None)
    }

    /// Asks for the next table, if it can be read; all is done when there is none.
    async fn ask(&mut self, sql: &Client, mut work: Work) -> Result<(), Error> {
        let next = work.left.front().cloned();
        self.status.table = next.as_ref().map(ToString::to_string);
        self.status.done = next.is_none();
        self.status.done_at = self.status.done.then(now_millis);
        book::advance(sql, &self.status, &[]).await?;
        let Some(table) = next else {
            sql.execute("delete from sync.debezium_signal", &[]).await?;
            self.stage = Stage::Done;
            let ResnapshotStatus { id, rows, .. } = &self.status;
            tracing::info!(id, rows, "every row was sent once more");
            return Ok(());
        };
        self.status.error = unreadable(sql, &table).await?;
        if self.status.error.is_none() {
            work.notifications.skip()?;
            work.asked_at = signal(sql, &self.status, &table).await?;
            self.stage = Stage::Sends(work);
        }
        Ok(())
    }
}

/// What is left of these: all tables or one, and the tombstones.
fn left(mut tables: Vec<TableName>, status: &ResnapshotStatus) -> Vec<TableName> {
    if let Some(only) = &status.only {
        tables.retain(|table| table.is(TOMBSTONES) || table.to_string() == *only);
    }
    let now = status.table.as_deref();
    let place = tables.iter().position(|table| Some(&*table.to_string()) == now);
    tables.drain(..place.unwrap_or_default());
    tables
}

/// Asks for a table; the position behind the question.
async fn signal(sql: &Client, status: &ResnapshotStatus, table: &TableName) -> Result<Lsn, Error> {
    let pattern = table_pattern(table);
    let mut data = json!({ "type": "incremental", "data-collections": [pattern] });
    if let Some(only) = status.only.as_ref().filter(|_| table.is(TOMBSTONES)) {
        data["additional-conditions"] =
            json!([{ "data-collection": pattern, "filter": format!("relation = {}", literal(only)) }]);
    }
    write(sql, &status.id, "execute-snapshot", &data.to_string()).await?;
    let row = sql.query_one("select pg_current_wal_insert_lsn()::text", &[]).await?;
    row.get::<_, String>(0).parse().map_err(|_| Error::Position)
}

/// Where nothing else is written, Connect's offsets would stay where they are: something it reads, and says nothing of.
async fn mark(sql: &Client, id: &str) -> Result<(), Error> {
    Ok(write(sql, id, "log", r#"{"message": "rows are sent once more"}"#).await?)
}

async fn write(sql: &Client, id: &str, kind: &str, data: &str) -> Result<(), tokio_postgres::Error> {
    let id = format!("{id}-{}", now_millis());
    let statement = "insert into sync.debezium_signal (id, type, data) values ($1, $2, $3) on conflict do nothing";
    sql.execute(statement, &[&id, &kind, &data]).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_asked_for_the_table_that_was_being_sent_and_for_those_after_it() {
        let tables = || {
            ["public.a", "public.b", "sync.tombstones"]
                .map(|name| TableName::parse(name).unwrap())
                .to_vec()
        };
        let of = |only: Option<&str>, table: Option<&str>| {
            let status = ResnapshotStatus {
                id: "1".to_owned(),
                only: only.map(str::to_owned),
                table: table.map(str::to_owned),
                rows: 0,
                expected: None,
                began_at: 0,
                done: false,
                done_at: None,
                problem: None,
                error: None,
            };
            left(tables(), &status)
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(of(None, None), ["public.a", "public.b", "sync.tombstones"]);
        assert_eq!(of(None, Some("public.b")), ["public.b", "sync.tombstones"]);
        assert_eq!(of(None, Some("public.gone")).len(), 3);
        assert_eq!(of(Some("public.b"), None), ["public.b", "sync.tombstones"]);
        assert_eq!(of(Some("public.b"), Some("sync.tombstones")), ["sync.tombstones"]);
    }
}
