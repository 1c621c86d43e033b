//! An entry of the log as a record of the topic.

use serde::{Deserialize, Serialize};

use crate::crdt::{Entry, Ordinal, Position, Void, What};

/// The value; `windows` reads these members in this order without a parser.
#[derive(Serialize)]
struct Like<'a> {
    id: &'a str,
    by: &'a str,
    n: i64,
    at: i64,
    node: u16,
    position: u64,
}

/// Writes the value of an entry of `node`'s log to `value`, and returns its key.
pub fn write<'a>(entry: &'a Entry, node: Ordinal, value: &mut Vec<u8>) -> &'a str {
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
        node: node.0,
        position: entry.position.0,
    };
    value.clear();
    // Text and numbers into memory: there is nothing that could fail.
    let _ = serde_json::to_writer(value, &like);
    id.as_str()
}

/// Whose a record is.
#[derive(Deserialize)]
struct Whose {
    node: u16,
    position: u64,
}

/// The position of a record in the log of this node, if it is of it.
pub fn position(value: &[u8], node: Ordinal) -> Option<Position> {
    let whose: Whose = serde_json::from_slice(value).ok()?;
    (whose.node == node.0).then_some(Position(whose.position))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crdt::Add;

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
        let written = |entry: &Entry| {
            let mut value = Vec::new();
            assert_eq!(write(entry, Ordinal(2), &mut value), "cat");
            assert_eq!(position(&value, Ordinal(2)), Some(entry.position));
            assert_eq!(position(&value, Ordinal(1)), None);
            String::from_utf8(value).unwrap()
        };
        assert_eq!(
            written(&entry(7, 70, What::Add(add))),
            r#"{"id":"cat","by":"ann","n":3,"at":70,"node":2,"position":7}"#
        );
        assert_eq!(
            written(&entry(9, 95, What::Void(void))),
            r#"{"id":"cat","by":"ann","n":-3,"at":70,"node":2,"position":9}"#
        );
    }
}
