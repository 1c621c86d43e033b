//! Two rows that cannot both be: they collide on a unique constraint other than the key.
//!
//! At the server that is a conflict between two rows: the loser is deleted everywhere, by a tombstone of the server's, and recorded. At a
//! client the row in the way is displaced: removed without a tombstone (its own write is in the WAL already) and set again by whatever the
//! server says of it next.

use serde_json::Value;
use synccluster_merge::{Incoming, Kind, own_version};
use synccluster_protocol::{Site, Version, codec, event::Row};
use synccluster_runtime::{catalog::CatalogTable, clock::now_micros};
use tokio_postgres::Error;

use crate::{
    apply,
    event::{Content, Event},
    park,
    statements::{self, Keys},
    target::{Parameter, Target},
};

/// Unique constraints of a table besides its key that are plain columns.
const UNIQUE: &str = "select array_agg(a.attname::text order by k.place)
   from pg_index i
   cross join unnest(i.indkey::int2[]) with ordinality k(attnum, place)
   join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
  where i.indrelid = format('%I.%I', $1::text, $2::text)::regclass and i.indisunique and not i.indisprimary
    and i.indpred is null and i.indexprs is null and k.place <= i.indnkeyatts
  group by i.indexrelid";

/// Settles what stands in an event's way and applies it. `Err` inside: nothing plain stands in its way, so it has to wait, for `reason`.
pub async fn unique(
    target: &mut Target,
    topic: &str,
    event: &Event,
    reason: &str,
) -> Result<Result<(), String>, Error> {
    let (Some(table), Content::Row(row)) = (target.table(&event.table).await?, &event.content) else {
        return Ok(Err(reason.to_owned()));
    };
    let constraints = target.query(UNIQUE, &[&event.table.schema, &event.table.table]).await?;
    let mut in_the_way = Vec::new();
    for constraint in constraints {
        in_the_way.extend(obstacles(target, &table, row, constraint.get(0)).await?);
    }
    // All of them before any is removed: nothing may lose to a row that itself loses to another.
    let Some(newest) = in_the_way.iter().max_by_key(|obstacle| obstacle.version) else {
        return Ok(Err(reason.to_owned()));
    };
    if target.site == Site::Server && newest.version > event.version() {
        return bury_incoming(target, topic, &table, event, newest).await.map(Ok);
    }
    for obstacle in &in_the_way {
        if target.site == Site::Server {
            bury_obstacle(target, topic, &table, event, obstacle).await?;
        } else {
            remove(target, &table, obstacle).await?;
        }
    }
    // The way is clear now; anything else that is wrong with the event shows as before.
    tracing::info!(site = %target.site, table = %event.table, reason, "cleared the way for a row");
    Box::pin(apply::apply_events(target, topic, std::slice::from_ref(event)))
        .await
        .map(Ok)
}

/// The rows that hold the event's values of `columns`, which are unique together, under another key.
async fn obstacles(
    target: &mut Target,
    table: &CatalogTable,
    row: &Row,
    columns: Vec<String>,
) -> Result<Vec<Obstacle>, Error> {
    let texts = columns.iter().chain(&table.key).map(|column| {
        let kind = table.column(column).map(|known| &known.kind)?;
        codec::decode(kind, row.get(column).unwrap_or(&Value::Null)).ok()?
    });
    // A NULL collides with nothing.
    let Some(texts) = texts.collect::<Option<Vec<String>>>() else {
        return Ok(Vec::new());
    };
    let rows = target
        .query(&statements::obstacles(table, &columns), &apply::parameters(&texts))
        .await?;
    let obstacle = |row: &tokio_postgres::Row| Obstacle {
        key: row.get(0),
        version: Version(row.get(1)),
        row: row.get(2),
    };
    Ok(rows.iter().map(obstacle).collect())
}

struct Obstacle {
    key: Vec<String>,
    version: Version,
    row: Value,
}

async fn remove(target: &mut Target, table: &CatalogTable, obstacle: &Obstacle) -> Result<(), Error> {
    let arrays: Vec<Vec<String>> = obstacle.key.iter().map(|text| vec![text.clone()]).collect();
    target
        .execute(&statements::delete(table, Keys::Columns), &apply::parameters(&arrays))
        .await
        .map(drop)
}

async fn bury_obstacle(
    target: &mut Target,
    topic: &str,
    table: &CatalogTable,
    event: &Event,
    obstacle: &Obstacle,
) -> Result<(), Error> {
    let version = own_version(target.site, now_micros(), &[obstacle.version, event.version()]);
    let arrays: Vec<Vec<String>> = obstacle.key.iter().map(|text| vec![text.clone()]).collect();
    let keys = apply::parameters(&arrays);
    let rows = target.query(&statements::row_json(table, Keys::Columns), &keys).await?;
    let key: Value = rows.first().map(|row| row.get(0)).unwrap_or_default();
    remove(target, table, obstacle).await?;
    let (name, versions, parents) = (table.name.to_string(), vec![version.0], vec![Some(obstacle.version.0)]);
    let mut all = keys.clone();
    all.extend([&name as Parameter<'_>, &versions, &parents]);
    target.execute(&statements::bury(table, Keys::Columns), &all).await?;
    let loser = (Some(obstacle.row.clone()), obstacle.version);
    park::conflict(
        target,
        topic,
        &table.name,
        &key,
        ("unique", "LastWriterWins"),
        (event.row(), event.version()),
        loser,
    )
    .await
}

async fn bury_incoming(
    target: &mut Target,
    topic: &str,
    table: &CatalogTable,
    event: &Event,
    winner: &Obstacle,
) -> Result<(), Error> {
    let version = own_version(target.site, now_micros(), &[winner.version, event.version()]);
    let incoming = Incoming {
        kind: Kind::Row,
        version,
        parent: Some(event.version()),
        resent: false,
    };
    let buried = Event {
        incoming,
        ..event.clone()
    };
    let Ok(arrays) = apply::key_arrays(table, Keys::Columns, &[&buried]) else {
        return Ok(());
    };
    let rows = target
        .query(&statements::row_json(table, Keys::Columns), &apply::parameters(&arrays))
        .await?;
    let key: Value = rows.first().map(|row| row.get(0)).unwrap_or_default();
    apply::bury(
        target,
        table,
        Keys::Columns,
        &[(&buried, version, Some(event.version()))],
    )
    .await?;
    let loser = (event.row(), event.version());
    park::conflict(
        target,
        topic,
        &table.name,
        &key,
        ("unique", "LastWriterWins"),
        (Some(winner.row.clone()), winner.version),
        loser,
    )
    .await
}
