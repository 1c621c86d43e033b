//! Numbers that the site's own sequences gave in a database that it has no more: the sequences of an empty database move past them as their
//! rows come down, so that it does not give them again.

use serde_json::Value;
use synccluster_merge::Incoming;
use synccluster_protocol::{Version, version::NODE_BITS};
use synccluster_runtime::catalog::CatalogTable;
use tokio_postgres::Error;

use crate::{
    event::{Content, Event},
    target::Target,
};

/// By how much a sequence goes on at each site; what is left of a number is the site's.
const STEP: i64 = 1 << NODE_BITS;

/// The columns of a table that are filled by sequences, and the sequences.
const SEQUENCES: &str = "select a.attname, format('%I.%I', n.nspname, s.relname)
   from pg_depend d
   join pg_class s on s.oid = d.objid and s.relkind = 'S'
   join pg_namespace n on n.oid = s.relnamespace
   join pg_sequence q on q.seqrelid = s.oid
   join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
  where d.refobjid = format('%I.%I', $1::text, $2::text)::regclass and d.deptype in ('a', 'i') and q.seqincrement = $3";

/// Moves the table's sequences past what rows have that were just inserted. No row of a site's own is new to it, but to one that has another
/// database than when it wrote it; so otherwise this asks nothing of Postgres.
pub async fn pass(target: &mut Target, table: &CatalogTable, inserted: &[&Event]) -> Result<(), Error> {
    let node = target.site.node();
    let own: Vec<&Event> = inserted
        .iter()
        .copied()
        .filter(|event| is_of(node, event.incoming))
        .collect();
    if own.is_empty() {
        return Ok(());
    }
    let (schema, name) = (&table.name.schema, &table.name.table);
    for row in target.query(SEQUENCES, &[schema, name, &STEP]).await? {
        let (column, sequence): (String, String) = (row.get(0), row.get(1));
        if let Some(given) = given(node, &column, &own) {
            let pass = "select sync.pass($1::text::regclass, $2)";
            target.execute(pass, &[&sequence, &given]).await?;
        }
    }
    Ok(())
}

/// Whether the node wrote it, or what it replaced. Numbers that others chose are no reason to move.
fn is_of(node: u16, incoming: Incoming) -> bool {
    let parent = incoming.parent.map(Version::node);
    incoming.version.node() == node || parent == Some(node)
}

/// The highest number in the column that the node's sequence may have given.
fn given(node: u16, column: &str, events: &[&Event]) -> Option<i64> {
    let number = |event: &&Event| match &event.content {
        Content::Row(row) => row.get(column).and_then(Value::as_i64),
        Content::Tombstone(_) => None,
    };
    let numbers = events.iter().filter_map(number);
    numbers
        .filter(|number| number.rem_euclid(STEP) == i64::from(node))
        .max()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event;

    fn row(id: i64, writer: u16, before: Option<u16>) -> Event {
        let parent = before.map(|node| Version::new(1, node).0);
        let after = json!({"id": id, "sync_version": Version::new(2, writer).0, "sync_parent": parent});
        let source = json!({"name": "demo.server", "schema": "public", "table": "todos", "lsn": 1});
        let raw = json!({"after": after, "op": "c", "source": source}).to_string();
        event::parse(&raw).unwrap().unwrap()
    }

    #[test]
    fn a_row_is_the_nodes_if_it_wrote_it_or_what_it_replaced() {
        let is = |row: &Event| is_of(1, row.incoming);
        assert!(is(&row(1, 1, None)) && is(&row(1, 0, Some(1))));
        assert!(!is(&row(1, 0, None)) && !is(&row(1, 0, Some(2))));
    }

    #[test]
    fn the_highest_number_of_the_nodes_is_passed() {
        let rows = [1, 1025, 2049, 2050, 4096, -1023].map(|id| row(id, 1, None));
        let rows: Vec<&Event> = rows.iter().collect();
        assert_eq!(given(1, "id", &rows), Some(2049));
        assert_eq!(given(3, "id", &rows), None);
        assert_eq!(given(1, "title", &rows), None);
    }
}
