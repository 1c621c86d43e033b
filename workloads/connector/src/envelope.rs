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
    /// The value has only the row's key and version, because the row has so many bytes.
    pub left_out: Option<usize>,
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
    let left_out = change.too_large();
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
            let whole = row_length(None, &new) + old.as_deref().map_or(0, |old| row_length(None, old)) < NO_RECORD_FROM;
            let (old, new) = if whole {
                let old = old.map(|old| row(table, &old, None)).transpose()?;
                let new = row(table, &new, old.as_ref())?;
                (old, new)
            } else {
                let new = row_or_essence(table, &filled(new, old.as_deref()))?;
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
        left_out: too_large(None, values),
    })
}

impl Change {
    /// The bytes of the new row, if no record is made of it.
    fn too_large(&self) -> Option<usize> {
        match self {
            Self::Insert(new) => too_large(None, new),
            Self::Update(old, new) => too_large(old.as_deref(), new),
            Self::Delete(_) => None,
        }
    }
}

fn too_large(old: Option<&[Datum]>, new: &[Datum]) -> Option<usize> {
    Some(row_length(old, new)).filter(|&all| all >= NO_RECORD_FROM)
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
    if too_large(None, values).is_some() {
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
        // Of a row of which no record is made.
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
mod tests {
    use super::*;

    fn todos() -> Table {
        Table {
            name: TableName::new("public", "todos"),
            columns: vec![("id".into(), ColumnType::Integer), ("title".into(), ColumnType::Text)],
            generated: vec![],
            key: vec!["id".into()],
        }
    }

    fn origin() -> Origin {
        Origin {
            topic: "demo.client-1".into(),
            database: "app".into(),
        }
    }

    fn datums(id: &str, title: Datum) -> Vec<Datum> {
        vec![Datum::Text(id.into()), title]
    }

    fn text(text: &str) -> Datum {
        Datum::Text(text.into())
    }

    fn value(record: &Record) -> Value {
        record
            .value
            .as_deref()
            .map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
    }

    fn of(change: Change) -> Vec<Record> {
        let mut open = Open::new(700, Lsn(0x20), 0);
        records(&origin(), &todos(), &mut open, change, 5).unwrap()
    }

    #[test]
    fn an_insert_is_debeziums_create() {
        let records = of(Change::Insert(datums("7", text("milk"))));
        assert_eq!(
            records[0].key,
            r#"{"id":7,"__dbz__physicalTableIdentifier":"demo.client-1.public.todos"}"#
        );
        let value = value(&records[0]);
        assert_eq!((&value["op"], &value["before"]), (&json!("c"), &Value::Null));
        assert_eq!(value["after"], json!({"id": 7, "title": "milk"}));
        assert_eq!(
            value["transaction"],
            json!({"id": "700:32", "total_order": 1, "data_collection_order": 1})
        );
        assert_eq!(
            (&value["source"]["txId"], &value["source"]["lsn"]),
            (&json!(700), &json!(32))
        );
        assert_eq!(value["source"]["ts_us"], json!(POSTGRES_EPOCH_MICROS));
    }

    #[test]
    fn a_delete_is_followed_by_kafkas_tombstone() {
        let records = of(Change::Delete(datums("7", text("milk"))));
        assert_eq!(records.len(), 2);
        assert_eq!(records[0].key, records[1].key);
        assert_eq!(records[1].value, None);
    }

    #[test]
    fn a_changed_key_is_a_delete_and_an_insert() {
        let records = of(Change::Update(
            Some(datums("7", text("milk"))),
            datums("8", text("milk")),
        ));
        let ops: Vec<_> = records.iter().map(|record| value(record)["op"].clone()).collect();
        assert_eq!(ops, [json!("d"), Value::Null, json!("c")]);
    }

    #[test]
    fn a_toasted_value_that_did_not_change_comes_from_the_row_before() {
        let change = Change::Update(Some(datums("7", text("long"))), datums("7", Datum::Unchanged));
        assert_eq!(value(&of(change)[0])["after"]["title"], json!("long"));
        let change = Change::Update(None, datums("7", Datum::Unchanged));
        assert_eq!(value(&of(change)[0])["after"]["title"], json!(UNAVAILABLE_VALUE));
    }

    #[test]
    fn no_record_is_made_of_a_row_that_is_too_large_for_certain() {
        let large = || text(&"x".repeat(NO_RECORD_FROM));
        let inserted = of(Change::Insert(datums("7", large())));
        assert!(inserted[0].left_out.is_some_and(|bytes| bytes > NO_RECORD_FROM));
        assert_eq!(value(&inserted[0])["after"], json!({"id": 7}));
        let updated = of(Change::Update(
            Some(datums("7", large())),
            datums("7", Datum::Unchanged),
        ));
        assert_eq!((updated[0].left_out, updated.len()), (inserted[0].left_out, 1));

        // What replaces it fits, and so does its delete.
        let smaller = of(Change::Update(Some(datums("7", large())), datums("7", text("x"))));
        assert_eq!(smaller[0].left_out, None);
        let value_of = value(&smaller[0]);
        assert_eq!(
            (&value_of["before"], &value_of["after"]),
            (&Value::Null, &json!({"id": 7, "title": "x"}))
        );
        let moved = of(Change::Update(Some(datums("7", large())), datums("8", text("x"))));
        assert_eq!(value(&moved[0])["before"], json!({"id": 7}));
        let deleted = of(Change::Delete(datums("7", large())));
        assert_eq!((deleted[0].left_out, deleted.len()), (None, 2));
        assert_eq!(value(&deleted[0])["before"], json!({"id": 7}));
    }

    #[test]
    fn a_row_of_another_width_is_an_error() {
        let mut open = Open::new(1, Lsn(1), 0);
        assert!(records(&origin(), &todos(), &mut open, Change::Insert(vec![Datum::Null]), 0).is_err());
    }
}
