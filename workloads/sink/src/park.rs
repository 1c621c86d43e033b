//! The books nothing is lost from: events that cannot be applied yet, and writes that lost.

use serde_json::Value;
use synccluster_merge::Kind;
use synccluster_protocol::{Site, Version, event::TableName};

use crate::{
    apply,
    event::{self, Content, Event},
    rounds::Group,
    target::{Parameter, Target},
};

/// Parked events looked at in one go.
const AT_ONCE: i64 = 500;

/// Puts an event aside, with the reason; part of the transaction that passes it by.
pub async fn park(
    target: &mut Target,
    topic: &str,
    relation: &str,
    raw: &str,
    reason: &str,
) -> Result<(), tokio_postgres::Error> {
    tracing::warn!(topic, relation, reason, "parked an event");
    // What is not even JSON is kept as a JSON string.
    let record: Value = serde_json::from_str(raw).unwrap_or_else(|_| raw.into());
    let statement = "insert into sync.parked (topic, relation, event, reason) values ($1, $2, $3, $4)";
    target
        .execute(statement, &[&topic, &relation, &record, &reason])
        .await
        .map(drop)
}

/// Writes a write down that lost.
pub async fn conflict(
    target: &mut Target,
    topic: &str,
    table: &TableName,
    key: &Value,
    (kind, policy): (&str, &str),
    winner: (Option<Value>, Version),
    loser: (Option<Value>, Version),
) -> Result<(), tokio_postgres::Error> {
    let statement =
        "insert into sync.conflicts (relation, key, kind, policy, winner, winner_version, loser, loser_version, topic)
                     values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let relation = table.to_string();
    let parameters: [Parameter<'_>; 9] = [
        &relation,
        key,
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

/// Tries what is parked again, each event in a transaction of its own; returns how many got through. An event that has been overtaken is
/// judged by its version like any other.
pub async fn retry(
    target: &mut Target,
    cluster: &synccluster_protocol::ClusterName,
) -> Result<u64, tokio_postgres::Error> {
    let rows = target
        .query(
            "select id, topic, event from sync.parked order by id limit $1",
            &[&AT_ONCE],
        )
        .await?;
    let mut through = 0;
    target.forget_tables();
    for row in rows {
        let (id, topic, raw): (i64, String, Value) = (row.get(0), row.get(1), row.get(2));
        let Ok(Some(event)) = event::parse(&raw.to_string()) else {
            continue;
        };
        target
            .set_origin(cluster.site_of_topic(&topic).unwrap_or(Site::Server))
            .await?;
        target.execute_batch("begin").await?;
        let group = group(&event);
        let settled = match apply::try_event(target, &topic, &group, &event).await {
            Ok(Ok(())) => target
                .execute("delete from sync.parked where id = $1", &[&id])
                .await
                .map(|_| true),
            Ok(Err(_)) => Ok(false),
            Err(error) => Err(error),
        };
        match settled {
            Ok(true) => {
                target.execute_batch("commit").await?;
                through += 1;
            }
            Ok(false) => target.execute_batch("rollback").await?,
            Err(error) => {
                let _ = target.execute_batch("rollback").await;
                return Err(error);
            }
        }
    }
    Ok(through)
}

fn group(event: &Event) -> Group {
    let columns = match &event.content {
        Content::Row(row) => row.keys().cloned().collect(),
        Content::Tombstone(_) => Vec::new(),
    };
    Group {
        table: event.table.clone(),
        tombstones: event.incoming.kind == Kind::Tombstone,
        columns,
    }
}
