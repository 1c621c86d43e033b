//! The rows of a change event as tables show them. Pure.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};
use synccluster_protocol::codec::debezium::is_version;
use utoipa::ToSchema;

use super::{content::make_safe, envelope::payload};
use crate::rows::catalogue::Table;

/// The enrolled table of a name, if it is known.
pub type Known = dyn Fn(&str) -> Option<Arc<Table>> + Send + Sync;

/// A row before and after a change as tables show it: the engines write some values in different forms, and this is one.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = MessageSides)]
pub struct Sides {
    /// The row before; null where none was sent.
    pub before: Option<Map<String, Value>>,
    /// The row after; null where none was sent.
    pub after: Option<Map<String, Value>>,
}

impl Sides {
    /// Of the value of a record, if it is an envelope of this table.
    pub fn read(value: &Value, table: &Table) -> Option<Self> {
        let envelope = payload(value)?;
        let version = envelope.get("source")?.get("version").and_then(Value::as_str);
        let of_debezium = version.is_some_and(is_version);
        let row = |name| -> Option<Map<String, Value>> {
            let sent = envelope.get(name)?.as_object()?.iter();
            let one = |(name, value): (&String, _)| (name.clone(), shown(table, name, value, of_debezium));
            Some(sent.map(one).collect())
        };
        Some(Self {
            before: row("before"),
            after: row("after"),
        })
    }
}

/// What is no column of the table, such as a version, stays as it came.
fn shown(table: &Table, name: &str, value: &Value, of_debezium: bool) -> Value {
    let mut shown = match table.column(name) {
        Some(column) => column.sent_shown(value, of_debezium),
        None => value.clone(),
    };
    make_safe(&mut shown);
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::rows::fixture;

    #[test]
    fn both_rows_are_shown_as_the_table_shows_them() {
        let table = fixture::table(&["id bigint key", "flags bit(3)", "day date"]);
        let value = json!({
            "before": {"id": 1, "flags": "AQ==", "day": 19_782, "sync_version": 1_791_873_402_211_840_003_i64},
            "after": {"id": i64::MAX, "flags": "BQ==", "day": null, "gone": {"x": 1}},
            "source": {"version": "3.7.0.Final", "schema": "public", "table": "things"},
            "op": "u",
        });
        let sides = Sides::read(&value, &table).unwrap();
        let expected = json!({
            "before": {"id": 1, "flags": "001", "day": "2024-02-29", "sync_version": "1791873402211840003"},
            "after": {"id": i64::MAX.to_string(), "flags": "101", "day": null, "gone": {"x": 1}},
        });
        assert_eq!(serde_json::to_value(&sides).unwrap(), expected);
        let with_schema = json!({"schema": {"type": "struct"}, "payload": value});
        assert_eq!(Sides::read(&with_schema, &table), Some(sides));
    }

    #[test]
    fn a_side_that_was_not_sent_is_null() {
        let table = fixture::table(&["id bigint key"]);
        let insert = json!({"before": null, "after": {"id": 1}, "source": {"version": "0.1.0"}, "op": "c"});
        let sides = Sides::read(&insert, &table).unwrap();
        assert_eq!(
            serde_json::to_value(sides).unwrap(),
            json!({"before": null, "after": {"id": 1}})
        );
        assert_eq!(Sides::read(&json!({"op": "c"}), &table), None);
    }
}
