//! Divides events so that within a round no key meets itself: a round is decided and written as a whole. Pure.
//!
//! The order between tables does not matter inside a transaction that fires no triggers and checks no foreign keys. Rows and tombstones of
//! one table never share a round: their keys have two forms (column values, jsonb), and only Postgres can tell whether they are the same.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use synccluster_merge::Kind;
use synccluster_protocol::event::TableName;

use crate::event::{Content, Event};

/// What one statement can take: one table, one kind, one set of columns.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// The table.
    pub table: TableName,
    /// Tombstones and not rows.
    pub tombstones: bool,
    /// The columns its rows carry, in their order; none for tombstones.
    pub columns: Vec<String>,
}

impl Group {
    /// The group an event belongs to.
    pub fn of(event: &Event) -> Self {
        Self {
            table: event.table.clone(),
            tombstones: event.incoming.kind == Kind::Tombstone,
            columns: match &event.content {
                Content::Row(row) => row.keys().cloned().collect(),
                Content::Tombstone(_) => Vec::new(),
            },
        }
    }
}

/// Groups of indexes into the events, in rounds.
pub fn divide(events: &[Event], keys: &BTreeMap<TableName, Vec<String>>) -> Vec<BTreeMap<Group, Vec<usize>>> {
    let mut rounds: Vec<BTreeMap<Group, Vec<usize>>> = vec![BTreeMap::new()];
    let mut seen: HashSet<(&TableName, String)> = HashSet::new();
    let mut kinds: BTreeSet<(&TableName, bool)> = BTreeSet::new();
    for (index, event) in events.iter().enumerate() {
        let tombstone = event.incoming.kind == Kind::Tombstone;
        let key = (
            &event.table,
            key_text(event, keys.get(&event.table).map_or(&[][..], Vec::as_slice)),
        );
        if seen.contains(&key) || kinds.contains(&(&event.table, !tombstone)) {
            rounds.push(BTreeMap::new());
            seen.clear();
            kinds.clear();
        }
        seen.insert(key);
        kinds.insert((&event.table, tombstone));
        if let Some(round) = rounds.last_mut() {
            round.entry(Group::of(event)).or_default().push(index);
        }
    }
    rounds
}

fn key_text(event: &Event, key: &[String]) -> String {
    match &event.content {
        Content::Tombstone(key) => key.clone(),
        Content::Row(row) => key
            .iter()
            .map(|column| row.get(column).map(ToString::to_string).unwrap_or_default() + "\u{1f}")
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use synccluster_merge::{Incoming, Unseen};
    use synccluster_protocol::Version;

    fn event(table: &str, kind: Kind, id: i64) -> Event {
        let content = match kind {
            Kind::Row => Content::Row(json!({"id": id, "title": "x"}).as_object().unwrap().clone()),
            Kind::Tombstone => Content::Tombstone(format!("{{\"id\": {id}}}")),
        };
        let incoming = Incoming {
            kind,
            version: Version(1),
            parent: None,
            resent: false,
            unseen: Unseen::Nothing,
        };
        Event {
            table: TableName::new("public", table),
            incoming,
            content,
            raw: String::new(),
            place: crate::event::Place::At(0),
            of_debezium: false,
        }
    }

    fn sizes(events: &[Event]) -> Vec<Vec<usize>> {
        let keys = BTreeMap::from([
            (TableName::new("public", "a"), vec!["id".to_owned()]),
            (TableName::new("public", "b"), vec!["id".to_owned()]),
        ]);
        divide(events, &keys)
            .iter()
            .map(|round| round.values().map(Vec::len).collect())
            .collect()
    }

    #[test]
    fn different_keys_share_a_round_whatever_the_order_of_their_tables() {
        let events = [
            event("a", Kind::Row, 1),
            event("b", Kind::Row, 1),
            event("a", Kind::Row, 2),
            event("b", Kind::Row, 2),
        ];
        assert_eq!(sizes(&events), [[2, 2]]);
    }

    #[test]
    fn a_key_that_comes_again_begins_a_new_round() {
        assert_eq!(sizes(&[event("a", Kind::Row, 1), event("a", Kind::Row, 1)]), [[1], [1]]);
    }

    #[test]
    fn a_row_and_a_tombstone_of_a_table_never_share_a_round() {
        assert_eq!(
            sizes(&[event("a", Kind::Row, 1), event("a", Kind::Tombstone, 2)]),
            [[1], [1]]
        );
        assert_eq!(
            sizes(&[event("a", Kind::Row, 1), event("b", Kind::Tombstone, 1)]),
            [[1, 1]]
        );
    }
}
