use super::*;
use crate::{
    table::{SourceColumn, SourceTable, wanted},
    types::PgType,
};
use synccluster_protocol::{codec::debezium::Form, definitions::Definitions};

fn todos(definitions: &str) -> Table {
    let column = |name: &str, pg, not_null| SourceColumn {
        name: name.to_owned(),
        pg,
        sql_type: String::new(),
        not_null,
        missing: None,
        debezium: Form::Same,
    };
    let source = SourceTable {
        name: TableName::new("public", "todos"),
        columns: vec![column("id", PgType::Int(4), true), column("title", PgType::Text, false)],
        key: vec!["id".to_owned()],
    };
    wanted(&[source], &Definitions::read(definitions).unwrap())
        .remove(0)
        .table
        .unwrap()
}

fn actual(columns: &[(&str, &str)]) -> Actual {
    let own = [("sync_version", "UInt64"), ("deleted", "UInt8")];
    Actual {
        engine: "ReplacingMergeTree(sync_version) ORDER BY id SETTINGS index_granularity = 8192".to_owned(),
        sorting_key: "id".to_owned(),
        columns: columns
            .iter()
            .chain(&own)
            .map(|(name, ch)| ((*name).to_owned(), (*ch).to_owned()))
            .collect(),
    }
}

const AS_MADE: [(&str, &str); 2] = [("id", "Int32"), ("title", "Nullable(String)")];

#[test]
fn what_was_made_needs_nothing() {
    assert_eq!(compare(&mut todos(""), &actual(&AS_MADE)), Ok(Steps::default()));
}

#[test]
fn a_type_that_does_as_well_is_taken() {
    let mut table = todos("");
    let there = actual(&[("id", "Int64"), ("title", "LowCardinality(Nullable(String))")]);
    assert_eq!(compare(&mut table, &there), Ok(Steps::default()));
    assert_eq!(table.columns[0].ch, ChType::Int(8));
}

#[test]
fn a_new_column_is_added_and_a_wider_one_modified() {
    let added = compare(&mut todos(""), &actual(&AS_MADE[..1]));
    assert_eq!(
        added,
        Ok(Steps {
            add: vec![1],
            modify: vec![]
        })
    );
    let modified = compare(&mut todos(""), &actual(&[("id", "Int32"), ("title", "String")]));
    assert_eq!(
        modified,
        Ok(Steps {
            add: vec![],
            modify: vec![1]
        })
    );
}

#[test]
fn what_may_be_null_there_stays_so_when_it_becomes_wider() {
    let mut table = todos("");
    table.columns[0].key = false;
    let there = actual(&[("id", "Nullable(Int16)"), AS_MADE[1]]);
    let steps = compare(&mut table, &there);
    assert_eq!(
        steps,
        Ok(Steps {
            add: vec![],
            modify: vec![0]
        })
    );
    assert_eq!(table.columns[0].ch.to_string(), "Nullable(Int32)");
}

#[test]
fn what_was_something_else_is_not_converted() {
    let said = |pg: PgType, not_null: bool, there: &str| {
        let mut table = todos("");
        table.columns[1].ch = pg.mapped(!not_null, false);
        table.columns[1].pg = pg;
        compare(&mut table, &actual(&[AS_MADE[0], ("title", there)])).unwrap_err()
    };
    let array = said(PgType::Array(Box::new(PgType::Text)), true, "String");
    assert!(
        array.contains(
            "column title of table todos is String, and its values cannot all be taken for Array(Nullable(String))"
        ) && array.contains("`synccluster-clickhouse rebuild --table public.todos`"),
        "{array}"
    );
    // Days are no microseconds, though both are numbers.
    assert!(said(PgType::Timestamp, false, "Nullable(Int32)").contains("rebuild"));
    assert!(said(PgType::Text, false, "Nullable(Int32)").contains("rebuild"));
    assert!(said(PgType::Float(8), false, "Nullable(String)").contains("rebuild"));
}

#[test]
fn what_cannot_be_mended_is_said_with_what_to_do() {
    let said = |table: &mut Table, actual: &Actual| compare(table, actual).unwrap_err();
    let mut wrong = actual(&AS_MADE);
    wrong.engine = "MergeTree ORDER BY id".to_owned();
    assert!(said(&mut todos(""), &wrong).contains("not ReplacingMergeTree"));
    let mut wrong = actual(&AS_MADE);
    wrong.sorting_key = "title".to_owned();
    assert!(said(&mut todos(""), &wrong).contains("sorted by (title)"));
    assert!(said(&mut todos(""), &actual(&[("id", "Int16"), AS_MADE[1]])).contains("cannot become Int32"));
    let chosen = "tables: [{source: public.todos, columns: [{name: title, type: 'LowCardinality(Nullable(String))'}]}]";
    let message = said(&mut todos(chosen), &actual(&AS_MADE));
    assert!(
        message.contains("the definitions say LowCardinality") && message.contains("drop table todos"),
        "{message}"
    );
}
