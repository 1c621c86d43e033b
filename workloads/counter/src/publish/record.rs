//! An entry of the log as a record of the topic.

use std::borrow::Cow;

use serde::{Deserialize, Serialize, Serializer};

use super::recovery::Life;
use crate::crdt::{Entry, Incarnation, Origin, Position, Void, What};

/// The value; `windows` reads these members in this order without a parser.
#[derive(Serialize)]
struct Like<'a> {
    id: &'a str,
    by: &'a str,
    n: i64,
    at: i64,
    node: u16,
    position: u64,
    /// Positions begin at 1 anew in every life of a log.
    incarnation: AsText,
}

struct AsText(Incarnation);

impl Serialize for AsText {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

/// Writes the value of an entry of `origin`'s log to `value`, and returns its key.
pub fn write<'a>(entry: &'a Entry, origin: Origin, value: &mut Vec<u8>) -> &'a str {
    let (id, by, n, at) = match &entry.what {
        What::Add(add) => (&add.id, &add.by, i64::from(add.n), entry.at),
        // It takes back where it was counted: in the windows of then.
        What::Void(Void { id, by, n, at, .. }) => (id, by, -i64::from(*n), *at),
    };
    let like = Like {
        id: id.as_str(),
        by: by.as_str(),
        n,
        at,
        node: origin.ordinal.0,
        position: entry.position.0,
        incarnation: AsText(origin.incarnation),
    };
    value.clear();
    // Text and numbers into memory: there is nothing that could fail.
    let _ = serde_json::to_writer(value, &like);
    id.as_str()
}

/// Whose a record is.
#[derive(Deserialize)]
struct Whose<'a> {
    node: u16,
    position: u64,
    /// Absent where a version before this one wrote it.
    #[serde(borrow)]
    incarnation: Option<Cow<'a, str>>,
}

/// The position of a record in this log, if it is of it.
pub fn position(value: &[u8], life: Life<'_>) -> Option<Position> {
    let whose: Whose<'_> = serde_json::from_slice(value).ok()?;
    let same = whose.incarnation.is_none_or(|of| of == life.incarnation);
    (whose.node == life.node.0 && same).then_some(Position(whose.position))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crdt::{Add, Ordinal};

    fn life(node: u16, incarnation: &str) -> Life<'_> {
        let node = Ordinal(node);
        Life { node, incarnation }
    }

    #[test]
    fn a_record_of_another_life_of_the_node_is_not_of_this_log() {
        let of =
            |incarnation: &str| format!(r#"{{"id":"a","by":"b","n":1,"at":1,"node":2,"position":7{incarnation}}}"#);
        let read = |value: String| position(value.as_bytes(), life(2, "af")).map(|position| position.0);
        assert_eq!(read(of(r#","incarnation":"af""#)), Some(7));
        assert_eq!(read(of(r#","incarnation":"a\u0066""#)), Some(7));
        assert_eq!(read(of(r#","incarnation":"b0""#)), None);
        assert_eq!(read(of("")), Some(7), "written by an earlier version");
    }

    #[test]
    fn a_void_takes_back_at_the_time_of_what_it_voids() {
        let add = Add {
            id: "cat".parse().unwrap(),
            by: "ann".parse().unwrap(),
            n: 3,
            request: None,
        };
        let entry = |position, at, what| Entry {
            position: Position(position),
            at,
            what,
        };
        let void = Void {
            position: Position(7),
            id: add.id.clone(),
            by: add.by.clone(),
            n: 3,
            at: 70,
            request: "r".parse().unwrap(),
        };
        let origin = Origin {
            ordinal: Ordinal(2),
            incarnation: Incarnation(0xaf),
        };
        let written = |entry: &Entry| {
            let mut value = Vec::new();
            assert_eq!(write(entry, origin, &mut value), "cat");
            assert_eq!(position(&value, life(2, "00000000000000af")), Some(entry.position));
            assert_eq!(position(&value, life(1, "00000000000000af")), None);
            String::from_utf8(value).unwrap()
        };
        assert_eq!(
            written(&entry(7, 70, What::Add(add))),
            r#"{"id":"cat","by":"ann","n":3,"at":70,"node":2,"position":7,"incarnation":"00000000000000af"}"#
        );
        assert_eq!(
            written(&entry(9, 95, What::Void(void))),
            r#"{"id":"cat","by":"ann","n":-3,"at":70,"node":2,"position":9,"incarnation":"00000000000000af"}"#
        );
    }
}
