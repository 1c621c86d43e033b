//! Every row once more, while streaming goes on: Debezium's incremental snapshots, asked for by a row of `sync.debezium_signal`.
//!
//! Debezium reads a chunk between two rows that it writes into that table itself, and sends it when it meets the second in the WAL, less what was
//! changed between the two: so each row is sent at the place of the stream where it was read. How far it is stands in Connect's offsets, which
//! are written when Kafka has what lies before; the rows are counted in the topic.
//!
//! Crash windows: a worker that ends forgets its snapshot. The next is asked for the table that was being sent, from its beginning, and for
//! those after it. A signal the slot was not told of is read again, and its tables are sent twice.

use serde_json::json;
use synccluster_connector::{
    resnapshot::{book, literal, missing},
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
    rest::Incremental,
    session::Error,
    topic::{Rows, Topic},
};

/// What is asked for, and how far it is.
pub struct Resnapshot {
    status: ResnapshotStatus,
    /// What Debezium is doing; absent when it is done, or cannot be.
    work: Option<Work>,
}

struct Work {
    /// Asked for at this position of the WAL or before it.
    asked_at: Lsn,
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
        asked: Option<&ResnapshotRequest>,
    ) -> Result<Option<Self>, Error> {
        if let Some(request) = asked {
            book::write(sql, request).await?;
        }
        let Some(book::Entry { mut status, .. }) = book::read(sql).await? else {
            return Ok(None);
        };
        let mut work = None;
        if !status.done {
            let tables = snapshot::names(sql, PUBLICATION).await?;
            status.problem = missing(tables.iter(), status.only.as_deref());
            if status.problem.is_none() {
                let rows = topic.rows(end)?;
                work = Some(Work {
                    asked_at: signal(sql, &status, &left(tables, &status)).await?,
                    rows,
                    before: status.rows,
                });
            }
            book::announce(&status);
        }
        Ok(Some(Self { status, work }))
    }

    /// For `/status`.
    pub fn status(&self) -> &ResnapshotStatus {
        &self.status
    }

    /// Whether there is anything to look at.
    pub fn runs(&self) -> bool {
        self.work.is_some()
    }

    /// Takes in what Connect has written down, and after that what the topic has up to `end`.
    pub async fn look(&mut self, sql: &Client, offset: Option<Incremental>, end: i64) -> Result<(), Error> {
        let Some(work) = &mut self.work else { return Ok(()) };
        let all = work.rows.count(end).await?;
        self.status.rows = work.before + work.rows.counted();
        let Some(Incremental { lsn, left }) = offset.filter(|offset| offset.lsn >= work.asked_at) else {
            return mark(sql, &self.status.id).await;
        };
        if left.first() != self.status.table.as_ref() && !left.is_empty() {
            self.status.table = left.into_iter().next();
            book::advance(sql, &self.status, &[]).await?;
        } else if left.is_empty() && all {
            self.status.table = None;
            self.status.done = true;
            self.status.done_at = Some(now_millis());
            book::advance(sql, &self.status, &[]).await?;
            sql.execute("delete from sync.debezium_signal", &[]).await?;
            self.work = None;
            tracing::info!(id = self.status.id, rows = self.status.rows, %lsn, "every row was sent once more");
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

/// Asks; the position behind the question.
async fn signal(sql: &Client, status: &ResnapshotStatus, tables: &[TableName]) -> Result<Lsn, Error> {
    let tables: Vec<String> = tables.iter().map(table_pattern).collect();
    let mut data = json!({ "type": "incremental", "data-collections": tables });
    if let Some(only) = &status.only {
        let tombstones = table_pattern(&TableName::new(TOMBSTONES.0, TOMBSTONES.1));
        data["additional-conditions"] =
            json!([{ "data-collection": tombstones, "filter": format!("relation = {}", literal(only)) }]);
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
