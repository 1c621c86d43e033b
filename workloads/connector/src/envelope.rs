//! Changes to Debezium's records. Pure: the time is an argument.

use std::collections::HashMap;

use serde_json::{Value, json};
use synccluster_protocol::{
    Lsn,
    codec::{self, ColumnType},
    event::{
        self, Envelope, Op, PARENT_COLUMN, Row, Source, TableName, Transaction, UNAVAILABLE_VALUE, VERSION_COLUMN,
    },
};

use synccluster_replication::{
    large::LARGE_ROW,
    pgoutput::{Datum, row_length},
    relations::Table,
    transport::POSTGRES_EPOCH_MICROS,
};

use crate::producer::LARGEST;

/// Postgres' text of a row from which on no record is made of it: it would be too large for certain, since JSON has at least two thirds of it
/// (bytea is base64 there and hexadecimal in Postgres' text), and a connector is small.
pub const NO_RECORD_FROM: usize = LARGEST / 2 * 3;
// What the stream leaves out is of rows of which no record is made.
const _: () = assert!(NO_RECORD_FROM <= LARGE_ROW);

/// A record for the topic, as JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The key.
    pub key: String,
    /// The value; `None` is Kafka's tombstone after a delete.
    pub value: Option<String>,
    /// The value has only the row's key and version: the row has so many bytes, or what came of it was not all of it.
    pub left_out: Option<LeftOut>,
}

/// Why a record has not its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// The row has so many bytes.
    TooLarge(usize),
    /// The change left a value alone that the message has not either: the row was so large before. Its table has it.
    Elsewhere(usize),
}

impl LeftOut {
    /// The row's bytes.
    pub fn bytes(self) -> usize {
        match self {
            Self::TooLarge(bytes) | Self::Elsewhere(bytes) => bytes,
        }
    }
}

impl Record {
    /// Its bytes.
    pub fn size(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, String::len)
    }
}

/// Where the events come from; the same for all of a connector.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The topic, which is Debezium's logical name too.
    pub topic: String,
    /// The database.
    pub database: String,
}

/// The transaction whose changes are being read.
#[derive(Clone, Debug)]
pub struct Open {
    id: String,
    xid: u32,
    commit: Lsn,
    at_micros: i64,
    origin: Option<String>,
    events: u64,
    by_table: HashMap<TableName, u64>,
}

impl Open {
    /// From a `Begin`; `at` is in microseconds since 2000-01-01, as pgoutput has it.
    pub fn new(xid: u32, commit: Lsn, at: i64) -> Self {
        let at_micros = at + POSTGRES_EPOCH_MICROS;
        Self {
            id: event::transaction_id(xid, commit),
            xid,
            commit,
            at_micros,
            origin: None,
            events: 0,
            by_table: HashMap::new(),
        }
    }

    /// It was made at another site.
    pub fn from_site(&mut self, origin: String) {
        self.origin = Some(origin);
    }

    /// Events so far.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Says that the transaction ends, where its last event is not sent: in Debezium's words (`provide.transaction.metadata`).
    pub fn end(&self, now_millis: i64) -> Record {
        let value = json!({"status": "END", "id": self.id, "event_count": self.events, "data_collections": null, "ts_ms": now_millis});
        Record {
            key: json!({ "id": self.id }).to_string(),
            value: Some(value.to_string()),
            left_out: None,
        }
    }
}

/// A row of the stream that does not fit its table's description.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a row of {table} has {got} columns where its description has {expected}")]
pub struct WidthError {
    table: TableName,
    got: usize,
    expected: usize,
}

/// A change of one row.
pub enum Change {
    /// Inserted.
    Insert(Vec<Datum>),
    /// Updated, with the whole row before.
    Update(Option<Vec<Datum>>, Vec<Datum>),
    /// Deleted, with the whole row before.
    Delete(Vec<Datum>),
}

/// The records of a change. A changed key is a delete and an insert, as Debezium has it.
pub fn records(
    origin: &Origin,
    table: &Table,
    open: &mut Open,
    change: Change,
    now_millis: i64,
) -> Result<Vec<Record>, WidthError> {
    let mut out = Vec::with_capacity(1);
    let left_out = change.left_out();
    let mut emit = |op: Op, before: Option<Row>, after: Option<Row>, keyed_by: &Row| {
        open.events += 1;
        let of_table = open.by_table.entry(table.name.clone()).or_default();
        *of_table += 1;
        let transaction = Transaction {
            id: open.id.clone(),
            total_order: open.events,
            data_collection_order: *of_table,
        };
        let key = key_text(origin, table, keyed_by);
        let source = source(
            origin,
            table,
            open.at_micros,
            open.commit,
            Some(open.xid),
            open.origin.clone(),
            "false",
        );
        let envelope = Envelope {
            before,
            after,
            source,
            op,
            ts_ms: Some(now_millis),
            transaction: Some(transaction),
        };
        out.push(Record {
            key: key.clone(),
            value: Some(text(&envelope)),
            left_out: left_out.filter(|_| op != Op::Delete),
        });
        if op == Op::Delete {
            out.push(Record {
                key,
                value: None,
                left_out: None,
            });
        }
    };
    match change {
        Change::Insert(new) => {
            let new = row_or_essence(table, &new)?;
            emit(Op::Create, None, Some(new.clone()), &new);
        }
        Change::Delete(old) => {
            let old = row_or_essence(table, &old)?;
            emit(Op::Delete, Some(old.clone()), None, &old);
        }
        Change::Update(old, new) => {
            let whole = left_out.is_none()
                && row_length(None, &new) + old.as_deref().map_or(0, |old| row_length(None, old)) < NO_RECORD_FROM;
            let (old, new) = if whole {
                let old = old.map(|old| row(table, &old, None)).transpose()?;
                let new = row(table, &new, old.as_ref())?;
                (old, new)
            } else {
                let new = filled(new, old.as_deref());
                let new = if left_out.is_some() {
                    essence(table, &new)?
                } else {
                    row(table, &new, None)?
                };
                (old.map(|old| essence(table, &old)).transpose()?, new)
            };
            match old {
                Some(old) if table.key.iter().any(|column| old.get(column) != new.get(column)) => {
                    emit(Op::Delete, Some(old.clone()), None, &old);
                    emit(Op::Create, None, Some(new.clone()), &new);
                }
                old => emit(Op::Update, old.filter(|_| whole), Some(new.clone()), &new),
            }
        }
    }
    Ok(out)
}

/// The record of a row that a snapshot read at `lsn`; `snapshot` is what `source.snapshot` says.
pub fn snapshot_record(
    origin: &Origin,
    table: &Table,
    values: &[Datum],
    lsn: Lsn,
    now_millis: i64,
    snapshot: &str,
) -> Result<Record, WidthError> {
    let after = row_or_essence(table, values)?;
    let key = key_text(origin, table, &after);
    let source = source(origin, table, now_millis * 1000, lsn, None, None, snapshot);
    let envelope = Envelope {
        before: None,
        after: Some(after),
        source,
        op: Op::Read,
        ts_ms: Some(now_millis),
        transaction: None,
    };
    Ok(Record {
        key,
        value: Some(text(&envelope)),
        left_out: left_out(None, values),
    })
}

impl Change {
    /// Whether no record is made of the new row.
    fn left_out(&self) -> Option<LeftOut> {
        match self {
            Self::Insert(new) => left_out(None, new),
            Self::Update(old, new) => left_out(old.as_deref(), new),
            Self::Delete(_) => None,
        }
    }
}

fn left_out(old: Option<&[Datum]>, new: &[Datum]) -> Option<LeftOut> {
    let all = row_length(old, new);
    if all >= NO_RECORD_FROM {
        return Some(LeftOut::TooLarge(all));
    }
    let mut unchanged = new.iter().zip(old.into_iter().flatten());
    let lacks = unchanged.any(|(new, old)| *new == Datum::Unchanged && matches!(old, Datum::LeftOut(_)));
    lacks.then_some(LeftOut::Elsewhere(all))
}

/// With what the update left alone.
fn filled(mut new: Vec<Datum>, old: Option<&[Datum]>) -> Vec<Datum> {
    for (value, before) in new.iter_mut().zip(old.into_iter().flatten()) {
        if *value == Datum::Unchanged {
            value.clone_from(before);
        }
    }
    new
}

fn row_or_essence(table: &Table, values: &[Datum]) -> Result<Row, WidthError> {
    if left_out(None, values).is_some() {
        essence(table, values)
    } else {
        row(table, values, None)
    }
}

/// Which row it is, in which version.
fn essence(table: &Table, values: &[Datum]) -> Result<Row, WidthError> {
    let kept = |name: &String| table.key.contains(name) || [VERSION_COLUMN, PARENT_COLUMN].contains(&name.as_str());
    let values: Vec<Datum> = (table.columns.iter().zip(values))
        .map(|((name, _), value)| if kept(name) { value.clone() } else { Datum::Null })
        .collect();
    let mut row = row(table, &values, None)?;
    row.retain(|name, _| kept(name));
    Ok(row)
}

/// The values by name; a TOASTed value that the update left alone is taken from the row before.
fn row(table: &Table, values: &[Datum], before: Option<&Row>) -> Result<Row, WidthError> {
    if values.len() != table.columns.len() {
        return Err(WidthError {
            table: table.name.clone(),
            got: values.len(),
            expected: table.columns.len(),
        });
    }
    let json = |(name, kind): &(String, ColumnType), value: &Datum| match value {
        Datum::Null => Value::Null,
        Datum::Text(text) => codec::encode(kind, text),
        // Of a row of which no record is made, or of the row before.
        Datum::LeftOut(_) => UNAVAILABLE_VALUE.into(),
        Datum::Unchanged => before
            .and_then(|row| row.get(name))
            .cloned()
            .unwrap_or_else(|| UNAVAILABLE_VALUE.into()),
    };
    Ok(table
        .columns
        .iter()
        .zip(values)
        .filter(|((name, _), _)| !table.generated.contains(name))
        .map(|(column, value)| (column.0.clone(), json(column, value)))
        .collect())
}

fn key_text(origin: &Origin, table: &Table, row: &Row) -> String {
    let columns: Vec<&str> = table.key.iter().map(String::as_str).collect();
    Value::Object(event::key(&origin.topic, &table.name, &columns, row)).to_string()
}

fn text(envelope: &Envelope) -> String {
    json!(envelope).to_string()
}

fn source(
    origin: &Origin,
    table: &Table,
    at_micros: i64,
    lsn: Lsn,
    xid: Option<u32>,
    from: Option<String>,
    snapshot: &str,
) -> Source {
    Source {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        connector: "postgresql".to_owned(),
        name: origin.topic.clone(),
        ts_ms: at_micros / 1000,
        ts_us: at_micros,
        ts_ns: at_micros.saturating_mul(1000),
        snapshot: Some(snapshot.to_owned()),
        db: origin.database.clone(),
        sequence: Some(format!("[\"{}\",\"{}\"]", lsn.0, lsn.0)),
        schema: table.name.schema.clone(),
        table: table.name.table.clone(),
        tx_id: xid.map(i64::from),
        lsn: Some(lsn.0),
        origin: from,
    }
}

#[cfg(test)]
mod tests;
