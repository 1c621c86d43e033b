//! Values of change events, whichever engine sent them, as tables show them. Pure.

use serde_json::Value;
use synccluster_protocol::{
    codec::{
        self, ColumnType, DecodeError,
        debezium::{self, Form, decode_sent},
        unavailable::is_unavailable,
    },
    event::UNAVAILABLE_VALUE,
};

use super::catalogue::Column;

impl Column {
    /// The text Postgres prints for its value in a change event; `None` is null.
    pub fn sent(&self, value: &Value, of_debezium: bool) -> Result<Option<String>, DecodeError> {
        let text = decode_sent(of_debezium, &self.debezium, &self.wire, value)?;
        Ok(text.map(|text| match self.debezium {
            Ok(Form::Money) if of_debezium => debezium::money(&text),
            _ => as_printed(&self.wire, text),
        }))
    }

    /// Its value in a change event, to look at: the text Postgres prints, but booleans and numbers as such and arrays as JSON. What is not of its
    /// type, because the table was another one then, stays as it came.
    pub fn sent_shown(&self, value: &Value, of_debezium: bool) -> Value {
        // Too large to be sent again: no value at all.
        if is_unavailable(of_debezium, value) {
            return UNAVAILABLE_VALUE.into();
        }
        match self.sent(value, of_debezium) {
            Ok(Some(text)) => shown(&self.wire, &codec::encode(&self.wire, &text)),
            Ok(None) => Value::Null,
            Err(_) => value.clone(),
        }
    }
}

fn shown(kind: &ColumnType, value: &Value) -> Value {
    match (kind, value) {
        (ColumnType::Bool | ColumnType::Integer | ColumnType::Float, _) => value.clone(),
        (ColumnType::Array(element), Value::Array(items)) => items
            .iter()
            .map(|item| shown(if item.is_array() { kind } else { element.as_ref() }, item))
            .collect(),
        _ => match codec::decode(kind, value) {
            Ok(Some(text)) => as_printed(kind, text).into(),
            _ => value.clone(),
        },
    }
}

/// The codec writes six digits of a second; Postgres leaves out zeros at the end.
fn as_printed(kind: &ColumnType, text: String) -> String {
    let of_time = [ColumnType::Time, ColumnType::Timestamp, ColumnType::TimestampTz];
    let Some((whole, rest)) = text.split_once('.').filter(|_| of_time.contains(kind)) else {
        return text;
    };
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (fraction, zone) = rest.split_at(digits);
    match fraction.trim_end_matches('0') {
        "" => format!("{whole}{zone}"),
        fraction => format!("{whole}.{fraction}{zone}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::rows::fixture;

    #[test]
    fn a_time_has_no_zeros_at_its_end() {
        let printed = |kind, text: &str| as_printed(&kind, text.to_owned());
        let zoned = |text| printed(ColumnType::TimestampTz, text);
        assert_eq!(zoned("2024-02-29 12:00:00.250000+00"), "2024-02-29 12:00:00.25+00");
        assert_eq!(zoned("2024-02-29 12:00:00.000000+00"), "2024-02-29 12:00:00+00");
        assert_eq!(printed(ColumnType::Text, "1.50"), "1.50");
    }

    #[test]
    fn a_value_is_shown_alike_whichever_engine_sent_it() {
        for (kind, ours, theirs, expected) in [
            ("bigint", json!(i64::MAX), json!(i64::MAX), json!(i64::MAX)),
            ("boolean", json!(false), json!(false), json!(false)),
            ("text", json!("a"), json!("a"), json!("a")),
            ("text", Value::Null, Value::Null, Value::Null),
            (
                "jsonb",
                json!("{\"a\": 1.10}"),
                json!("{\"a\": 1.10}"),
                json!("{\"a\": 1.10}"),
            ),
            ("date", json!(19_782), json!(19_782), json!("2024-02-29")),
            ("date", json!("infinity"), json!(2_146_033_979), json!("infinity")),
            ("bit(3)", json!("101"), json!("BQ=="), json!("101")),
            ("point", json!("(1.5,2)"), json!({"x": 1.5, "y": 2.0}), json!("(1.5,2)")),
            ("money", json!("$1,234.50"), json!(1234.5), json!("$1,234.50")),
            (
                "date[]",
                json!([19_782, null]),
                json!([19_782, null]),
                json!(["2024-02-29", null]),
            ),
            (
                "date[]",
                json!(["infinity"]),
                json!([2_146_033_979]),
                json!(["infinity"]),
            ),
            ("date", json!(true), json!(true), json!(true)),
            (
                "bit(3)",
                json!(UNAVAILABLE_VALUE),
                json!(UNAVAILABLE_VALUE),
                json!(UNAVAILABLE_VALUE),
            ),
            (
                "text[]",
                json!(UNAVAILABLE_VALUE),
                json!([UNAVAILABLE_VALUE]),
                json!(UNAVAILABLE_VALUE),
            ),
        ] {
            let table = fixture::table(&[&format!("it {kind}")]);
            let column = table.column("it").unwrap();
            assert_eq!(column.sent_shown(&ours, false), expected, "{kind}");
            assert_eq!(column.sent_shown(&theirs, true), expected, "{kind} of Debezium");
        }
    }
}
