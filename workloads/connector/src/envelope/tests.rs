use super::*;

fn todos() -> Table {
    Table {
        name: TableName::new("public", "todos"),
        columns: vec![("id".into(), ColumnType::Integer), ("title".into(), ColumnType::Text)],
        generated: vec![],
        key: vec!["id".into()],
    }
}

fn origin() -> Origin {
    Origin {
        topic: "demo.client-1".into(),
        database: "app".into(),
    }
}

fn datums(id: &str, title: Datum) -> Vec<Datum> {
    vec![Datum::Text(id.into()), title]
}

fn text(text: &str) -> Datum {
    Datum::Text(text.into())
}

fn value(record: &Record) -> Value {
    record
        .value
        .as_deref()
        .map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
}

fn of(change: Change) -> Vec<Record> {
    let mut open = Open::new(700, Lsn(0x20), 0);
    records(&origin(), &todos(), &mut open, change, 5).unwrap()
}

#[test]
fn an_insert_is_debeziums_create() {
    let records = of(Change::Insert(datums("7", text("milk"))));
    assert_eq!(
        records[0].key,
        r#"{"id":7,"__dbz__physicalTableIdentifier":"demo.client-1.public.todos"}"#
    );
    let value = value(&records[0]);
    assert_eq!((&value["op"], &value["before"]), (&json!("c"), &Value::Null));
    assert_eq!(value["after"], json!({"id": 7, "title": "milk"}));
    assert_eq!(
        value["transaction"],
        json!({"id": "700:32", "total_order": 1, "data_collection_order": 1})
    );
    assert_eq!(
        (&value["source"]["txId"], &value["source"]["lsn"]),
        (&json!(700), &json!(32))
    );
    assert_eq!(value["source"]["ts_us"], json!(POSTGRES_EPOCH_MICROS));
}

#[test]
fn a_delete_is_followed_by_kafkas_tombstone() {
    let records = of(Change::Delete(datums("7", text("milk"))));
    assert_eq!(records.len(), 2);
    assert_eq!(records[0].key, records[1].key);
    assert_eq!(records[1].value, None);
}

#[test]
fn a_changed_key_is_a_delete_and_an_insert() {
    let records = of(Change::Update(
        Some(datums("7", text("milk"))),
        datums("8", text("milk")),
    ));
    let ops: Vec<_> = records.iter().map(|record| value(record)["op"].clone()).collect();
    assert_eq!(ops, [json!("d"), Value::Null, json!("c")]);
}

#[test]
fn a_toasted_value_that_did_not_change_comes_from_the_row_before() {
    let change = Change::Update(Some(datums("7", text("long"))), datums("7", Datum::Unchanged));
    assert_eq!(value(&of(change)[0])["after"]["title"], json!("long"));
    let change = Change::Update(None, datums("7", Datum::Unchanged));
    assert_eq!(value(&of(change)[0])["after"]["title"], json!(UNAVAILABLE_VALUE));
}

#[test]
fn no_record_is_made_of_a_row_that_is_too_large_for_certain() {
    let large = || text(&"x".repeat(NO_RECORD_FROM));
    let inserted = of(Change::Insert(datums("7", large())));
    let too_large = |left_out| matches!(left_out, Some(LeftOut::TooLarge(bytes)) if bytes > NO_RECORD_FROM);
    assert!(too_large(inserted[0].left_out));
    assert_eq!(value(&inserted[0])["after"], json!({"id": 7}));
    let updated = of(Change::Update(
        Some(datums("7", large())),
        datums("7", Datum::Unchanged),
    ));
    assert_eq!((updated[0].left_out, updated.len()), (inserted[0].left_out, 1));

    // What replaces it fits, and so does its delete.
    let smaller = of(Change::Update(Some(datums("7", large())), datums("7", text("x"))));
    assert_eq!(smaller[0].left_out, None);
    let value_of = value(&smaller[0]);
    assert_eq!(
        (&value_of["before"], &value_of["after"]),
        (&Value::Null, &json!({"id": 7, "title": "x"}))
    );
    let moved = of(Change::Update(Some(datums("7", large())), datums("8", text("x"))));
    assert_eq!(value(&moved[0])["before"], json!({"id": 7}));
    let deleted = of(Change::Delete(datums("7", large())));
    assert_eq!((deleted[0].left_out, deleted.len()), (None, 2));
    assert_eq!(value(&deleted[0])["before"], json!({"id": 7}));
}

#[test]
fn what_neither_the_change_nor_the_row_before_has_is_looked_for_in_the_table() {
    let lacking = Datum::LeftOut(70_000);
    for key in ["7", "8"] {
        let change = Change::Update(Some(datums("7", lacking.clone())), datums(key, Datum::Unchanged));
        let records = of(change);
        let last = records.last().unwrap();
        assert_eq!(last.left_out, Some(LeftOut::Elsewhere(70_001)));
        assert!(value(last)["after"].get("title").is_none(), "{last:?}");
    }
}

#[test]
fn a_row_of_another_width_is_an_error() {
    let mut open = Open::new(1, Lsn(1), 0);
    assert!(records(&origin(), &todos(), &mut open, Change::Insert(vec![Datum::Null]), 0).is_err());
}
