//! What was asked for and how far it is, in the site's own database: it outlives connector and operator.

pub use synccluster_protocol::status::ResnapshotRequest as Request;
use synccluster_protocol::status::ResnapshotStatus;
use tokio_postgres::{Client, Error};

use crate::snapshot::PUBLISHED;

/// What is written down.
pub struct Entry {
    /// How far it is.
    pub status: ResnapshotStatus,
    /// The key of the last row that was sent of `status.table`.
    pub after: Vec<String>,
}

/// Writes down what is asked for now, in place of what was before. What is written down already goes on.
pub async fn write(client: &Client, request: &Request) -> Result<(), Error> {
    let statement = format!(
        "with others as (delete from sync.resnapshots where id <> $1)
        insert into sync.resnapshots (id, only_relation, expected)
        select $1, $2, (select case when min(c.reltuples) < 0 then null else sum(c.reltuples)::int8 end
                          from {PUBLISHED}
                         where p.pubname = 'sync' and n.nspname <> 'sync'
                           and coalesce(n.nspname || '.' || c.relname = $2, true))
        on conflict (id) do nothing"
    );
    client
        .execute(&statement, &[&request.id, &request.table])
        .await
        .map(drop)
}

/// What is written down.
pub async fn read(client: &Client) -> Result<Option<Entry>, Error> {
    let statement = "select id, only_relation, relation, after_key, rows, expected,
            (extract(epoch from began_at) * 1000)::int8, (extract(epoch from done_at) * 1000)::int8
       from sync.resnapshots order by began_at desc limit 1";
    Ok(client.query_opt(statement, &[]).await?.map(|row| {
        let done_at: Option<i64> = row.get(7);
        let count = |number: i64| u64::try_from(number).unwrap_or_default();
        Entry {
            status: ResnapshotStatus {
                id: row.get(0),
                only: row.get(1),
                table: row.get(2),
                rows: count(row.get(4)),
                expected: row.get::<_, Option<i64>>(5).map(count),
                began_at: row.get(6),
                done: done_at.is_some(),
                done_at,
                problem: None,
                error: None,
            },
            after: row.get(3),
        }
    }))
}

/// Into the log, what a connector goes on with, or why it does not, where that is news.
pub fn announce(before: Option<&ResnapshotStatus>, status: &ResnapshotStatus) {
    let ResnapshotStatus { id, only, rows, .. } = status;
    let said = |status: &ResnapshotStatus| status.problem.clone().or_else(|| status.error.clone());
    let (known, why) = (before.filter(|before| before.id == *id), said(status));
    if known.is_some_and(|before| said(before) == why) || (known.is_none() && status.done) {
        return;
    }
    if let Some(why) = why {
        tracing::warn!(id, only, why, "rows cannot be sent once more; it is tried again");
    } else {
        tracing::info!(id, only, rows, "rows are sent once more");
    }
}

/// Writes down how far it is.
pub async fn advance(client: &Client, status: &ResnapshotStatus, after: &[String]) -> Result<(), Error> {
    let statement = "update sync.resnapshots set relation = $2, after_key = $3, rows = $4,
        done_at = case when $5 then clock_timestamp() end where id = $1";
    let rows = i64::try_from(status.rows).unwrap_or(i64::MAX);
    client
        .execute(statement, &[&status.id, &status.table, &after, &rows, &status.done])
        .await
        .map(drop)
}
