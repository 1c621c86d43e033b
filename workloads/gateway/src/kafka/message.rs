//! A record of a topic as people see it.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    Wide,
    content::{Content, Encoding},
    envelope::Change,
    sides::{Known, Sides},
};

/// A record as Kafka gave it.
#[derive(Clone, Debug, Default)]
pub struct Record<'a> {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its time, in milliseconds since the Unix epoch.
    pub at: Option<i64>,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
    /// Its headers in order.
    pub headers: Vec<(String, Option<&'a [u8]>)>,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Message {
    /// The topic; in a tail, which may follow several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: Wide,
    /// When it was written, as its topic is set: by whoever wrote it or by the broker.
    pub at: Option<String>,
    /// Its key; what `key_encoding` says.
    pub key: Value,
    /// How the key is shown; null where there is none.
    pub key_encoding: Option<Encoding>,
    /// Its value; what `value_encoding` says. A column that is a 64-bit integer is text where a browser would round it.
    pub value: Value,
    /// How the value is shown; null where there is none.
    pub value_encoding: Option<Encoding>,
    /// Its headers in order; names may come twice.
    pub headers: Vec<Header>,
    /// Bytes of key, value and headers.
    pub size: usize,
    /// It has no value: compaction removes its key.
    pub tombstone: bool,
    /// Only the beginning of key, value or a header is shown.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// Of a change event: `c` inserted, `u` updated, `d` deleted, `r` read by a snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub op: Option<String>,
    /// Of a change event: the table, `public.todos`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// Of an update: the columns that differ before and after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed: Option<Vec<String>>,
    /// Of a change event of an enrolled table: its rows as the table shows them, whichever engine sent them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sides: Option<Sides>,
}

/// A header of a message.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = MessageHeader)]
pub struct Header {
    /// Its name.
    pub key: String,
    /// Its value; what `encoding` says.
    pub value: Value,
    /// How the value is shown; null where there is none.
    pub encoding: Option<Encoding>,
}

impl Record<'_> {
    /// Bytes of key, value and headers.
    pub fn size(&self) -> usize {
        let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        let headers = self.headers.iter().map(|(name, value)| name.len() + length(*value));
        length(self.key) + length(self.value) + headers.sum::<usize>()
    }

    /// To look at, with at most so many bytes of its value.
    pub fn show(&self, most: usize, tables: &Known) -> Message {
        let key = Content::of(self.key, most).safe();
        let value = Content::of(self.value, most);
        let change = Change::read(&value.value);
        let table = change.as_ref().and_then(|change| tables(change.table.as_deref()?));
        let sides = table.and_then(|table| Sides::read(&value.value, &table));
        let value = value.safe();
        let mut truncated = key.truncated || value.truncated;
        let headers = self.headers.iter().map(|(name, bytes)| {
            let content = Content::text(*bytes, most);
            truncated |= content.truncated;
            Header {
                key: name.clone(),
                value: content.value,
                encoding: content.encoding,
            }
        });
        let headers = headers.collect();
        let (op, table, changed) = change.map_or((None, None, None), |c| (Some(c.op), c.table, c.changed));
        Message {
            topic: None,
            partition: self.partition,
            offset: Wide(self.offset),
            at: self.at.and_then(time),
            key: key.value,
            key_encoding: key.encoding,
            value: value.value,
            value_encoding: value.encoding,
            headers,
            size: self.size(),
            tombstone: self.value.is_none(),
            truncated,
            op,
            table,
            changed,
            sides,
        }
    }
}

/// RFC 3339; Kafka's times have milliseconds.
fn time(millis: i64) -> Option<String> {
    Timestamp::from_millisecond(millis)
        .ok()
        .map(|time| format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::rows::{catalogue::Table, fixture};

    fn nothing_known(_: &str) -> Option<Arc<Table>> {
        None
    }

    #[test]
    fn a_change_event_says_what_it_is() {
        let value = br#"{"before":{"id":7,"title":"a","sync_version":1},"after":{"id":7,"title":"b","sync_version":1791873402211840003},
            "source":{"schema":"public","table":"todos"},"op":"u","ts_ms":1}"#;
        let record = Record {
            partition: 0,
            offset: 42,
            at: Some(1_769_904_000_007),
            key: Some(br#"{"id":7}"#),
            value: Some(value),
            headers: vec![
                ("sync.transaction.end".to_owned(), Some(b"3")),
                ("raw".to_owned(), Some(&[0, 255])),
                ("none".to_owned(), None),
            ],
        };
        let shown = serde_json::to_value(record.show(10_000, &nothing_known)).unwrap();
        assert_eq!(shown["offset"], "42");
        assert_eq!(shown["at"], "2026-02-01T00:00:00.007Z");
        assert_eq!(shown["key"], json!({"id": 7}));
        assert_eq!(shown["value"]["after"]["sync_version"], "1791873402211840003");
        assert_eq!(
            (&shown["op"], &shown["table"], &shown["changed"]),
            (&json!("u"), &json!("public.todos"), &json!(["title"]))
        );
        let headers = json!([{"key": "sync.transaction.end", "value": "3", "encoding": "text"},
            {"key": "raw", "value": "AP8=", "encoding": "base64"}, {"key": "none", "value": null, "encoding": null}]);
        assert_eq!(shown["headers"], headers);
        assert_eq!(shown["size"], 8 + value.len() + 20 + 1 + 3 + 2 + 4);
        assert_eq!(shown["tombstone"], false);
        for absent in ["topic", "truncated", "sides"] {
            assert!(shown.get(absent).is_none(), "{absent}");
        }
        let things = Arc::new(fixture::table(&["id bigint key", "title text"]));
        let shown = record.show(10_000, &move |name: &str| {
            (name == "public.todos").then(|| Arc::clone(&things))
        });
        let after = shown.sides.unwrap().after.unwrap();
        assert_eq!(
            (&after["title"], &after["sync_version"]),
            (&json!("b"), &json!("1791873402211840003"))
        );
    }

    #[test]
    fn a_tombstone_has_a_key_only() {
        let record = Record {
            key: Some(b"k"),
            ..Record::default()
        };
        let shown = serde_json::to_value(record.show(100, &nothing_known)).unwrap();
        let expected = json!({"partition": 0, "offset": "0", "at": null, "key": "k", "key_encoding": "text", "value": null,
            "value_encoding": null, "headers": [], "size": 1, "tombstone": true});
        assert_eq!(shown, expected);
    }

    #[test]
    fn of_a_large_value_the_beginning_is_shown() {
        let value = format!(r#"{{"op":"c","pad":"{}"}}"#, "x".repeat(200));
        let record = Record {
            value: Some(value.as_bytes()),
            ..Record::default()
        };
        let shown = record.show(100, &nothing_known);
        assert!(shown.truncated && shown.op.is_none());
        assert_eq!(shown.value, json!(value[..100]));
        assert_eq!(shown.size, value.len());
    }
}
