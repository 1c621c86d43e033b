//! What a record asks for. Pure.

use serde_json::Value;
use synccluster_merge::{Incoming, Kind, Unseen};
use synccluster_protocol::{
    Version,
    codec::{self, DecodeError, debezium::decode_sent, unavailable::is_unavailable},
    event::{Envelope, Marker, Op, PARENT_COLUMN, Row, TOMBSTONES, TableName, VERSION_COLUMN, version_in},
};
use synccluster_runtime::catalog::{CatalogTable, Column};

/// A change of one key of one table.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The table it is about.
    pub table: TableName,
    /// Row or tombstone, with its version.
    pub incoming: Incoming,
    /// What it carries.
    pub content: Content,
    /// The record as it came, for `sync.parked`.
    pub raw: String,
    /// Where its transaction is in the source's WAL.
    pub place: Place,
    /// Its values have Debezium's form.
    pub of_debezium: bool,
}

/// Where a transaction is in its source's WAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Its commit, or the position of the snapshot.
    At(u64),
    /// Behind the end of the commit before it, if that is known: an event of Debezium's says no more. The end of its own commit comes with its last record.
    Behind(Option<u64>),
}

/// What an event carries.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// The row; a column whose value the source could not tell is left out.
    Row(Row),
    /// The key as jsonb text, as the source's trigger wrote it.
    Tombstone(String),
}

/// A record that is no change event of an enrolled table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not Debezium's envelope.
    #[error("the record is no change event: {0}")]
    Envelope(String),
    /// No `sync_version`.
    #[error("the row of {0} has no {VERSION_COLUMN}: enrol the table at its source")]
    NoVersion(TableName),
    /// A tombstone row that lacks something.
    #[error("a row of sync.tombstones lacks its {0}")]
    Tombstone(&'static str),
}

/// Reads a beginning or an end of a transaction.
pub fn marker(raw: &str) -> Option<Marker> {
    serde_json::from_str(raw).ok()
}

/// Reads a value. `None`: nothing to apply (a delete's bare WAL event; the versioned delete is the tombstone row beside it; a marker).
pub fn parse(raw: &str) -> Result<Option<Event>, Error> {
    let envelope: Envelope = match serde_json::from_str(raw) {
        Ok(envelope) => envelope,
        Err(_) if marker(raw).is_some() => return Ok(None),
        Err(error) => return Err(Error::Envelope(error.to_string())),
    };
    let of_debezium = envelope.source.is_debezium();
    let place = if envelope.source.is_incremental() {
        Place::Behind(None)
    } else if of_debezium && envelope.op != Op::Read {
        Place::Behind(envelope.source.commit_before())
    } else {
        Place::At(envelope.source.lsn.unwrap_or_default())
    };
    let name = TableName::new(envelope.source.schema, envelope.source.table);
    let (Some(mut after), Op::Create | Op::Update | Op::Read) = (envelope.after, envelope.op) else {
        return Ok(None);
    };
    let resent = envelope.op == Op::Read;
    if (name.schema.as_str(), name.table.as_str()) == TOMBSTONES {
        let text = |column| after.get(column).and_then(Value::as_str);
        let table = text("relation")
            .and_then(TableName::parse)
            .ok_or(Error::Tombstone("relation"))?;
        let key = text("key").ok_or(Error::Tombstone("key"))?.to_owned();
        let version = version_in(&after, "version").ok_or(Error::Tombstone("version"))?;
        let incoming = Incoming {
            kind: Kind::Tombstone,
            version,
            parent: version_in(&after, "parent"),
            resent,
            unseen: Unseen::Nothing,
        };
        return Ok(Some(Event {
            table,
            incoming,
            content: Content::Tombstone(key),
            raw: raw.to_owned(),
            place,
            of_debezium,
        }));
    }
    let version = version_in(&after, VERSION_COLUMN).ok_or_else(|| Error::NoVersion(name.clone()))?;
    let incoming = Incoming {
        kind: Kind::Row,
        version,
        parent: version_in(&after, PARENT_COLUMN),
        resent,
        unseen: Unseen::Nothing,
    };
    after.retain(|_, value| !is_unavailable(of_debezium, value));
    Ok(Some(Event {
        table: name,
        incoming,
        content: Content::Row(after),
        raw: raw.to_owned(),
        place,
        of_debezium,
    }))
}

impl Event {
    /// Its version.
    pub fn version(&self) -> Version {
        self.incoming.version
    }

    /// Postgres' text of one of its values; `None` is NULL.
    pub fn text(&self, column: &Column, value: &Value) -> Result<Option<String>, DecodeError> {
        decode_sent(self.of_debezium, &column.debezium, &column.kind, value)
    }

    /// The row as JSON text, for `sync.conflicts`; a tombstone has none. It is in the form of [`codec`], whichever engine sent it: nothing in the
    /// books says whose form a row has, and some of Debezium's read as another value. What cannot be read stays as it came.
    pub fn row(&self, table: &CatalogTable) -> Option<String> {
        let Content::Row(row) = &self.content else { return None };
        if !self.of_debezium {
            return serde_json::to_string(row).ok();
        }
        let ours = |name: &str, value: &Value| {
            let column = table.column(name)?;
            let text = self.text(column, value).ok()?;
            Some(text.map_or(Value::Null, |text| codec::encode(&column.kind, &text)))
        };
        let row: Row = row
            .iter()
            .map(|(name, value)| (name.clone(), ours(name, value).unwrap_or_else(|| value.clone())))
            .collect();
        serde_json::to_string(&row).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use synccluster_protocol::{
        codec::{ColumnType, debezium::Form, unavailable::UNAVAILABLE_BYTES},
        event::UNAVAILABLE_VALUE,
    };

    fn envelope(table: [&str; 2], op: &str, after: &Value) -> Result<Option<Event>, Error> {
        let raw = json!({"before": null, "after": after, "op": op, "source": {"name": "demo.client-1", "schema": table[0], "table": table[1], "lsn": 7}});
        parse(&raw.to_string())
    }

    #[test]
    fn a_row_brings_its_version_and_parent() {
        let event = envelope(
            ["public", "todos"],
            "c",
            &json!({"id": 1, "sync_version": 2048, "sync_parent": 1024}),
        )
        .unwrap()
        .unwrap();
        let expected = Incoming {
            kind: Kind::Row,
            version: Version(2048),
            parent: Some(Version(1024)),
            resent: false,
            unseen: Unseen::Nothing,
        };
        assert_eq!((event.incoming, event.place), (expected, Place::At(7)));
    }

    #[test]
    fn a_tombstone_row_is_a_delete_of_the_table_it_names() {
        let after = json!({"relation": "public.todos", "key": "{\"id\": 1}", "version": 9, "parent": null});
        let event = envelope(["sync", "tombstones"], "u", &after).unwrap().unwrap();
        assert_eq!(event.table, TableName::new("public", "todos"));
        assert_eq!(event.content, Content::Tombstone("{\"id\": 1}".to_owned()));
    }

    #[test]
    fn an_event_of_debeziums_is_placed_by_the_commit_before_it() {
        let of = |sequence: &str, op: &str| {
            let source = json!({"version": "3.7.0.Final", "name": "demo.client-1", "schema": "public", "table": "todos", "lsn": 90, "sequence": sequence});
            let raw = json!({"after": {"id": 1, "sync_version": 2048}, "op": op, "source": source}).to_string();
            let event = parse(&raw).unwrap().unwrap();
            assert!(event.of_debezium);
            event.place
        };
        assert_eq!(of(r#"["70","90"]"#, "c"), Place::Behind(Some(70)));
        assert_eq!(of(r#"[null,"90"]"#, "c"), Place::Behind(None));
        assert_eq!(of(r#"[null,"90"]"#, "r"), Place::At(90));
    }

    #[test]
    fn a_row_that_was_read_while_streaming_went_on_moves_no_place() {
        for version in ["3.7.0.Final", "0.1.0"] {
            let source = json!({"version": version, "name": "demo.client-1", "schema": "public", "table": "todos", "lsn": 90, "snapshot": "incremental"});
            let raw = json!({"after": {"id": 1, "sync_version": 2048}, "op": "r", "source": source}).to_string();
            let event = parse(&raw).unwrap().unwrap();
            assert!(event.incoming.resent && event.place == Place::Behind(None), "{version}");
        }
    }

    #[test]
    fn where_a_transaction_of_debeziums_begins_and_ends_changes_nothing() {
        let of = |status: &str| {
            json!({"status": status, "id": "743:26217536", "event_count": 2, "data_collections": []}).to_string()
        };
        assert_eq!(parse(&of("BEGIN")), Ok(None));
        assert_eq!(parse(&of("END")), Ok(None));
        assert_eq!(marker(&of("END")).unwrap().commit_end(), Some(26_217_536));
        assert_eq!(marker(&of("BEGIN")).unwrap().commit_end(), None);
    }

    #[test]
    fn a_row_stands_in_the_books_as_we_write_it_whoever_sent_it() {
        let columns = [
            ("id", ColumnType::Integer, Form::Same),
            ("flags", ColumnType::Text, Form::Bits(3)),
            ("due", ColumnType::Date, Form::Date),
            ("at", ColumnType::Time, Form::Same),
            ("price", ColumnType::Text, Form::Money),
            ("place", ColumnType::Text, Form::Point),
            ("words", ColumnType::Text, Form::Opaque),
            ("share", ColumnType::Text, Form::Numeric),
            ("photo", ColumnType::Bytes, Form::Same),
            ("wrong", ColumnType::Text, Form::Point),
        ];
        let columns = columns.map(|(name, kind, form)| Column {
            name: name.to_owned(),
            kind,
            sql_type: name.to_owned(),
            debezium: Ok(form),
        });
        let table = CatalogTable {
            name: TableName::new("public", "things"),
            columns: columns.into(),
            key: vec!["id".to_owned()],
        };
        let after = json!({"id": 7, "flags": "BQ==", "due": 2_146_033_979, "at": 123_456, "price": 12.5, "place": {"x": 1.5, "y": 2.0},
            "words": "J2ZhdCcgJiAncmF0Jw==", "share": "NAN", "photo": "AP8Q", "wrong": 1, "gone": "BQ==", "sync_version": 2048});
        let row = |version: &str| {
            let source =
                json!({"version": version, "name": "demo.client-1", "schema": "public", "table": "things", "lsn": 9});
            let raw = json!({"after": after, "op": "c", "source": source}).to_string();
            let row = parse(&raw).unwrap().unwrap().row(&table).unwrap();
            serde_json::from_str::<Value>(&row).unwrap()
        };
        assert_eq!(row("0.1.0"), after);
        let ours = json!({"id": 7, "flags": "101", "due": "infinity", "at": 123_456, "price": "12.5", "place": "(1.5,2)",
            "words": "'fat' & 'rat'", "share": "NaN", "photo": "AP8Q", "wrong": 1, "gone": "BQ==", "sync_version": 2048});
        assert_eq!(row("3.7.0.Final"), ours);
    }

    #[test]
    fn a_bare_delete_asks_for_nothing() {
        assert_eq!(envelope(["public", "todos"], "d", &Value::Null), Ok(None));
    }

    #[test]
    fn a_placeholder_for_an_unchanged_value_never_reaches_a_table() {
        let columns = |version: &str| {
            let source =
                json!({"version": version, "name": "demo.client-1", "schema": "public", "table": "todos", "lsn": 7});
            let after = json!({"id": 1, "body": UNAVAILABLE_VALUE, "photo": UNAVAILABLE_BYTES, "tags": [UNAVAILABLE_VALUE], "sync_version": 2048});
            let raw = json!({"after": after, "op": "u", "source": source}).to_string();
            let Content::Row(row) = parse(&raw).unwrap().unwrap().content else {
                panic!("no row")
            };
            row.keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!(columns("3.7.0.Final"), ["id", "sync_version"]);
        // Our own has one form: who sends another has such a value.
        assert_eq!(columns("0.1.0"), ["id", "photo", "tags", "sync_version"]);
    }

    #[test]
    fn a_row_without_a_version_is_refused_by_name() {
        let error = envelope(["public", "todos"], "c", &json!({"id": 1})).unwrap_err();
        assert!(error.to_string().contains("public.todos"));
    }
}
