use super::*;

fn column(name: &str, pg: PgType, not_null: bool) -> SourceColumn {
    SourceColumn {
        name: name.to_owned(),
        pg,
        sql_type: "some type".to_owned(),
        not_null,
        missing: None,
        debezium: Form::Same,
    }
}

fn todos() -> SourceTable {
    SourceTable {
        name: TableName::new("public", "todos"),
        columns: vec![
            column("id", PgType::Int(8), true),
            column("title", PgType::Text, false),
            column("done", PgType::Bool, true),
            column(VERSION_COLUMN, PgType::Int(8), true),
            column(PARENT_COLUMN, PgType::Int(8), false),
        ],
        key: vec!["id".to_owned()],
    }
}

fn only(sources: &[SourceTable], yaml: &str) -> Result<Table, String> {
    let definitions = Definitions::read(yaml).unwrap();
    wanted(sources, &definitions).remove(0).table
}

#[test]
fn a_table_is_mapped_without_the_books_of_the_sync() {
    let table = only(&[todos()], "").unwrap();
    assert_eq!(table.name, "todos");
    assert_eq!(table.inserted(), ["id", "title", "done", "sync_version", "deleted"]);
    let types: Vec<String> = table.columns.iter().map(|column| column.ch.to_string()).collect();
    assert_eq!(types, ["Int64", "Nullable(String)", "UInt8"]);
    assert!(table.columns.iter().all(|column| !column.chosen));
}

#[test]
fn a_column_of_the_name_keeps_it() {
    let mut todos = todos();
    todos.columns.push(column("deleted", PgType::Bool, true));
    assert_eq!(only(&[todos], "").unwrap().deleted, "sync_deleted");
}

#[test]
fn another_schema_is_part_of_the_name_and_two_tables_never_share_one() {
    let mut sources = vec![todos(), todos(), todos()];
    sources[1].name = TableName::new("shop", "orders");
    sources[2].name = TableName::new("public", "shop_orders");
    let all = wanted(&sources, &Definitions::default());
    assert_eq!(all[1].name, "shop_orders");
    assert!(all[1].table.is_ok());
    assert!(all[2].table.as_ref().unwrap_err().contains("taken by shop.orders"));
    sources[2].name = TableName::new("public", "todos_current");
    assert!(
        wanted(&sources, &Definitions::default())[2].table.is_err(),
        "the name of a view"
    );
    sources[2].name = TableName::new("public", PARKED);
    assert!(wanted(&sources, &Definitions::default())[2].table.is_err());
}

#[test]
fn definitions_rename_leave_out_and_choose_types() {
    let yaml = "tables:\n- source: public.todos\n  name: tasks\n  columns:\n  - {name: title, type: 'LowCardinality(Nullable(String))'}\n  - {name: done, skip: true}\n";
    let table = only(&[todos()], yaml).unwrap();
    assert_eq!((table.name.as_str(), table.columns[1].chosen), ("tasks", true));
    assert_eq!(table.inserted(), ["id", "title", "sync_version", "deleted"]);
    assert!(table.left_out.contains("done"));
    assert_eq!(
        wanted(
            &[todos()],
            &Definitions::read("tables: [{source: public.todos, skip: true}]").unwrap()
        ),
        []
    );
}

#[test]
fn definitions_that_do_not_match_are_told_with_what_to_write() {
    let of = |columns: &str| only(&[todos()], &format!("tables: [{{source: public.todos, {columns}}}]")).unwrap_err();
    for (definition, said) in [
        ("columns: [{name: titel, type: String}]", "it has id, title, done"),
        ("columns: [{name: id, skip: true}]", "part of the key"),
        ("columns: [{name: id, type: Int32}]", "write Int64 or a wider one"),
        ("columns: [{name: title, type: Ring}]", "cannot fill"),
        ("columns: [{name: title, type: String}]", "write Nullable(String)"),
        ("columns: [{name: id, type: Nullable(Int64)}]", "not Nullable"),
        ("orderBy: [title]", "key's columns (id)"),
    ] {
        assert!(of(definition).contains(said), "{definition}: {}", of(definition));
    }
}

#[test]
fn what_rows_from_before_a_column_have_is_kept_for_events_that_lack_it() {
    let mut todos = todos();
    todos.columns[2].missing = Some("t".to_owned());
    let table = only(&[todos], "").unwrap();
    assert_eq!(table.columns[2].missing, "true");
    let mut out = Vec::new();
    Table::write_missing(&table.columns[2], &mut out);
    Table::write_missing(&table.columns[0], &mut out);
    Table::write_missing(&table.columns[1], &mut out);
    assert_eq!(
        out,
        [1, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        "true, an integer that was never written, null"
    );
}
