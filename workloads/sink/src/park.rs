//! The books nothing is lost from: events that cannot be applied yet, and writes that lost.

use serde_json::Value;
use synccluster_protocol::{ClusterName, Site, Version, event::TableName};
use synccluster_runtime::postgres;

use crate::{
    apply, event, settle, stand,
    target::{Parameter, Target},
};

/// Parked events looked at in one go.
const AT_ONCE: i64 = 500;

/// Puts events aside, with the reason; part of the transaction that passes them by. What waits already, where a topic is read again, waits once.
pub async fn park(
    target: &mut Target,
    topic: &str,
    relation: &str,
    raw: &[&str],
    reason: &str,
) -> Result<(), tokio_postgres::Error> {
    tracing::warn!(topic, relation, events = raw.len(), reason, "parked");
    // What is not even JSON is kept as a JSON string.
    let record = |raw: &&str| serde_json::from_str(raw).unwrap_or_else(|_| Value::from(*raw));
    let records: Vec<Value> = raw.iter().map(record).collect();
    let statement = "insert into sync.parked (topic, relation, event, reason)
                     select $1, $2, event, $4 from unnest($3::jsonb[]) with ordinality u(event, ord)
                      where not exists (select from sync.parked p where p.topic = $1 and p.event = u.event) order by ord";
    target
        .execute(statement, &[&topic, &relation, &records, &reason])
        .await
        .map(drop)
}

/// Remembers that events of a table that is withdrawn were passed by, from this offset of the topic on; without one, from the stored progress,
/// which is not behind any event of the transaction this is part of.
pub async fn skipped(
    target: &mut Target,
    topic: &str,
    table: &TableName,
    from: Option<i64>,
) -> Result<(), tokio_postgres::Error> {
    let statement = "insert into sync.skipped as s (relation, topic, \"offset\")
                     values ($1, $2, coalesce($3, (select p.\"offset\" from sync.progress p where p.topic = $2 and p.partition = 0), 0))
                     on conflict (relation, topic) do update set \"offset\" = excluded.\"offset\" where excluded.\"offset\" < s.\"offset\"";
    let relation = table.to_string();
    target.execute(statement, &[&relation, &topic, &from]).await.map(drop)
}

/// Writes a write down that lost, once: what is sent twice loses a second time. Key and rows are the text of jsonb.
pub async fn conflict(
    target: &mut Target,
    topic: &str,
    table: &TableName,
    key: &str,
    (kind, policy): (&str, &str),
    winner: (Option<String>, Version),
    loser: (Option<String>, Version),
) -> Result<(), tokio_postgres::Error> {
    let statement =
        "insert into sync.conflicts (relation, key, kind, policy, winner, winner_version, loser, loser_version, topic)
                     select $1, $2::text::jsonb, $3, $4, $5::text::jsonb, $6::int8, $7::text::jsonb, $8::int8, $9
                      where not exists (select from sync.conflicts where loser_version = $8 and relation = $1 and key = $2::text::jsonb)";
    let relation = table.to_string();
    let parameters: [Parameter<'_>; 9] = [
        &relation,
        &key,
        &kind,
        &policy,
        &winner.0,
        &winner.1.0,
        &loser.0,
        &loser.1.0,
        &topic,
    ];
    target.execute(statement, &parameters).await.map(drop)
}

/// Which of the parked events are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those that have waited longest for a try.
    Oldest,
    /// Those for which somebody asked for one.
    Asked,
}

/// Whether somebody asked for a try. Only reads: a quiet cluster writes no WAL. What has the site's `own` topic is its connector's.
pub async fn is_asked(target: &mut Target, own: &str) -> Result<bool, tokio_postgres::Error> {
    let statement = "select exists (select from sync.parked where asked_at is not null and topic <> $1)";
    Ok(target
        .query(statement, &[&own])
        .await?
        .first()
        .is_some_and(|row| row.get(0)))
}

/// Tries what is parked again, each event in a transaction of its own; returns how many got through. An event that has been overtaken is
/// judged by its version like any other.
pub async fn retry(
    target: &mut Target,
    cluster: &ClusterName,
    own: &str,
    which: Which,
) -> Result<u64, tokio_postgres::Error> {
    let statement = "select q.id, q.topic, q.event, p.predecessor
                       from sync.parked q left join sync.progress p on p.topic = q.topic and p.partition = 0
                      where q.topic <> $3 and ($1 or q.asked_at is not null) order by q.tried_at, q.id limit $2";
    let rows = target
        .query(statement, &[&(which == Which::Oldest), &AT_ONCE, &own])
        .await?;
    let (mut ids, mut reasons) = (Vec::new(), Vec::new());
    let tried = rows.len();
    target.forget_tables();
    for row in rows {
        let (id, topic, raw): (i64, String, Value) = (row.get(0), row.get(1), row.get(2));
        let source = cluster.site_of_topic(&topic).unwrap_or(Site::Server);
        target.set_origin(source).await?;
        target.execute_batch("begin").await?;
        let predecessor = row.get::<_, Option<i64>>(3).map(Version);
        match attempt(target, &topic, id, &raw, predecessor).await {
            Ok(Ok(())) => {
                target.commit().await?;
                continue;
            }
            Ok(Err(reason)) => reasons.push(reason),
            // Somebody else's lock is waited for here and not by the events of the stream.
            Err(error) if postgres::is_transient(&error) => reasons.push(postgres::describe(&error)),
            Err(error) => return Err(error),
        }
        ids.push(id);
        target.execute_batch("rollback").await?;
    }
    let noted = "update sync.parked p set tried_at = clock_timestamp(), asked_at = null, reason = u.reason
                   from unnest($1::int8[], $2::text[]) u(id, reason) where p.id = u.id";
    if !ids.is_empty() {
        target.execute(noted, &[&ids, &reasons]).await?;
    }
    Ok((tried - ids.len()) as u64)
}

async fn attempt(
    target: &mut Target,
    topic: &str,
    id: i64,
    raw: &Value,
    predecessor: Option<Version>,
) -> Result<Result<(), String>, tokio_postgres::Error> {
    // What was no JSON was kept as a JSON string.
    let raw = raw.as_str().map_or_else(|| raw.to_string(), str::to_owned);
    let event = match event::parse(&raw) {
        Ok(event) => event,
        Err(error) => return Ok(Err(error.to_string())),
    };
    if let Some(event) = event.as_ref().filter(|event| target.is_withdrawn(&event.table)) {
        // Nobody knows any more where in the topic it was.
        skipped(target, topic, &event.table, Some(0)).await?;
    } else if let Some(mut event) = event {
        event.incoming.unseen = stand::unseen_by_parked(event.version(), predecessor);
        if let Err(reason) = apply::try_event(target, topic, &event).await? {
            return Ok(Err(reason));
        }
        if settle::may_collide_silently(target, &event).await? {
            apply::check(target, topic, &[event]).await?;
        }
    }
    target.execute("delete from sync.parked where id = $1", &[&id]).await?;
    Ok(Ok(()))
}
