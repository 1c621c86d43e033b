//! Applies source transactions to the target: one transaction of the target, with the progress in it.
//!
//! Local writers race this. For a key that has a row, the row is locked before it is judged. For a key that has none, the insert takes
//! nothing that is there (`on conflict do nothing`), and afterwards the key is looked at once more: while our row is uncommitted nobody
//! else can insert the key, so a tombstone or another row seen then was there first, and the event is judged again.

use std::collections::BTreeMap;

use serde_json::Value;
use synccluster_merge::{Action, Conflict, Decision, Local, decide};
use synccluster_protocol::{
    Site, Version,
    codec::{self, DecodeError},
    event::TableName,
};
use synccluster_runtime::{catalog::CatalogTable, clock::now_micros, postgres};

use crate::{
    assemble::{Record, SourceTransaction},
    event::{self, Content, Event},
    park,
    rounds::{self, Group},
    settle,
    statements::{self, Keys},
    target::{Parameter, Target},
};

/// How often an event is judged again because somebody else was faster.
const RACES: usize = 5;
/// Records read and applied in one go.
const PIECE: usize = 500;

/// Why a batch was not applied; all of it is tried again.
pub type Error = tokio_postgres::Error;

/// Some of a topic's transactions, oldest first.
pub struct Batch<'a> {
    /// The topic.
    pub topic: &'a str,
    /// Whose topic it is.
    pub source: Site,
    /// Its transactions.
    pub transactions: &'a [SourceTransaction],
    /// The highest commit of the source seen before; what is not above it was sent twice.
    pub seen_lsn: i64,
}

/// What an event could not be written for.
enum Failure {
    /// The event itself: it is parked with this reason.
    Event(String),
    /// The connection, or somebody else's lock: the batch is tried again.
    Batch(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        // Errors of the data have an SQLSTATE of class 22, 23, 42 or are raised by a trigger or constraint; the rest is not the event's fault.
        let of_data = error
            .code()
            .is_some_and(|code| ["22", "23", "42", "P0", "54"].contains(&&code.code()[..2]));
        if of_data && !postgres::is_transient(&error) {
            Self::Event(postgres::describe(&error))
        } else {
            Self::Batch(error)
        }
    }
}

/// Applies a batch whole or not at all; returns the highest commit seen.
pub async fn apply(target: &mut Target, batch: &Batch<'_>) -> Result<i64, Error> {
    target.set_origin(batch.source).await?;
    target.execute_batch("begin").await?;
    match in_transaction(target, batch).await {
        Ok(lsn) => target.execute_batch("commit").await.map(|()| lsn),
        Err(error) => {
            // The statement that failed has ended the transaction already; what is wrong now is said by `error`.
            let _ = target.execute_batch("rollback").await;
            Err(error)
        }
    }
}

async fn in_transaction(target: &mut Target, batch: &Batch<'_>) -> Result<i64, Error> {
    let mut lsn = batch.seen_lsn;
    let mut seen = batch.seen_lsn;
    let records: Vec<&Record> = batch
        .transactions
        .iter()
        .flat_map(|transaction| &transaction.records)
        .collect();
    // Read in pieces: as rows and parameters a large transaction is many times what its records are.
    for piece in records.chunks(PIECE) {
        let mut events = Vec::with_capacity(piece.len());
        for record in piece {
            match event::parse(&record.raw) {
                Ok(Some(mut event)) => {
                    let at = i64::try_from(event.lsn).unwrap_or(i64::MAX);
                    if event.incoming.resent {
                        // A snapshot: the slot is a new one, perhaps of a new database, whose positions begin anew.
                        (seen, lsn) = (at, at);
                    }
                    event.incoming.resent |= at <= seen;
                    lsn = lsn.max(at);
                    events.push(event);
                }
                Ok(None) => {}
                Err(error) => park::park(target, batch.topic, "", &record.raw, &error.to_string()).await?,
            }
        }
        apply_events(target, batch.topic, &events).await?;
    }
    if let Some(last) = batch.transactions.last() {
        let progress = "insert into sync.progress as p (topic, partition, \"offset\", lsn) values ($1, 0, $2, $3)
                        on conflict (topic, partition) do update set \"offset\" = excluded.\"offset\", lsn = excluded.lsn";
        target
            .execute(progress, &[&batch.topic, &last.next_offset, &lsn])
            .await?;
    }
    Ok(lsn)
}

/// Applies events inside a transaction; what cannot be applied is parked.
pub async fn apply_events(target: &mut Target, topic: &str, events: &[Event]) -> Result<(), Error> {
    let mut keys: BTreeMap<TableName, Vec<String>> = BTreeMap::new();
    for event in events {
        if !keys.contains_key(&event.table) {
            let table = target.table(&event.table).await?;
            keys.insert(event.table.clone(), table.map(|table| table.key).unwrap_or_default());
        }
    }
    for round in rounds::divide(events, &keys) {
        for (group, indexes) in round {
            let of_group: Vec<&Event> = indexes.iter().filter_map(|&index| events.get(index)).collect();
            if let Err(failure) = try_group(target, topic, &group, &of_group).await? {
                tracing::debug!(reason = failure, events = of_group.len(), "applying one by one");
                for event in of_group {
                    one(target, topic, &group, event).await?;
                }
            }
        }
    }
    Ok(())
}

/// One event on its own: what stands in its way is settled, and if that is not possible it is parked.
async fn one(target: &mut Target, topic: &str, group: &Group, event: &Event) -> Result<(), Error> {
    if let Err(reason) = try_event(target, topic, group, event).await? {
        park::park(target, topic, &event.table.to_string(), &event.raw, &reason).await?;
    }
    Ok(())
}

/// Tries one event, and settles what stands in its way on a unique constraint. `Err` inside: why it has to be parked.
pub async fn try_event(
    target: &mut Target,
    topic: &str,
    group: &Group,
    event: &Event,
) -> Result<Result<(), String>, Error> {
    target.execute_batch("savepoint event").await?;
    match apply_group(target, topic, group, &[event]).await {
        Ok(()) => target.execute_batch("release savepoint event").await.map(Ok),
        Err(Failure::Batch(error)) => Err(error),
        Err(Failure::Event(reason)) => {
            target
                .execute_batch("rollback to savepoint event; release savepoint event")
                .await?;
            settle::unique(target, topic, event, &reason).await
        }
    }
}

async fn try_group(
    target: &mut Target,
    topic: &str,
    group: &Group,
    events: &[&Event],
) -> Result<Result<(), String>, Error> {
    target.execute_batch("savepoint round").await?;
    match apply_group(target, topic, group, events).await {
        Ok(()) => target.execute_batch("release savepoint round").await.map(Ok),
        Err(Failure::Batch(error)) => Err(error),
        Err(Failure::Event(reason)) => {
            target
                .execute_batch("rollback to savepoint round; release savepoint round")
                .await?;
            Ok(Err(reason))
        }
    }
}

async fn apply_group(target: &mut Target, topic: &str, group: &Group, events: &[&Event]) -> Result<(), Failure> {
    let Some(table) = target.table(&group.table).await? else {
        return Err(Failure::Event(format!(
            "table {} is not here or not enrolled: waiting for its migration",
            group.table
        )));
    };
    if let Some(missing) = group.columns.iter().find(|column| table.column(column).is_none()) {
        return Err(Failure::Event(format!(
            "{} has no column {missing} here: waiting for its migration",
            group.table
        )));
    }
    let mut left = events.to_vec();
    for _ in 0..RACES {
        left = round(target, topic, &table, group, &left).await?;
        if left.is_empty() {
            return Ok(());
        }
    }
    Err(Failure::Event(
        "local writers were faster five times in a row".to_owned(),
    ))
}

/// Judges and writes; returns the events that somebody else's write has made worth judging again.
async fn round<'a>(
    target: &mut Target,
    topic: &str,
    table: &CatalogTable,
    group: &Group,
    events: &[&'a Event],
) -> Result<Vec<&'a Event>, Failure> {
    let keys = if group.tombstones { Keys::Json } else { Keys::Columns };
    let of_keys = key_arrays(table, keys, events).map_err(|e| Failure::Event(e.to_string()))?;
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
        bury(
            target,
            table,
            keys,
            &applied
                .iter()
                .map(|event| (*event, event.version(), event.incoming.parent))
                .collect::<Vec<_>>(),
        )
        .await?;
        return Ok(Vec::new());
    }
    let reburied: Vec<_> = events
        .iter()
        .zip(&decisions)
        .zip(&locals)
        .filter_map(|((event, decision), local)| match decision.action {
            Action::Rebury(version) => Some((*event, version, local.tombstone)),
            _ => None,
        })
        .collect();
    bury(target, table, keys, &reburied).await?;
    let updates = chosen(&|decision, local| decision.action == Action::Apply && local.row.is_some());
    write(
        target,
        table,
        &statements::update(table, &group.columns),
        &group.columns,
        &updates,
    )
    .await?;
    let inserts = chosen(&|decision, local| decision.action == Action::Apply && local.row.is_none());
    write(
        target,
        table,
        &statements::insert(table, &group.columns),
        &group.columns,
        &inserts,
    )
    .await?;
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
    let of_keys = key_arrays(table, Keys::Columns, inserted).map_err(|e| Failure::Event(e.to_string()))?;
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
        let keys = key_arrays(table, Keys::Columns, &resurrected).map_err(|e| Failure::Event(e.to_string()))?;
        target
            .execute(&statements::delete(table, Keys::Columns), &parameters(&keys))
            .await?;
    }
    Ok(again)
}

async fn state(
    target: &mut Target,
    table: &CatalogTable,
    keys: Keys,
    arrays: &[Vec<Option<String>>],
) -> Result<Vec<Local>, Error> {
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
        })
        .collect())
}

/// Deletes the rows and writes their tombstones with these versions and parents.
pub async fn bury(
    target: &mut Target,
    table: &CatalogTable,
    keys: Keys,
    tombstones: &[(&Event, Version, Option<Version>)],
) -> Result<(), Error> {
    if tombstones.is_empty() {
        return Ok(());
    }
    let events: Vec<_> = tombstones.iter().map(|tombstone| tombstone.0).collect();
    // Their keys were read before, when their state was.
    let Ok(arrays) = key_arrays(table, keys, &events) else {
        return Ok(());
    };
    target
        .execute(&statements::delete(table, keys), &parameters(&arrays))
        .await?;
    let name = table.name.to_string();
    let versions: Vec<i64> = tombstones.iter().map(|tombstone| tombstone.1.0).collect();
    let parents: Vec<Option<i64>> = tombstones
        .iter()
        .map(|tombstone| tombstone.2.map(|parent| parent.0))
        .collect();
    let mut all = parameters(&arrays);
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
    let arrays = value_arrays(table, columns, events).map_err(|e| Failure::Event(e.to_string()))?;
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
    let arrays = key_arrays(table, keys, &[event]).map_err(|e| Failure::Event(e.to_string()))?;
    let rows = target
        .query(&statements::row_json(table, keys), &parameters(&arrays))
        .await?;
    let (key, here): (Value, Option<Value>) = rows.first().map(|row| (row.get(0), row.get(1))).unwrap_or_default();
    let current = synccluster_merge::current(local).map_or(Version(0), |(version, _)| version);
    let there = (event.row(), event.version());
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

fn value_arrays(
    table: &CatalogTable,
    columns: &[String],
    events: &[&Event],
) -> Result<Vec<Vec<Option<String>>>, DecodeError> {
    let value = |event: &Event, column: &String| match (&event.content, table.column(column)) {
        (Content::Row(row), Some(known)) => codec::decode(&known.kind, row.get(column).unwrap_or(&Value::Null)),
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
