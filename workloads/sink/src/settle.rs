//! Two rows that cannot both be: they collide on a constraint other than the key.
//!
//! At the server that is a conflict between two rows: the loser is deleted everywhere, by a tombstone of the server's, and recorded. At a
//! client the row in the way is displaced: removed without a tombstone (its own write is in the WAL already) and set again by whatever the
//! server says of it next.
//!
//! A constraint that is deferrable is not checked in the sink's session, which fires no triggers: who collides on it is asked for before the
//! commit, where a swap inside the transaction is over.

use std::collections::BTreeMap;

use synccluster_protocol::{Site, Version};
use synccluster_runtime::catalog::CatalogTable;
use tokio_postgres::Error;

use crate::{
    event::{Content, Event},
    judge::{self, Failure, KeyArrays},
    park,
    rounds::Group,
    statements::{self, Keys},
    target::Target,
};

/// How often something new may stand in the way of one event.
const TRIES: usize = 5;

/// Clears the way for an event that collides, and applies it; at the server it may be the one that loses.
pub async fn collision(target: &mut Target, topic: &str, event: &Event, reason: &str) -> Result<(), Failure> {
    let unsettled = || Failure::Event(reason.to_owned());
    let group = Group::of(event);
    let table = judge::table(target, &group).await?.map_err(Failure::Event)?;
    for _ in 0..TRIES {
        let found = obstacles(target, &table, &group.columns, &[event], false).await?;
        if found.is_empty() {
            return Err(unsettled());
        }
        if !clear(target, topic, &table, event, found).await? {
            return Ok(());
        }
        match judge::group(target, topic, &group, &[event]).await {
            Err(Failure::Collision(_)) => {}
            outcome => {
                tracing::info!(site = %target.site, table = %event.table, reason, "cleared the way for a row");
                return outcome;
            }
        }
    }
    Err(unsettled())
}

/// Whether rows of the table could collide without an error.
pub async fn may_collide_silently(target: &mut Target, event: &Event) -> Result<bool, Error> {
    let row = matches!(event.content, Content::Row(_));
    Ok(row && target.table(&event.table).await?.is_some() && {
        let constraints = target.constraints(&event.table).await?;
        constraints.all.iter().any(|constraint| constraint.deferrable)
    })
}

/// Settles those of the events just applied that collide with another row on a deferrable constraint.
pub async fn deferred(target: &mut Target, topic: &str, events: &[Event]) -> Result<(), Failure> {
    let mut groups: BTreeMap<Group, Vec<&Event>> = BTreeMap::new();
    for event in events {
        groups.entry(Group::of(event)).or_default().push(event);
    }
    for (group, events) in groups {
        let Ok(table) = judge::table(target, &group).await? else {
            continue;
        };
        let found = obstacles(target, &table, &group.columns, &events, true).await?;
        let mut places: Vec<usize> = found.iter().map(|obstacle| obstacle.of).collect();
        places.sort_unstable();
        places.dedup();
        for event in places.into_iter().filter_map(|place| events.get(place)) {
            // Once more: what was settled for one may have settled it for another.
            let found = obstacles(target, &table, &group.columns, &[event], true).await?;
            clear(target, topic, &table, event, found).await?;
        }
    }
    Ok(())
}

/// A row that stands in the way of an event; its key as the parameters of a statement.
struct Obstacle {
    of: usize,
    key: Vec<Vec<Option<String>>>,
    version: Version,
    row: String,
}

/// The rows that stand in the way of these events on the constraints that are deferrable, or on those that are not.
async fn obstacles(
    target: &mut Target,
    table: &CatalogTable,
    columns: &[String],
    events: &[&Event],
    deferrable: bool,
) -> Result<Vec<Obstacle>, Failure> {
    let constraints = target.constraints(&table.name).await?;
    let values = judge::value_arrays(table, columns, events)?;
    let mut found = Vec::new();
    for constraint in constraints.all.iter().filter(|one| one.deferrable == deferrable) {
        let statement = statements::obstacles(table, columns, constraint, &constraints.generated);
        let rows = target.query(&statement, &judge::parameters(&values)).await?;
        found.extend(rows.iter().map(|row| {
            Obstacle {
                of: usize::try_from(row.get::<_, i64>(0) - 1).unwrap_or_default(),
                key: row
                    .get::<_, Vec<Option<String>>>(1)
                    .into_iter()
                    .map(|text| vec![text])
                    .collect(),
                version: Version(row.get(2)),
                row: row.get(3),
            }
        }));
    }
    Ok(found)
}

/// Removes what stands in the way of an event, or at the server the event's own row where that is the older; whether the way is clear.
async fn clear(
    target: &mut Target,
    topic: &str,
    table: &CatalogTable,
    event: &Event,
    found: Vec<Obstacle>,
) -> Result<bool, Failure> {
    // All of them before any is removed: nothing may lose to a row that itself loses to another.
    let newest = found.iter().max_by_key(|obstacle| obstacle.version);
    if target.site == Site::Server
        && let Some(newest) = newest.filter(|newest| newest.version > event.version())
    {
        let key = judge::key_arrays(table, Keys::Columns, &[event])?;
        let winner = (Some(newest.row.clone()), newest.version);
        let loser = (event.row(table), event.version());
        bury(target, topic, table, &key, (winner, loser)).await?;
        return Ok(false);
    }
    for obstacle in found {
        if target.site == Site::Server {
            let winner = (event.row(table), event.version());
            let sides = (winner, (Some(obstacle.row), obstacle.version));
            bury(target, topic, table, &obstacle.key, sides).await?;
        } else {
            let key = judge::parameters(&obstacle.key);
            target.execute(&statements::delete(table, Keys::Columns), &key).await?;
        }
    }
    Ok(true)
}

/// What won or lost, as `sync.conflicts` has it.
type Side = (Option<String>, Version);

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
    let key_json: String = rows.first().map(|row| row.get(0)).unwrap_or_default();
    // Right behind what it deletes, and not now: what the losing site wrote after it, perhaps to correct it, is the later.
    let version = Version::next(0, target.site.node(), Some(loser.1));
    judge::bury(target, table, Keys::Columns, key, [(version, Some(loser.1))]).await?;
    let words = ("unique", "LastWriterWins");
    park::conflict(target, topic, &table.name, &key_json, words, winner, loser).await
}
