//! Two rows that cannot both be: they collide on a unique constraint other than the key.
//!
//! At the server that is a conflict between two rows: the loser is deleted everywhere, by a tombstone of the server's, and recorded. At a
//! client the row in the way is displaced: removed without a tombstone (its own write is in the WAL already) and set again by whatever the
//! server says of it next.

use serde_json::Value;
use synccluster_protocol::{Site, Version, codec, event::Row};
use synccluster_runtime::catalog::CatalogTable;
use tokio_postgres::Error;

use crate::{
    apply,
    event::{Content, Event},
    judge::{self, KeyArrays},
    park,
    statements::{self, Keys},
    target::Target,
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
        let Ok(key) = judge::key_arrays(&table, Keys::Columns, &[event]) else {
            return Ok(Err(reason.to_owned()));
        };
        let sides = (
            (Some(newest.row.clone()), newest.version),
            (event.row(), event.version()),
        );
        return bury(target, topic, &table, &key, sides).await.map(Ok);
    }
    for obstacle in in_the_way {
        if target.site == Site::Server {
            let sides = ((event.row(), event.version()), (Some(obstacle.row), obstacle.version));
            bury(target, topic, &table, &obstacle.key, sides).await?;
        } else {
            let key = judge::parameters(&obstacle.key);
            target.execute(&statements::delete(&table, Keys::Columns), &key).await?;
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
        .query(&statements::obstacles(table, &columns), &judge::parameters(&texts))
        .await?;
    let obstacle = |row: &tokio_postgres::Row| Obstacle {
        key: row
            .get::<_, Vec<Option<String>>>(0)
            .into_iter()
            .map(|text| vec![text])
            .collect(),
        version: Version(row.get(1)),
        row: row.get(2),
    };
    Ok(rows.iter().map(obstacle).collect())
}

/// A row that stands in the way; its key as the parameters of a statement.
struct Obstacle {
    key: Vec<Vec<Option<String>>>,
    version: Version,
    row: Value,
}

/// What won or lost, as `sync.conflicts` has it.
type Side = (Option<Value>, Version);

/// Deletes the losing row everywhere, and records it.
async fn bury(
    target: &mut Target,
    topic: &str,
    table: &CatalogTable,
    key: &KeyArrays,
    (winner, loser): (Side, Side),
) -> Result<(), Error> {
    let rows = target
        .query(&statements::row_json(table, Keys::Columns), &judge::parameters(key))
        .await?;
    let key_json: Value = rows.first().map(|row| row.get(0)).unwrap_or_default();
    // Right behind what it deletes, and not now: what the losing site wrote after it, perhaps to correct it, is the later.
    let version = Version::next(0, target.site.node(), Some(loser.1));
    judge::bury(target, table, Keys::Columns, key, [(version, Some(loser.1))]).await?;
    let words = ("unique", "LastWriterWins");
    park::conflict(target, topic, &table.name, &key_json, words, winner, loser).await
}
