use super::*;
use crate::table::{SourceColumn, SourceTable, wanted};
use synccluster_protocol::{
    codec::{debezium::Form, unavailable::UNAVAILABLE_BYTES},
    definitions::Definitions,
    event::TableName,
};

fn table(columns: &[(&str, PgType, bool)]) -> Table {
    let source = SourceTable {
        name: TableName::new("public", "t"),
        columns: columns
            .iter()
            .map(|(name, pg, not_null)| SourceColumn {
                name: (*name).to_owned(),
                pg: pg.clone(),
                sql_type: String::new(),
                not_null: *not_null,
                missing: None,
                debezium: Form::Same,
            })
            .collect(),
        key: vec![columns[0].0.to_owned()],
    };
    wanted(&[source], &Definitions::default()).remove(0).table.unwrap()
}

/// Of columns that Debezium writes in these forms.
fn differing(columns: &[(&str, PgType, Form)]) -> Table {
    let mut table = table(
        &columns
            .iter()
            .map(|(name, pg, _)| (*name, pg.clone(), true))
            .collect::<Vec<_>>(),
    );
    for (column, (.., form)) in table.columns.iter_mut().zip(columns) {
        column.debezium = (*form != Form::Same).then(|| form.clone());
    }
    table.differs = true;
    table
}

fn todos() -> Table {
    table(&[("id", PgType::Int(2), true), ("title", PgType::Text, false)])
}

fn rows() -> Rows {
    Rows::new("public.t".to_owned(), Arc::from("INSERT"))
}

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

fn bytes(json: &str) -> &[u8] {
    json.as_bytes()
}

const VERSION: [u8; 8] = 5_i64.to_le_bytes();

fn with_version(bytes: &[u8], deleted: u8) -> Vec<u8> {
    [bytes, &VERSION, &[deleted]].concat()
}

#[test]
fn a_row_is_its_columns_in_order_its_version_and_no_mark() {
    for json in [
        r#"{"id": 1, "title": "a", "sync_version": 5, "sync_parent": 3}"#,
        r#"{"sync_version": 5, "ti\u0074le": "a", "id": 1}"#,
    ] {
        let mut rows = rows();
        rows.row(&todos(), bytes(json), None, 40).unwrap();
        assert_eq!(rows.bytes, with_version(&[1, 0, 0, 1, b'a'], 0));
        assert_eq!(
            (rows.ends, rows.offsets, rows.deletes),
            (vec![rows.bytes.len()], vec![40], 0)
        );
    }
}

#[test]
fn a_column_that_is_missing_is_null_and_one_that_is_new_is_told() {
    let mut rows = rows();
    rows.row(&todos(), bytes(r#"{"id": 1, "sync_version": 5}"#), None, 0)
        .unwrap();
    assert_eq!(rows.bytes, with_version(&[1, 0, 1], 0));
    let refused = rows.row(&todos(), bytes(r#"{"id": 1, "votes": 3, "sync_version": 5}"#), None, 1);
    assert_eq!(refused, Err(Refused::NewColumn("votes".to_owned())));
    assert_eq!(rows.ends.len(), 1);
}

#[test]
fn what_cannot_be_added_leaves_nothing_behind() {
    let mut rows = rows();
    for (json, said) in [
        (
            r#"{"id": 70000, "title": "a", "sync_version": 5}"#,
            "column id: 70000 does not fit into Int16",
        ),
        (r#"{"id": 1, "title": "a"}"#, "no sync_version"),
        (
            r#"{"id": 1, "title": "__debezium_unavailable_value", "sync_version": 5}"#,
            "REPLICA IDENTITY FULL",
        ),
        ("[1]", "cannot be read"),
    ] {
        let refused = rows.row(&todos(), bytes(json), None, 0).unwrap_err().to_string();
        assert!(refused.contains(said), "{refused}");
        assert!(rows.bytes.is_empty() && rows.ends.is_empty());
    }
}

#[test]
fn a_value_that_did_not_change_is_taken_from_before() {
    let mut rows = rows();
    let after = bytes(r#"{"id": 1, "title": "__debezium_unavailable_value", "sync_version": 5}"#);
    rows.row(
        &todos(),
        after,
        Some(&raw(r#"{"id": 1, "title": "long", "sync_version": 4}"#)),
        0,
    )
    .unwrap();
    assert_eq!(rows.bytes, with_version(&[1, 0, 0, 4, b'l', b'o', b'n', b'g'], 0));
}

#[test]
fn what_debezium_writes_in_place_of_a_value_is_never_written() {
    let same = table(&[("id", PgType::Int(2), true), ("photo", PgType::Bytes, true)]);
    let texts = PgType::Array(Box::new(PgType::Text));
    let otherwise = differing(&[("id", PgType::Int(2), Form::Same), ("tags", texts, Form::Same)]);
    let cases = [
        (
            &same,
            format!(r#"{{"id":1,"photo":"{UNAVAILABLE_BYTES}","sync_version":5}}"#),
        ),
        (
            &otherwise,
            r#"{"id":1,"tags":["__debezium_unavailable_value"],"sync_version":5}"#.to_owned(),
        ),
    ];
    for (table, after) in cases {
        let mut theirs = rows();
        let refused = theirs.row_of_debezium(table, bytes(&after), None, 0).unwrap_err();
        assert!(matches!(refused, Refused::Unavailable(_)), "{refused}");
        let record = format!(r#"{after},"source":{{"version":"3.7.0.Final","schema":"public"}}}}"#);
        assert!(!theirs.begun(table, bytes(&record), 0));
        assert!(theirs.bytes.is_empty() && theirs.ends.is_empty());
        // Our connector has another form for it: this is a value.
        let mut ours = rows();
        ours.row(table, bytes(&after), None, 0).unwrap();
        assert_eq!(ours.ends.len(), 1);
    }
    let before = raw(r#"{"id":1,"photo":"AP8Q","sync_version":4}"#);
    let after = format!(r#"{{"id":1,"photo":"{UNAVAILABLE_BYTES}","sync_version":5}}"#);
    let mut rows = rows();
    rows.row_of_debezium(&same, bytes(&after), Some(&before), 0).unwrap();
    assert_eq!(rows.bytes, with_version(&[1, 0, 3, 0x00, 0xff, 0x10], 0));
}

/// Such records are in topics from when a domain over a domain was text, whatever it is made of.
#[test]
fn a_value_that_travelled_as_text_is_what_it_would_be_now() {
    let numbers = PgType::Array(Box::new(PgType::Int(4)));
    for (pg, then, now) in [
        (PgType::Int(4), r#""7""#, "7"),
        (PgType::Bool, r#""t""#, "true"),
        (PgType::Date, r#""0044-03-15 BC""#, "-735160"),
        (PgType::Time, r#""12:00:00.5""#, "43200500000"),
        (PgType::Timestamp, r#""1970-01-01 00:00:01""#, "1000000"),
        (
            PgType::TimestampTz,
            r#""2024-02-29 12:00:00.25+00""#,
            r#""2024-02-29T12:00:00.250000Z""#,
        ),
        (PgType::Bytes, r#""\\x00ff10""#, r#""AP8Q""#),
        (numbers, r#""{1,NULL,3}""#, "[1,null,3]"),
    ] {
        let table = table(&[("id", PgType::Int(2), true), ("x", pg.clone(), false)]);
        let (mut old, mut new) = (rows(), rows());
        for (rows, value) in [(&mut old, then), (&mut new, now)] {
            let row = format!(r#"{{"id":1,"x":{value},"sync_version":5}}"#);
            rows.row(&table, bytes(&row), None, 0).unwrap();
        }
        assert_eq!(old.bytes, new.bytes, "{pg:?}");
    }
    let table = table(&[("id", PgType::Int(2), true), ("x", PgType::Date, false)]);
    let row = r#"{"id":1,"x":"no date","sync_version":5}"#;
    let refused = rows().row(&table, bytes(row), None, 0).unwrap_err().to_string();
    assert!(refused.contains("no date"), "{refused}");
}

#[test]
fn a_delete_has_its_key_and_its_mark() {
    let mut rows = rows();
    rows.tombstone(&todos(), "{\"id\": 1}", 5, 41).unwrap();
    assert_eq!(rows.bytes, with_version(&[1, 0, 1], 1));
    assert_eq!(rows.deletes, 1);
    let lacking = rows.tombstone(&todos(), "{\"no\": 1}", 5, 42).unwrap_err().to_string();
    assert!(lacking.contains("lacks column id"), "{lacking}");
    assert_eq!(rows.ends.len(), 1);
}

/// A delete's key comes as jsonb, a row's as the codec has it: both must be the same key.
#[test]
fn a_key_has_the_same_bytes_in_a_row_and_in_a_delete() {
    let cases = [
        (
            PgType::TimestampTz,
            "\"2024-02-29T12:00:00.250000Z\"",
            "\"2024-02-29T12:00:00.25+00:00\"",
        ),
        (
            PgType::TimestampTz,
            "\"0000-01-01T00:00:00.000000Z\"",
            "\"0001-01-01T00:00:00+00:00 BC\"",
        ),
        (PgType::TimestampTz, "\"infinity\"", "\"infinity\""),
        (PgType::Timestamp, "1709208000250000", "\"2024-02-29T12:00:00.25\""),
        (PgType::Date, "-735160", "\"0044-03-15 BC\""),
        (PgType::Date, "\"infinity\"", "\"infinity\""),
        (PgType::TimeTz, "\"12:00:00Z\"", "\"12:00:00+00\""),
        (PgType::Time, "86399000001", "\"23:59:59.000001\""),
        (PgType::Bytes, "\"AP8Q\"", "\"\\\\x00ff10\""),
        (PgType::Numeric { precision: 9, scale: 2 }, "\"1.50\"", "1.50"),
        (PgType::Text, "\"1.50\"", "1.50"),
        (PgType::Oid, "7", "\"7\""),
        (PgType::Bool, "true", "true"),
        (PgType::Float(8), "1e20", "100000000000000000000"),
        (
            PgType::Array(Box::new(PgType::Date)),
            "[1,2]",
            "[\"1970-01-02\", \"1970-01-03\"]",
        ),
        (
            PgType::Uuid,
            "\"61f0c404-5cb3-11e7-907b-a6006ad3dba0\"",
            "\"61f0c404-5cb3-11e7-907b-a6006ad3dba0\"",
        ),
    ];
    for (pg, in_row, in_key) in cases {
        let table = table(&[("k", pg.clone(), true)]);
        let (mut row, mut delete) = (rows(), rows());
        row.row(
            &table,
            bytes(&format!("{{\"k\": {in_row}, \"sync_version\": 5}}")),
            None,
            0,
        )
        .unwrap();
        delete.tombstone(&table, &format!("{{\"k\": {in_key}}}"), 5, 0).unwrap();
        let key = |rows: &Rows| rows.bytes[..rows.bytes.len() - 9].to_vec();
        assert_eq!(key(&row), key(&delete), "{pg:?} {in_row}");
    }
}

#[test]
fn what_debezium_writes_otherwise_becomes_the_same_bytes() {
    let days = PgType::Array(Box::new(PgType::Date));
    let table = differing(&[
        ("id", PgType::Int(2), Form::Same),
        ("b", PgType::Text, Form::Bits(3)),
        ("p", PgType::Text, Form::Point),
        ("d", PgType::Date, Form::Date),
        ("l", days, Form::Date),
        ("m", PgType::Text, Form::Money),
        ("i", PgType::Text, Form::Interval),
    ]);
    let ours = r#"{"id":1,"b":"101","p":"(1,2.5)","d":"infinity","l":["-infinity",1],"m":"-$1,234.50","i":"PT0S","sync_version":5}"#;
    let theirs = r#"{"id":1,"b":"BQ==","p":{"x":1.0,"y":2.5},"d":2146033979,"l":[-2147472691,1],"m":"-1234.50","i":"P0Y0M0DT0H0M0S","sync_version":5}"#;
    let behind = |row: &str, version: &str| format!(r#"{row},"source":{{"version":"{version}","schema":"public"}}}}"#);
    let (mut one, mut other) = (rows(), rows());
    assert!(one.begun(&table, behind(ours, "0.1.0").as_bytes(), 7));
    other.row_of_debezium(&table, bytes(theirs), None, 7).unwrap();
    assert_eq!((&one.bytes, &one.offsets), (&other.bytes, &other.offsets));
    // Of a record of Debezium's, the row alone is not enough: neither the quick way nor the long one may guess.
    for row in [ours, theirs, r#"{"id":1,"sync_version":5}"#] {
        assert!(!other.begun(&table, behind(row, "3.7.0.Final").as_bytes(), 8), "{row}");
        assert!(!other.begun(&table, bytes(row), 8), "{row}");
    }
    assert_eq!((&one.bytes, other.ends.len()), (&other.bytes, 1));
    let plain = self::table(&[("id", PgType::Int(2), true)]);
    assert!(rows().begun(
        &plain,
        behind(r#"{"id":1,"sync_version":5}"#, "3.7.0.Final").as_bytes(),
        9
    ));
}

#[test]
fn a_value_of_debeziums_that_cannot_be_read_is_refused() {
    let texts = PgType::Array(Box::new(PgType::Text));
    for (pg, form, raw) in [
        (PgType::Text, Form::Bits(3), "5"),
        (PgType::Text, Form::Point, "\"(1,2)\""),
        (texts, Form::Same, "[\"[Ljava.lang.String;@65d9810d\"]"),
    ] {
        let mut table = differing(&[("id", PgType::Int(2), Form::Same), ("x", pg, form.clone())]);
        table.columns[1].debezium = Some(form);
        let mut rows = rows();
        let row = format!("{{\"id\":1,\"x\":{raw},\"sync_version\":5}}");
        let refused = rows.row_of_debezium(&table, row.as_bytes(), None, 0).unwrap_err();
        assert!(refused.to_string().contains("not what Debezium writes"), "{refused}");
        assert!(rows.bytes.is_empty() && rows.ends.is_empty());
    }
}
