use super::*;
use crate::{
    rows::{Row, Rows},
    table::{SourceColumn, SourceTable, wanted},
    types::PgType,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use synccluster_protocol::{
    codec::{debezium::Form, unavailable::UNAVAILABLE_BYTES},
    definitions::Definitions,
    event::{TableName, UNAVAILABLE_VALUE},
};

fn types() -> Vec<PgType> {
    let numeric = |precision, scale| PgType::Numeric { precision, scale };
    vec![
        PgType::Int(8),
        PgType::Bool,
        PgType::Int(2),
        PgType::Int(4),
        PgType::Oid,
        PgType::Float(4),
        PgType::Float(8),
        numeric(12, 2),
        numeric(38, 10),
        PgType::Uuid,
        PgType::Bytes,
        PgType::Date,
        PgType::Time,
        PgType::TimeTz,
        PgType::Timestamp,
        PgType::TimestampTz,
        PgType::Array(Box::new(PgType::Text)),
        PgType::Text,
    ]
}

fn table() -> Table {
    let column = |(place, pg): (usize, PgType)| SourceColumn {
        name: format!("c{place}"),
        pg,
        sql_type: String::new(),
        not_null: place == 0,
        missing: None,
        debezium: Form::Same,
    };
    let source = SourceTable {
        name: TableName::new("public", "t"),
        columns: types().into_iter().enumerate().map(column).collect(),
        key: vec!["c0".to_owned()],
    };
    wanted(&[source], &Definitions::default()).remove(0).table.unwrap()
}

/// A value of the type as it travels.
fn travelling(pg: &PgType) -> BoxedStrategy<Value> {
    let stamp = || prop_oneof![any::<i64>().prop_map(Value::from), Just(json!("infinity"))];
    match pg {
        PgType::Bool => any::<bool>().prop_map(Value::from).boxed(),
        PgType::Int(2) => any::<i16>().prop_map(Value::from).boxed(),
        PgType::Int(4) | PgType::Date => any::<i32>().prop_map(Value::from).boxed(),
        PgType::Int(_) => any::<i64>().prop_map(Value::from).boxed(),
        PgType::Oid => any::<u32>().prop_map(Value::from).boxed(),
        PgType::Float(_) => prop_oneof![any::<f32>().prop_map(Value::from), Just(json!("NaN"))].boxed(),
        PgType::Numeric { .. } => {
            prop_oneof![30 => "-?[0-9]{1,10}\\.[0-9]{2}".prop_map(Value::from), 1 => Just(json!("NaN"))].boxed()
        }
        PgType::Uuid => "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
            .prop_map(Value::from)
            .boxed(),
        PgType::Bytes => Just(json!("AP8Q")).boxed(),
        PgType::Time | PgType::Timestamp => stamp().boxed(),
        PgType::TimeTz => Just(json!("12:00:00Z")).boxed(),
        PgType::TimestampTz => prop_oneof![
            "[12][0-9]{3}-0[1-9]-1[0-9]T1[0-9]:[0-5][0-9]:[0-5][0-9]\\.[0-9]{6}Z".prop_map(Value::from),
            Just(json!("-infinity")),
            Just(json!("-0043-03-15T00:00:00.000000Z")),
        ]
        .boxed(),
        PgType::Array(_) => any::<Vec<Option<String>>>().prop_map(Value::from).boxed(),
        PgType::Text => any::<String>().prop_map(Value::from).boxed(),
    }
}

/// A row as both engines write it.
fn row_text() -> impl Strategy<Value = String> {
    let values: Vec<_> = types()
        .iter()
        .enumerate()
        .map(|(place, pg)| {
            let value = travelling(pg);
            if place == 0 {
                value
            } else {
                prop_oneof![5 => value, 1 => Just(Value::Null)].boxed()
            }
        })
        .collect();
    (values, 0..i64::MAX).prop_map(|(values, version)| {
        let mut fields: Vec<String> = values
            .iter()
            .enumerate()
            .map(|(place, value)| format!("\"c{place}\":{value}"))
            .collect();
        // Columns that came after the table was enrolled stand behind these two.
        let last = fields.pop().unwrap_or_default();
        format!(
            "{{{},\"sync_version\":{version},\"sync_parent\":null,{last}}}",
            fields.join(",")
        )
    })
}

/// What the long way makes of it.
fn long_way(table: &Table, after: &[u8]) -> Option<Vec<u8>> {
    let mut rows = Rows::new(String::new(), "".into());
    rows.write_row(table, after, None, false).ok()?;
    Some(rows.bytes)
}

fn quick_way(table: &Table, after: &[u8]) -> Option<Vec<u8>> {
    let mut rows = Rows::new(String::new(), "".into());
    let (version, _) = row(&mut rows.bytes, table, after)?;
    rows.finish(version, false);
    Some(rows.bytes)
}

proptest! {
    #[test]
    fn both_ways_write_the_same_bytes(text in row_text()) {
        let table = table();
        let behind = format!("{text},\"source\":{{}}}}");
        prop_assert_eq!(quick_way(&table, behind.as_bytes()), long_way(&table, text.as_bytes()));
    }

    #[test]
    fn what_the_quick_way_takes_the_long_way_takes_as_well(
        text in row_text(),
        spoiled in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), prop::sample::select(&b"\"\\{}[]:,0-. e\nn"[..])], 0..3), 1..4),
    ) {
        let table = table();
        let mut bytes = text.into_bytes();
        for (place, byte, how) in spoiled {
            let place = place.index(bytes.len());
            match how {
                0 => bytes[place] = byte,
                1 => bytes.insert(place, byte),
                _ => _ = bytes.remove(place),
            }
        }
        if let Some(written) = quick_way(&table, &bytes) {
            prop_assert_eq!(long_way(&table, &bytes), Some(written), "{}", String::from_utf8_lossy(&bytes));
        }
    }
}

#[test]
fn what_is_not_as_expected_goes_the_long_way() {
    let table = table();
    let whole: Vec<String> = (0..types().len()).map(|place| format!("\"c{place}\":null")).collect();
    let with = |first: &str, last: &str| format!("{{\"c0\":{first},{}{last}}}", whole[1..].join(","));
    let version = ",\"sync_version\":5";
    assert!(quick_way(&table, with("7", version).as_bytes()).is_some());
    for text in [
        with("7", ""),
        with("null", version),
        with("07", version),
        with("-", version),
        with("\"7", version),
        with("7 ", version),
        with("7", ",\"sync_version\":\"5\""),
        with("7", &format!("{version},\"new\":1")),
        with("7", &format!("{version},\"c0\":8")),
        with("7", version).replace("\"c17\":null", &format!("\"c17\":\"{UNAVAILABLE_VALUE}\"")),
        with("7", version).replace("\"c10\":null", &format!("\"c10\":\"{UNAVAILABLE_BYTES}\"")),
        with("7", version).replace("\"c17\":null", "\"c17\":\"a\nb\""),
        with("7", version).replace(",\"c17\":null", ""),
        with("7", version).replace("{\"c0\"", "{ \"c0\""),
        with("7", version).trim_end_matches('}').to_owned(),
        "{}".to_owned(),
        String::new(),
    ] {
        assert_eq!(quick_way(&table, text.as_bytes()), None, "{text}");
    }
}

#[test]
fn a_name_with_a_backslash_is_not_taken_for_another() {
    let mut table = table();
    table.columns.truncate(1);
    table.columns[0].name = "a\\n".to_owned();
    let text = br#"{"a\n":7,"sync_version":5}"#;
    assert_eq!(quick_way(&table, text), None);
    assert!(Row::read(&table, text).is_ok_and(|row| row.unknown.as_deref() == Some("a\n")));
}
