//! What a record of the server's topic asks for. Pure; borrows from the record, because most of a record is not looked at.

use std::borrow::Cow;

use memchr::{memchr, memchr2, memchr3};
use serde::Deserialize;
use serde_json::value::RawValue;
use synccluster_protocol::{
    codec::debezium,
    event::{Marker, TOMBSTONES, TableName},
};

/// A record that is no change event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record is no change event: {0}")]
pub struct Error(String);

/// What it asks for.
#[derive(Debug)]
pub enum Change<'a> {
    /// This is the row now.
    Row {
        /// Its schema.
        schema: Cow<'a, str>,
        /// Its table.
        table: Cow<'a, str>,
        /// Its columns.
        after: &'a RawValue,
        /// The columns before, where a value that did not change is looked up.
        before: Option<&'a RawValue>,
    },
    /// The row of this key is gone.
    Tombstone {
        /// Its table.
        source: TableName,
        /// The key as jsonb text.
        key: String,
        /// The version of the delete.
        version: i64,
    },
    /// Nothing: a bare delete, whose versioned tombstone is a row of its own, or where a transaction of engine Debezium begins or ends.
    Nothing,
}

/// A change and when its transaction was committed, milliseconds since the Unix epoch.
#[derive(Debug)]
pub struct Event<'a> {
    /// What it asks for.
    pub change: Change<'a>,
    /// When it was committed; 0 where the record does not say.
    pub at: i64,
    /// Whether Debezium made the record: some values have another form there.
    pub of_debezium: bool,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    before: Option<&'a RawValue>,
    #[serde(borrow, default)]
    after: Option<&'a RawValue>,
    #[serde(borrow)]
    source: Source<'a>,
}

#[derive(Deserialize)]
struct Source<'a> {
    #[serde(borrow, default)]
    version: Cow<'a, str>,
    #[serde(borrow)]
    schema: Cow<'a, str>,
    #[serde(borrow)]
    table: Cow<'a, str>,
    #[serde(default)]
    ts_ms: i64,
}

#[derive(Deserialize)]
struct Tombstone {
    relation: String,
    key: String,
    version: i64,
}

/// Where the row begins in an envelope that starts as both engines write it; what is behind the row is still there.
pub fn after(raw: &[u8]) -> Option<&[u8]> {
    let rest = raw.strip_prefix(b"{\"before\":")?;
    let rest = match rest.strip_prefix(b"null") {
        Some(rest) => rest,
        None => rest.get(object(rest)?..)?,
    };
    rest.strip_prefix(b",\"after\":")
        .filter(|after| after.starts_with(b"{"))
}

/// Whether what is behind a row says that our connector made the record; not if it says nothing.
pub fn is_ours(behind: &[u8]) -> bool {
    let version = |behind: &[u8]| {
        let version = behind.strip_prefix(b",\"source\":{\"version\":\"")?;
        let version = version.get(..memchr(b'"', version)?)?;
        Some(!debezium::is_version(std::str::from_utf8(version).ok()?))
    };
    version(behind).unwrap_or_default()
}

/// What is behind the row that begins here.
pub fn behind(row: &[u8]) -> Option<&[u8]> {
    row.get(object(row)?..)
}

/// Where an object ends; its values are not read.
fn object(raw: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        at += memchr3(b'"', b'{', b'}', raw.get(at..)?)?;
        match raw.get(at)? {
            b'{' => depth += 1,
            b'}' => depth = depth.checked_sub(1)?,
            _ => loop {
                at += 1 + memchr2(b'"', b'\\', raw.get(at + 1..)?)?;
                if raw.get(at) == Some(&b'"') {
                    break;
                }
                // Whatever is escaped ends no string.
                at += 1;
            },
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// Reads a record's value.
pub fn read(raw: &[u8]) -> Result<Event<'_>, Error> {
    let envelope: Envelope = match serde_json::from_slice(raw) {
        Ok(envelope) => envelope,
        Err(_) if serde_json::from_slice::<Marker>(raw).is_ok() => {
            return Ok(Event {
                change: Change::Nothing,
                at: 0,
                of_debezium: true,
            });
        }
        Err(error) => return Err(Error(error.to_string())),
    };
    let Source {
        version,
        schema,
        table,
        ts_ms,
    } = envelope.source;
    let change = match envelope.after {
        None => Change::Nothing,
        Some(after) if (&*schema, &*table) == TOMBSTONES => {
            let tombstone: Tombstone = serde_json::from_str(after.get())
                .map_err(|error| Error(format!("a row of sync.tombstones: {error}")))?;
            let source = TableName::parse(&tombstone.relation).ok_or_else(|| {
                Error(format!(
                    "sync.tombstones names {}, which is no table",
                    tombstone.relation
                ))
            })?;
            Change::Tombstone {
                source,
                key: tombstone.key,
                version: tombstone.version,
            }
        }
        Some(after) => Change::Row {
            schema,
            table,
            after,
            before: envelope.before,
        },
    };
    Ok(Event {
        change,
        at: ts_ms,
        of_debezium: debezium::is_version(&version),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(table: [&str; 2], after: &serde_json::Value) -> Vec<u8> {
        json!({"before": null, "after": after, "op": "u", "source": {"schema": table[0], "table": table[1], "ts_ms": 7}}).to_string().into_bytes()
    }

    #[test]
    fn a_row_is_handed_on_unread() {
        let raw = record(["public", "todos"], &json!({"id": 1}));
        let event = read(&raw).unwrap();
        assert!(
            matches!(event.change, Change::Row { table, after, before: None, .. } if table == "todos" && after.get() == "{\"id\":1}")
        );
        assert_eq!(event.at, 7);
    }

    #[test]
    fn a_tombstone_row_is_a_delete_of_the_table_it_names() {
        let raw = record(
            ["sync", "tombstones"],
            &json!({"relation": "public.todos", "key": "{\"id\": 1}", "version": 9, "parent": null}),
        );
        let Change::Tombstone { source, key, version } = read(&raw).unwrap().change else {
            panic!("no tombstone")
        };
        assert_eq!(
            (source.to_string().as_str(), key.as_str(), version),
            ("public.todos", "{\"id\": 1}", 9)
        );
    }

    #[test]
    fn the_row_is_found_without_reading_what_is_behind_it() {
        let of = |raw: &'static str| after(raw.as_bytes()).map(|after| String::from_utf8_lossy(after).into_owned());
        assert_eq!(
            of(r#"{"before":null,"after":{"a":1},"sou"#).as_deref(),
            Some(r#"{"a":1},"sou"#)
        );
        assert_eq!(
            of(r#"{"before":{"t":"},\"after\":{"},"after":{"a":1}}"#).as_deref(),
            Some(r#"{"a":1}}"#)
        );
        for none in [
            r#"{"before":{"a":1},"after":null}"#,
            r#"{"after":{}}"#,
            r#"{"status":"BEGIN"}"#,
            "",
            "7",
            r#"{"before":{"a""#,
        ] {
            assert_eq!(of(none), None, "{none}");
        }
    }

    proptest::proptest! {
        #[test]
        fn the_row_is_found_behind_whatever_was_there_before(text in proptest::prelude::any::<String>(), list in proptest::prelude::any::<Vec<f64>>()) {
            let before = json!({"t": text, "o": {text.as_str(): list, "n": {}}, "s": "}\\"});
            let raw = format!("{{\"before\":{before},\"after\":{{\"a\":1}},");
            proptest::prop_assert_eq!(after(raw.as_bytes()), Some(&b"{\"a\":1},"[..]));
        }
    }

    #[test]
    fn who_made_a_record_is_in_its_version() {
        for (version, of_debezium) in [("3.7.0.Final", true), ("0.1.0", false), ("", false)] {
            let behind = format!(r#","source":{{"version":"{version}","schema":"public","table":"t"}}}}"#);
            assert_eq!(is_ours(behind.as_bytes()), !of_debezium, "{version}");
            let raw = format!(r#"{{"before":null,"after":{{}}{behind}"#);
            assert_eq!(read(raw.as_bytes()).unwrap().of_debezium, of_debezium, "{version}");
        }
        for silent in ["", "}", ",\"op\":\"u\"}", ",\"source\":{\"version\":\"0.1.0"] {
            assert!(!is_ours(silent.as_bytes()), "{silent}");
        }
    }

    #[test]
    fn a_bare_delete_asks_for_nothing_and_what_is_no_event_is_said() {
        assert!(matches!(
            read(&record(["public", "todos"], &json!(null))).unwrap().change,
            Change::Nothing
        ));
        for wrong in ["", "{}", "[1]", "{\"after\": {}, \"source\": 3}"] {
            assert!(read(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(
            read(&record(
                ["sync", "tombstones"],
                &json!({"relation": "todos", "key": "", "version": 1})
            ))
            .is_err()
        );
    }

    #[test]
    fn where_a_transaction_of_debeziums_begins_and_ends_asks_for_nothing() {
        for status in ["BEGIN", "END"] {
            let raw = format!(r#"{{"status": "{status}", "id": "743:26217536", "event_count": null}}"#);
            assert!(matches!(read(raw.as_bytes()).unwrap().change, Change::Nothing));
        }
    }
}
