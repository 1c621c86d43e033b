//! Judges events of one table, kind and set of columns, and writes what was decided.
//!
//! Local writers race this. For a key that has a row, the row is locked before it is judged. For a key that has none, the insert takes
//! nothing that is there (`on conflict do nothing`), and afterwards the key is looked at once more: while our row is uncommitted nobody
//! else can insert the key, so a tombstone or another row seen then was there first, and the event is judged again.

use std::sync::Arc;

use serde_json::Value;
use synccluster_merge::{Action, Conflict, Decision, Local, decide};
use synccluster_protocol::{Version, codec::DecodeError};
use synccluster_runtime::{catalog::CatalogTable, clock::now_micros, postgres};
use tokio_postgres::{Error, error::SqlState};

use crate::{
    event::{Content, Event},
    park,
    rounds::Group,
    sequences,
    statements::{self, Keys},
    target::{Parameter, Target},
};

/// One array of texts for each column of the key, or one of jsonb.
pub type KeyArrays = [Vec<Option<String>>];

/// How often an event is judged again because somebody else was faster.
const RACES: usize = 5;

/// What an event could not be written for.
pub enum Failure {
    /// The event itself: it is parked with this reason.
    Event(String),
    /// Another row that cannot be beside it.
    Collision(String),
    /// The connection, the server, or somebody else's lock: the whole transaction is tried again.
    Batch(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        // Classes of SQLSTATE: connection, transaction rollback, resources, intervention, system, internal. All others are about the data
        // and what is made of it, and would be the same the next time.
        let of_server = |code: &SqlState| ["08", "40", "53", "57", "58", "XX"].contains(&&code.code()[..2]);
        match error.code() {
            None => Self::Batch(error),
            Some(code) if of_server(code) || postgres::is_transient(&error) => Self::Batch(error),
            Some(code) if [SqlState::UNIQUE_VIOLATION, SqlState::EXCLUSION_VIOLATION].contains(code) => {
                Self::Collision(postgres::describe(&error))
            }
            Some(_) => Self::Event(postgres::describe(&error)),
        }
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        Self::Event(error.to_string())
    }
}

/// The table of a group as it is here. `Err` inside: what has to come before its events can be applied.
pub async fn table(target: &mut Target, group: &Group) -> Result<Result<Arc<CatalogTable>, String>, Error> {
    let Some(table) = target.table(&group.table).await? else {
        let reason = "is not here or not enrolled: waiting for its migration";
        return Ok(Err(format!("table {} {reason}", group.table)));
    };
    match group.columns.iter().find(|column| table.column(column).is_none()) {
        Some(missing) => Ok(Err(format!(
            "{} has no column {missing} here: waiting for its migration",
            group.table
        ))),
        None => Ok(Ok(table)),
    }
}

/// Applies a group of events, each about another key.
pub async fn group(target: &mut Target, topic: &str, group: &Group, events: &[&Event]) -> Result<(), Failure> {
    let table = table(target, group).await?.map_err(Failure::Event)?;
    let mut left = events.to_vec();
    for _ in 0..RACES {
        left = once(target, topic, &table, group, &left).await?;
        if left.is_empty() {
            return Ok(());
        }
    }
    Err(Failure::Event(
        "local writers were faster five times in a row".to_owned(),
    ))
}

/// Judges and writes; returns the events that somebody else's write has made worth judging again.
async fn once<'a>(
    target: &mut Target,
    topic: &str,
    table: &CatalogTable,
    group: &Group,
    events: &[&'a Event],
) -> Result<Vec<&'a Event>, Failure> {
    let keys = if group.tombstones { Keys::Json } else { Keys::Columns };
    let of_keys = key_arrays(table, keys, events)?;
    target
        .execute(&statements::lock(table, keys), &parameters(&of_keys))
        .await?;
    let locals = state(target, table, keys, &of_keys).await?;
    let now = now_micros();
    let decisions: Vec<Decision> = events
        .iter()
        .zip(&locals)
        .map(|(event, local)| decide(target.site, *local, event.incoming, now))
        .collect();
    for ((event, local), decision) in events.iter().zip(&locals).zip(&decisions) {
        if let Some(conflict) = decision.conflict {
            record(target, topic, table, keys, event, *local, (conflict, decision.action)).await?;
        }
    }
    let chosen = |wanted: &dyn Fn(&Decision, &Local) -> bool| -> Vec<&'a Event> {
        let all = events.iter().zip(&decisions).zip(&locals);
        all.filter(|((_, decision), local)| wanted(decision, local))
            .map(|((event, _), _)| *event)
            .collect()
    };
    if group.tombstones {
        let applied = chosen(&|decision, _| decision.action == Action::Apply);
        let of_applied = key_arrays(table, keys, &applied)?;
        let own = applied.iter().map(|event| (event.version(), event.incoming.parent));
        bury(target, table, keys, &of_applied, own).await?;
        return Ok(Vec::new());
    }
    let (reburied, tombstones): (Vec<&Event>, Vec<_>) = events
        .iter()
        .zip(&decisions)
        .zip(&locals)
        .filter_map(|((event, decision), local)| match decision.action {
            Action::Rebury(version) => Some((*event, (version, local.tombstone))),
            _ => None,
        })
        .unzip();
    let of_reburied = key_arrays(table, keys, &reburied)?;
    bury(target, table, keys, &of_reburied, tombstones).await?;
    let columns = &group.columns;
    let updates = chosen(&|decision, local| decision.action == Action::Apply && local.row.is_some());
    write(target, table, &statements::update(table, columns), columns, &updates).await?;
    let inserts = chosen(&|decision, local| decision.action == Action::Apply && local.row.is_none());
    write(target, table, &statements::insert(table, columns), columns, &inserts).await?;
    sequences::pass(target, table, &inserts).await?;
    lost_races(target, table, &inserts).await
}

/// Of the events just inserted, those before which somebody else's write was there.
async fn lost_races<'a>(
    target: &mut Target,
    table: &CatalogTable,
    inserted: &[&'a Event],
) -> Result<Vec<&'a Event>, Failure> {
    if inserted.is_empty() {
        return Ok(Vec::new());
    }
    let of_keys = key_arrays(table, Keys::Columns, inserted)?;
    let locals = state(target, table, Keys::Columns, &of_keys).await?;
    let ours = |event: &Event, local: &Local| local.row == Some(event.version());
    let lost =
        |event: &Event, local: &Local| !ours(event, local) || local.tombstone.is_some_and(|t| t > event.version());
    let again: Vec<_> = inserted
        .iter()
        .zip(&locals)
        .filter(|(event, local)| lost(event, local))
        .map(|(event, _)| *event)
        .collect();
    let resurrected: Vec<_> = inserted
        .iter()
        .zip(&locals)
        .filter(|(event, local)| lost(event, local) && ours(event, local))
        .map(|(event, _)| *event)
        .collect();
    if !resurrected.is_empty() {
        let keys = key_arrays(table, Keys::Columns, &resurrected)?;
        target
            .execute(&statements::delete(table, Keys::Columns), &parameters(&keys))
            .await?;
    }
    Ok(again)
}

async fn state(target: &mut Target, table: &CatalogTable, keys: Keys, arrays: &KeyArrays) -> Result<Vec<Local>, Error> {
    let name = table.name.to_string();
    let mut all = parameters(arrays);
    all.push(&name);
    let rows = target.query(&statements::state(table, keys), &all).await?;
    let version = |version: Option<i64>| version.map(Version);
    Ok(rows
        .iter()
        .map(|row| Local {
            row: version(row.get(0)),
            tombstone: version(row.get(1)),
            parent: version(row.get(2)),
        })
        .collect())
}

/// Deletes the rows of these keys and writes their tombstones, each with its version and parent.
pub async fn bury(
    target: &mut Target,
    table: &CatalogTable,
    keys: Keys,
    of_keys: &KeyArrays,
    tombstones: impl IntoIterator<Item = (Version, Option<Version>)>,
) -> Result<(), Error> {
    let (versions, parents): (Vec<i64>, Vec<Option<i64>>) = tombstones
        .into_iter()
        .map(|(version, parent)| (version.0, parent.map(|parent| parent.0)))
        .unzip();
    if versions.is_empty() {
        return Ok(());
    }
    let mut all = parameters(of_keys);
    target.execute(&statements::delete(table, keys), &all).await?;
    let name = table.name.to_string();
    all.extend([&name as Parameter<'_>, &versions, &parents]);
    target.execute(&statements::bury(table, keys), &all).await.map(drop)
}

async fn write(
    target: &mut Target,
    table: &CatalogTable,
    statement: &str,
    columns: &[String],
    events: &[&Event],
) -> Result<(), Failure> {
    if events.is_empty() {
        return Ok(());
    }
    let arrays = value_arrays(table, columns, events)?;
    target.execute(statement, &parameters(&arrays)).await?;
    Ok(())
}

/// Writes the loser down: when, which table and key, what won and what lost, with their versions.
async fn record(
    target: &mut Target,
    topic: &str,
    table: &CatalogTable,
    keys: Keys,
    event: &Event,
    local: Local,
    (conflict, action): (Conflict, Action),
) -> Result<(), Failure> {
    let arrays = key_arrays(table, keys, &[event])?;
    let rows = target
        .query(&statements::row_json(table, keys), &parameters(&arrays))
        .await?;
    let (key, here): (String, Option<String>) = rows.first().map(|row| (row.get(0), row.get(1))).unwrap_or_default();
    let current = synccluster_merge::current(local).map_or(Version(0), |(version, _)| version);
    let there = (event.row(table), event.version());
    let (winner, loser) = if action == Action::Apply {
        (there, (here, current))
    } else {
        ((here, current), there)
    };
    let policy = if matches!(conflict, Conflict::UpdateDelete | Conflict::DeleteUpdate) {
        "ByVersion"
    } else {
        "LastWriterWins"
    };
    park::conflict(
        target,
        topic,
        &table.name,
        &key,
        (conflict.name(), policy),
        winner,
        loser,
    )
    .await?;
    Ok(())
}

/// One array of texts for each column of the key (or one of jsonb), in the order of the events.
pub fn key_arrays(
    table: &CatalogTable,
    keys: Keys,
    events: &[&Event],
) -> Result<Vec<Vec<Option<String>>>, DecodeError> {
    match keys {
        Keys::Columns => value_arrays(table, &table.key, events),
        Keys::Json => Ok(vec![
            events
                .iter()
                .map(|event| match &event.content {
                    Content::Tombstone(key) => Some(key.clone()),
                    Content::Row(_) => None,
                })
                .collect(),
        ]),
    }
}

/// One array of texts for each column, in the order of the events.
pub fn value_arrays(
    table: &CatalogTable,
    columns: &[String],
    events: &[&Event],
) -> Result<Vec<Vec<Option<String>>>, DecodeError> {
    let value = |event: &Event, column: &String| match (&event.content, table.column(column)) {
        (Content::Row(row), Some(known)) => event.text(known, row.get(column).unwrap_or(&Value::Null)),
        _ => Ok(None),
    };
    columns
        .iter()
        .map(|column| events.iter().map(|event| value(event, column)).collect())
        .collect()
}

/// As the parameters of a statement.
pub fn parameters<T: tokio_postgres::types::ToSql + Sync>(arrays: &[T]) -> Vec<Parameter<'_>> {
    arrays.iter().map(|array| array as Parameter<'_>).collect()
}
