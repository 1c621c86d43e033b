//! What a record of a site's topic says about its write's way. Pure; only what is needed is read of it.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Map, Value};
use synccluster_protocol::{
    Version,
    codec::{ColumnType, debezium::is_version},
    event::{Op, TABLE_IDENTIFIER, TOMBSTONES},
};

use crate::rows::{catalogue::Table, key::Key};

/// A write that is in Kafka.
#[derive(Clone, Debug, PartialEq)]
pub struct Captured {
    /// The table it is about, `public.todos`.
    pub table: String,
    /// The row's key as it came.
    pub key: RecordKey,
    /// The version it made.
    pub version: Version,
    /// When the connector read it, in milliseconds since the Unix epoch.
    pub at_millis: Option<i64>,
}

/// A key on the wire.
#[derive(Clone, Debug, PartialEq)]
pub enum RecordKey {
    /// Of a row: its columns as the engine writes them, which may be Debezium.
    Columns(Map<String, Value>, bool),
    /// Of a tombstone: the text of Postgres' jsonb.
    Json(String),
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    after: Option<After<'a>>,
    source: Source<'a>,
    op: Op,
    ts_ms: Option<i64>,
}

#[derive(Deserialize)]
struct Source<'a> {
    #[serde(borrow, default)]
    version: Cow<'a, str>,
    #[serde(borrow)]
    schema: Cow<'a, str>,
    #[serde(borrow)]
    table: Cow<'a, str>,
}

/// A table may have columns of these names with anything in them; they mean something in tombstones only.
#[derive(Deserialize)]
struct After<'a> {
    #[serde(default)]
    sync_version: Option<i64>,
    #[serde(borrow, default)]
    relation: Loose<'a>,
    #[serde(borrow, default)]
    key: Loose<'a>,
    #[serde(borrow, default)]
    version: Loose<'a>,
}

#[derive(Deserialize, Default)]
#[serde(untagged)]
enum Loose<'a> {
    Number(i64),
    #[serde(borrow)]
    Text(Cow<'a, str>),
    Other(serde::de::IgnoredAny),
    #[default]
    Absent,
}

impl Loose<'_> {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Reads a record. `None`: it is no write that is on its way, such as a row of a snapshot, a bare delete, or something that is no change event.
pub fn parse(key: &[u8], value: &[u8]) -> Option<Captured> {
    let envelope: Envelope<'_> = serde_json::from_slice(value).ok()?;
    let (Some(after), Op::Create | Op::Update) = (envelope.after, envelope.op) else {
        return None;
    };
    if (&*envelope.source.schema, &*envelope.source.table) == TOMBSTONES {
        let Loose::Number(version) = after.version else {
            return None;
        };
        return Some(Captured {
            table: after.relation.text()?.to_owned(),
            key: RecordKey::Json(after.key.text()?.to_owned()),
            version: Version(version),
            at_millis: envelope.ts_ms,
        });
    }
    let mut columns: Map<String, Value> = serde_json::from_slice(key).ok()?;
    columns.remove(TABLE_IDENTIFIER);
    Some(Captured {
        table: format!("{}.{}", envelope.source.schema, envelope.source.table),
        key: RecordKey::Columns(columns, is_version(&envelope.source.version)),
        version: Version(after.sync_version?),
        at_millis: envelope.ts_ms,
    })
}

/// The texts of a row's key, in the key's order; `None` if it is not of this table.
pub fn columns_key(table: &Table, columns: &Map<String, Value>, of_debezium: bool) -> Option<Key> {
    let part = |column: &crate::rows::catalogue::Column| column.sent(columns.get(&column.name)?, of_debezium).ok()?;
    table.key_columns().map(part).collect::<Option<_>>().map(Key)
}

/// The texts of a tombstone's key, where they can be told without Postgres: `None` where a type has another text in jsonb than in SQL, or
/// a number is more than 64 bits hold.
pub fn json_key(table: &Table, json: &str) -> Option<Key> {
    let columns: Map<String, Value> = serde_json::from_str(json).ok()?;
    let part = |column: &crate::rows::catalogue::Column| match (&column.wire, columns.get(&column.name)?) {
        (ColumnType::Text, Value::String(text)) => Some(text.clone()),
        (ColumnType::Text | ColumnType::Integer, Value::Number(number)) if !number.is_f64() => Some(number.to_string()),
        (ColumnType::Bool, Value::Bool(value)) => Some(value.to_string()),
        _ => None,
    };
    table.key_columns().map(part).collect::<Option<_>>().map(Key)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::rows::fixture;

    fn envelope(table: [&str; 2], op: &str, after: &Value) -> Option<Captured> {
        let key = json!({"id": 7, TABLE_IDENTIFIER: "demo.client-1.public.things"}).to_string();
        let value = json!({"before": null, "after": after, "op": op, "ts_ms": 9, "source": {"name": "demo.client-1", "schema": table[0], "table": table[1]}});
        parse(key.as_bytes(), value.to_string().as_bytes())
    }

    fn columns(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_row_is_known_by_table_key_and_version() {
        let after = json!({"id": 7, "title": "say \"hi\"", "sync_version": 2048});
        let captured = envelope(["public", "things"], "u", &after).unwrap();
        let expected = Captured {
            table: "public.things".into(),
            key: RecordKey::Columns(columns(&json!({"id": 7})), false),
            version: Version(2048),
            at_millis: Some(9),
        };
        assert_eq!(captured, expected);
    }

    #[test]
    fn a_tombstone_is_a_write_of_the_table_it_names() {
        let after = json!({"relation": "public.things", "key": "{\"id\": 7}", "version": 9, "parent": null});
        let captured = envelope(["sync", "tombstones"], "u", &after).unwrap();
        assert_eq!((&*captured.table, captured.version), ("public.things", Version(9)));
        assert_eq!(captured.key, RecordKey::Json("{\"id\": 7}".into()));
    }

    #[test]
    fn columns_called_like_a_tombstones_mean_nothing() {
        for odd in [json!({"a": [1]}), json!(null), json!(1.5), json!("text"), json!(true)] {
            let after = json!({"id": 7, "version": odd, "key": odd, "relation": odd, "sync_version": 2048});
            assert!(envelope(["public", "things"], "c", &after).is_some(), "{odd}");
        }
    }

    #[test]
    fn what_is_no_write_on_its_way_is_left_out() {
        assert_eq!(
            envelope(["public", "things"], "r", &json!({"id": 7, "sync_version": 1})),
            None
        );
        assert_eq!(envelope(["public", "things"], "d", &Value::Null), None);
        assert_eq!(envelope(["public", "things"], "c", &json!({"id": 7})), None);
        assert_eq!(envelope(["sync", "tombstones"], "c", &json!({"version": "x"})), None);
        for garbage in ["", "null", "[]", "{", "\u{0}"] {
            assert_eq!(parse(b"{}", garbage.as_bytes()), None);
        }
    }

    #[test]
    fn a_key_has_the_text_postgres_prints() {
        let table = fixture::table(&["id bigint key", "name text key", "yes boolean key", "day date key"]);
        let wire = columns(&json!({"id": -5, "name": "a", "yes": false, "day": 1}));
        assert_eq!(
            columns_key(&table, &wire, false).unwrap().0,
            ["-5", "a", "false", "1970-01-02"]
        );
        assert_eq!(columns_key(&table, &columns(&json!({"id": 1})), false), None);

        let table = fixture::table(&["id bigint key", "name text key", "yes boolean key"]);
        assert_eq!(
            json_key(&table, &json!(wire).to_string()).unwrap().0,
            ["-5", "a", "false"]
        );
        let dated = fixture::table(&["day date key"]);
        assert_eq!(json_key(&dated, r#"{"day": "1970-01-02"}"#), None);
        let exact = fixture::table(&["share numeric key"]);
        assert_eq!(json_key(&exact, r#"{"share": 150}"#).unwrap().0, ["150"]);
        for not_a_number_here in ["1.50", "123456789012345678901234567890"] {
            assert_eq!(json_key(&exact, &format!(r#"{{"share": {not_a_number_here}}}"#)), None);
        }
    }

    #[test]
    fn a_key_has_that_text_whichever_engine_sent_it() {
        let table = fixture::table(&["flags bit(3) key", "day date key"]);
        let of_version = |version: &str, key: &Value| {
            let source = json!({"version": version, "name": "demo.server", "schema": "public", "table": "things"});
            let value = json!({"after": {"sync_version": 2048}, "op": "c", "source": source}).to_string();
            match parse(key.to_string().as_bytes(), value.as_bytes()).unwrap().key {
                RecordKey::Columns(columns, of_debezium) => columns_key(&table, &columns, of_debezium).unwrap().0,
                RecordKey::Json(_) => panic!("no tombstone"),
            }
        };
        let text = ["101", "infinity"];
        assert_eq!(of_version("0.1.0", &json!({"flags": "101", "day": "infinity"})), text);
        assert_eq!(
            of_version("3.7.0.Final", &json!({"flags": "BQ==", "day": 2_146_033_979})),
            text
        );
    }
}
