//! What a Debezium envelope says.

use serde_json::{Map, Value};
use synccluster_protocol::{
    codec::{debezium::is_version, unavailable::is_unavailable},
    event::{PARENT_COLUMN, VERSION_COLUMN},
};

/// A change, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `c`, `u`, `d`, `r`; what else Debezium has is passed on.
    pub op: String,
    /// `schema.table`.
    pub table: Option<String>,
    /// The columns that differ before and after, where both are there.
    pub changed: Option<Vec<String>>,
}

impl Change {
    /// From the value of a record, if it is an envelope.
    pub fn read(value: &Value) -> Option<Self> {
        let envelope = payload(value)?;
        let op = envelope.get("op")?.as_str()?.to_owned();
        let row = |name| envelope.get(name).and_then(Value::as_object);
        let version = envelope
            .get("source")
            .and_then(|source| source.get("version")?.as_str());
        let of_debezium = version.is_some_and(is_version);
        Some(Self {
            op,
            table: envelope.get("source").and_then(table),
            changed: row("before")
                .zip(row("after"))
                .map(|(before, after)| changed(before, after, of_debezium)),
        })
    }
}

/// The envelope, with Debezium's schema beside it or without.
pub fn payload(value: &Value) -> Option<&Map<String, Value>> {
    let outer = value.as_object()?;
    let inner = outer.get("payload").and_then(Value::as_object);
    Some(inner.filter(|_| outer.contains_key("schema")).unwrap_or(outer))
}

fn table(source: &Value) -> Option<String> {
    let text = |name| source.get(name).and_then(Value::as_str);
    Some(format!("{}.{}", text("schema")?, text("table")?))
}

/// In the order of the row after, then what it has no more. Versions differ in every write and are left out, and so is a value that was too
/// large to be sent again: it did not change.
fn changed(before: &Map<String, Value>, after: &Map<String, Value>, of_debezium: bool) -> Vec<String> {
    let differs =
        |(name, value): &(&String, &Value)| before.get(*name) != Some(*value) && !is_unavailable(of_debezium, value);
    let now = after.iter().filter(differs).map(|(name, _)| name);
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    let counts = |name: &&String| *name != VERSION_COLUMN && *name != PARENT_COLUMN;
    now.chain(gone).filter(counts).cloned().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use synccluster_protocol::{codec::unavailable::UNAVAILABLE_BYTES, event::UNAVAILABLE_VALUE};

    use super::*;

    fn update() -> Value {
        json!({
            "before": {"id": 1, "title": "old", "done": false, "sync_version": 5, "sync_parent": null},
            "after": {"id": 1, "title": "new", "done": false, "sync_version": 9, "sync_parent": 5},
            "source": {"schema": "public", "table": "todos"},
            "op": "u",
        })
    }

    #[test]
    fn an_update_says_which_columns_differ() {
        let expected = Change {
            op: "u".to_owned(),
            table: Some("public.todos".to_owned()),
            changed: Some(vec!["title".to_owned()]),
        };
        assert_eq!(Change::read(&update()), Some(expected.clone()));
        let with_schema = json!({"schema": {"type": "struct"}, "payload": update()});
        assert_eq!(Change::read(&with_schema), Some(expected));
    }

    #[test]
    fn columns_that_come_and_go_differ_and_a_value_that_was_not_sent_again_does_not() {
        let mut update = update();
        update["before"] = json!({"id": 1, "gone": 1, "body": "long"});
        update["after"] = json!({"id": 1, "come": null, "body": UNAVAILABLE_VALUE});
        let changed = |update: &Value| Change::read(update).unwrap().changed.unwrap();
        assert_eq!(changed(&update), ["come", "gone"]);
        update["after"]["body"] = json!(UNAVAILABLE_BYTES);
        assert_eq!(changed(&update), ["come", "body", "gone"]);
        update["source"]["version"] = json!("3.7.0.Final");
        assert_eq!(changed(&update), ["come", "gone"]);
    }

    #[test]
    fn an_insert_and_a_delete_have_no_difference() {
        for (op, missing) in [("c", "before"), ("r", "before"), ("d", "after")] {
            let mut event = update();
            event["op"] = json!(op);
            event[missing] = Value::Null;
            let change = Change::read(&event).unwrap();
            assert_eq!((change.op.as_str(), change.changed), (op, None));
        }
    }

    #[test]
    fn what_is_no_envelope_is_none() {
        for value in [
            json!(1),
            json!([]),
            json!({}),
            json!({"op": 1}),
            json!({"schema": 1, "payload": {"a": 1}}),
        ] {
            assert_eq!(Change::read(&value), None, "{value}");
        }
        let odd = json!({"op": "m", "source": {"schema": "public"}});
        assert_eq!(Change::read(&odd).unwrap().table, None);
    }
}
