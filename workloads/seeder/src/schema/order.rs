//! In which order tables are filled: what is referred to comes first.

use std::collections::BTreeSet;

use synccluster_protocol::event::TableName;

use super::Table;

/// Tables that refer to each other in a circle, with no reference that could be left out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} refer to each other in a circle, and none of the columns that do may be null: no row can be the first; \
     make one of them nullable, or leave the tables out with --table", names(.0)
)]
pub struct CycleError(pub Vec<TableName>);

fn names(tables: &[TableName]) -> String {
    tables.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Puts tables into an order in which each refers only to itself and to those before it. References that stand in the way of every order and may be
/// null are dropped from the table: its rows refer to nothing there. Tables that could come at once keep the order of their names.
pub fn load_order(mut tables: Vec<Table>) -> Result<Vec<Table>, CycleError> {
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    let mut ordered: Vec<Table> = Vec::new();
    while !tables.is_empty() {
        let waiting: BTreeSet<TableName> = tables.iter().map(|table| table.name.clone()).collect();
        let waits = |table: &Table| {
            let others = |key: &&super::ForeignKey| key.table != table.name && waiting.contains(&key.table);
            table.foreign.iter().filter(others).count()
        };
        if let Some(free) = tables.iter().position(|table| waits(table) == 0) {
            ordered.push(tables.remove(free));
            continue;
        }
        let drops = |table: &Table, key: &super::ForeignKey| {
            let nullable = key.columns.iter().any(|&place| !table.columns[place].not_null);
            nullable && key.table != table.name && waiting.contains(&key.table)
        };
        let Some(broken) = tables
            .iter()
            .position(|table| table.foreign.iter().any(|key| drops(table, key)))
        else {
            return Err(CycleError(waiting.into_iter().collect()));
        };
        let table = tables[broken].clone();
        tables[broken].foreign.retain(|key| !drops(&table, key));
    }
    Ok(ordered)
}

#[cfg(test)]
mod tests {
    use super::{super::*, *};

    fn table(name: &str, refers: &[(&str, bool)]) -> Table {
        let columns = refers.iter().map(|(to, not_null)| Column {
            name: format!("{to}_id"),
            sql_type: "bigint".to_owned(),
            kind: Kind::Integer(i64::MAX),
            not_null: *not_null,
            sequence: None,
            limits: Limits::default(),
        });
        let foreign = refers.iter().enumerate().map(|(place, (to, _))| ForeignKey {
            columns: vec![place],
            table: TableName::new("public", *to),
            target: vec!["id".to_owned()],
        });
        Table {
            name: TableName::new("public", name),
            columns: columns.collect(),
            key: vec![],
            unique: vec![],
            foreign: foreign.collect(),
            referenced: false,
        }
    }

    fn order(tables: Vec<Table>) -> Result<Vec<String>, CycleError> {
        Ok(load_order(tables)?.into_iter().map(|table| table.name.table).collect())
    }

    #[test]
    fn what_is_referred_to_comes_first() {
        let tables = vec![table("a", &[("b", true)]), table("b", &[("c", true)]), table("c", &[])];
        assert_eq!(order(tables).unwrap(), ["c", "b", "a"]);
    }

    #[test]
    fn a_table_may_refer_to_itself() {
        assert_eq!(order(vec![table("a", &[("a", true)])]).unwrap(), ["a"]);
    }

    #[test]
    fn a_circle_is_opened_where_a_reference_may_be_null() {
        let tables = vec![table("a", &[("b", true)]), table("b", &[("a", false)])];
        let ordered = load_order(tables).unwrap();
        assert_eq!(ordered[0].name.table, "b");
        assert!(ordered[0].foreign.is_empty(), "its rows refer to nothing");
        assert_eq!(ordered[1].foreign.len(), 1);
    }

    #[test]
    fn a_circle_without_a_beginning_is_refused_with_its_tables() {
        let tables = vec![table("a", &[("b", true)]), table("b", &[("a", true)]), table("c", &[])];
        let refused = order(tables).unwrap_err().to_string();
        assert!(
            refused.starts_with("public.a, public.b refer to each other"),
            "{refused}"
        );
    }
}
