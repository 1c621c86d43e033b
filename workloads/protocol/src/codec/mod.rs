//! Column values on the wire: Postgres' text form to Debezium's JSON and back.
//!
//! One codec serves snapshot and stream. Debezium's defaults ("PostgreSQL connector", section "Data type mappings") with
//! `decimal.handling.mode=string`, `interval.handling.mode=string` and `binary.handling.mode=bytes`. Whatever has no form there
//! (infinity in a `date`, a time beyond 64-bit microseconds, arrays with their own lower bounds) travels as Postgres' own text, in a JSON
//! string; [`decode`] takes such a string for every type, so nothing is rounded or lost.
//!
//! The text must be made with `DateStyle=ISO`, `TimeZone=UTC`, `IntervalStyle=iso_8601`, `bytea_output=hex`: see [`SESSION_SETTINGS`].

mod array;
pub mod debezium;
mod time;
pub mod unavailable;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Number, Value};

/// Settings of every session whose text this codec reads, as name and value.
pub const SESSION_SETTINGS: [(&str, &str); 5] = [
    ("datestyle", "ISO"),
    ("timezone", "UTC"),
    ("intervalstyle", "iso_8601"),
    ("bytea_output", "hex"),
    ("extra_float_digits", "1"),
];

/// How a type travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// JSON true or false.
    Bool,
    /// int2, int4, int8, oid: a JSON number.
    Integer,
    /// float4, float8: a JSON number; NaN and infinities as text.
    Float,
    /// numeric, text, uuid, json, enums and everything else: Postgres' text.
    Text,
    /// bytea: base64.
    Bytes,
    /// date: days since 1970-01-01.
    Date,
    /// time: microseconds since midnight.
    Time,
    /// timestamp: microseconds since 1970-01-01T00:00:00.
    Timestamp,
    /// timestamptz: ISO 8601 in UTC.
    TimestampTz,
    /// timetz: ISO 8601 with its offset.
    TimeTz,
    /// An array of these.
    Array(Box<ColumnType>),
}

impl ColumnType {
    /// The form of the type with this OID (a domain's base type, for a domain). `element` is the OID of its elements, if it is an array.
    pub fn of(oid: u32, element: Option<u32>) -> Self {
        // The one type whose arrays are divided by semicolons: box.
        if let Some(element) = element.filter(|&element| element != 603) {
            return Self::Array(Box::new(Self::of(element, None)));
        }
        match oid {
            16 => Self::Bool,
            17 => Self::Bytes,
            20 | 21 | 23 | 26 => Self::Integer,
            700 | 701 => Self::Float,
            1082 => Self::Date,
            1083 => Self::Time,
            1114 => Self::Timestamp,
            1184 => Self::TimestampTz,
            1266 => Self::TimeTz,
            _ => Self::Text,
        }
    }
}

/// A value that is not of its column's type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value} cannot be read as a {expected:?} column")]
pub struct DecodeError {
    value: String,
    expected: ColumnType,
}

/// Postgres' text to JSON.
pub fn encode(kind: &ColumnType, text: &str) -> Value {
    encoded(kind, text).unwrap_or_else(|| Value::String(text.to_owned()))
}

fn encoded(kind: &ColumnType, text: &str) -> Option<Value> {
    Some(match kind {
        ColumnType::Bool => match text {
            "t" | "true" => Value::Bool(true),
            "f" | "false" => Value::Bool(false),
            _ => return None,
        },
        ColumnType::Integer => text.parse::<i64>().ok()?.into(),
        ColumnType::Float => Value::Number(Number::from_f64(text.parse().ok()?)?),
        ColumnType::Text => return None,
        ColumnType::Bytes => Value::String(STANDARD.encode(unhex(text.strip_prefix("\\x")?)?)),
        ColumnType::Date => time::days(text)?.into(),
        ColumnType::Time => time::micros_of_day(text)?.into(),
        ColumnType::Timestamp => time::micros(text)?.into(),
        ColumnType::TimestampTz => Value::String(time::zoned_to_iso(text)?),
        ColumnType::TimeTz => Value::String(time::time_tz_to_iso(text)?),
        ColumnType::Array(element) => array::to_json(text, &|item| encode(element, item))?,
    })
}

/// JSON to Postgres' text; `None` is NULL.
pub fn decode(kind: &ColumnType, value: &Value) -> Result<Option<String>, DecodeError> {
    let wrong = || DecodeError {
        value: value.to_string(),
        expected: kind.clone(),
    };
    let text = match (kind, value) {
        (_, Value::Null) => return Ok(None),
        (ColumnType::Bytes, Value::String(base64)) => match STANDARD.decode(base64) {
            Ok(bytes) => format!("\\x{}", hex(&bytes)),
            Err(_) if base64.starts_with("\\x") => base64.clone(),
            Err(_) => return Err(wrong()),
        },
        (ColumnType::TimestampTz, Value::String(iso)) => time::zoned_from_iso(iso),
        (_, Value::String(text)) => text.clone(),
        (ColumnType::Bool, Value::Bool(value)) => value.to_string(),
        (ColumnType::Integer | ColumnType::Float | ColumnType::Text, Value::Number(number)) => number.to_string(),
        (ColumnType::Date, Value::Number(days)) => days.as_i64().and_then(time::date_text).ok_or_else(wrong)?,
        (ColumnType::Time, Value::Number(micros)) => micros.as_i64().and_then(time::time_text).ok_or_else(wrong)?,
        (ColumnType::Timestamp, Value::Number(micros)) => {
            micros.as_i64().map(time::timestamp_text).ok_or_else(wrong)?
        }
        (ColumnType::Array(element), Value::Array(items)) => {
            array::from_json(items, &|item| decode(element, item).map_err(|_| wrong()))?
        }
        // A JSON document that somebody put in unquoted.
        (ColumnType::Text, document) => document.to_string(),
        _ => return Err(wrong()),
    };
    Ok(Some(text))
}

/// Microseconds since the Unix epoch of an instant in the form a timestamptz travels in; `None` for anything else, infinity included.
pub fn micros_of_instant(iso: &str) -> Option<i64> {
    time::micros_from_iso(iso)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pair = |pair: &[u8]| u8::try_from(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?).ok();
    text.as_bytes().chunks(2).map(pair).collect()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn array(of: ColumnType) -> ColumnType {
        ColumnType::Array(Box::new(of))
    }

    #[test]
    fn every_type_has_debeziums_form_and_comes_back() {
        use ColumnType::{Bool, Bytes, Date, Float, Integer, Text, Time, TimeTz, Timestamp, TimestampTz};
        let cases = [
            (Bool, "t", json!(true), "true"),
            (Integer, "-9223372036854775808", json!(i64::MIN), "-9223372036854775808"),
            (Float, "0.1", json!(0.1), "0.1"),
            (Float, "NaN", json!("NaN"), "NaN"),
            (Float, "-Infinity", json!("-Infinity"), "-Infinity"),
            (Text, "1e400", json!("1e400"), "1e400"),
            (Bytes, "\\x00ff10", json!("AP8Q"), "\\x00ff10"),
            (Bytes, "\\x", json!(""), "\\x"),
            (Date, "1970-01-02", json!(1), "1970-01-02"),
            (Date, "0044-03-15 BC", json!(-735_160), "0044-03-15 BC"),
            (Date, "infinity", json!("infinity"), "infinity"),
            (Time, "23:59:59.000001", json!(86_399_000_001_i64), "23:59:59.000001"),
            (Time, "24:00:00", json!(86_400_000_000_i64), "24:00:00"),
            (
                Timestamp,
                "1969-12-31 23:59:59.5",
                json!(-500_000),
                "1969-12-31 23:59:59.500000",
            ),
            (Timestamp, "-infinity", json!("-infinity"), "-infinity"),
            (
                Timestamp,
                "294276-12-31 23:59:59.999999",
                json!("294276-12-31 23:59:59.999999"),
                "294276-12-31 23:59:59.999999",
            ),
            (
                TimestampTz,
                "2024-02-29 12:00:00.25+00",
                json!("2024-02-29T12:00:00.250000Z"),
                "2024-02-29 12:00:00.250000+00",
            ),
            (
                TimestampTz,
                "0001-01-01 00:00:00+00 BC",
                json!("0000-01-01T00:00:00.000000Z"),
                "0001-01-01 00:00:00.000000+00 BC",
            ),
            (TimestampTz, "infinity", json!("infinity"), "infinity"),
            (TimeTz, "12:00:00+02", json!("12:00:00+02"), "12:00:00+02"),
            (array(Integer), "{1,NULL,3}", json!([1, null, 3]), "{\"1\",NULL,\"3\"}"),
            (
                array(Text),
                r#"{a,"b \"q\" \\ ,","NULL",""}"#,
                json!(["a", "b \"q\" \\ ,", "NULL", ""]),
                r#"{"a","b \"q\" \\ ,","NULL",""}"#,
            ),
            (
                array(Integer),
                "{{1,2},{3,4}}",
                json!([[1, 2], [3, 4]]),
                r#"{{"1","2"},{"3","4"}}"#,
            ),
            (array(Integer), "[0:1]={1,2}", json!("[0:1]={1,2}"), "[0:1]={1,2}"),
            (array(Text), "{}", json!([]), "{}"),
        ];
        for (kind, text, wire, back) in cases {
            assert_eq!(encode(&kind, text), wire, "{kind:?} {text}");
            assert_eq!(decode(&kind, &wire).unwrap().as_deref(), Some(back), "{kind:?} {wire}");
        }
    }

    /// Records of before a column's type was known (a domain over a domain was text) are in topics.
    #[test]
    fn what_travelled_as_text_is_read_whatever_the_type_is_now() {
        use ColumnType::{Bool, Bytes, Date, Float, Integer, Time, TimeTz, Timestamp, TimestampTz};
        for (kind, text) in [
            (Bool, "t"),
            (Integer, "-7"),
            (Float, "1e-300"),
            (Bytes, r"\x00ff10"),
            (Date, "0044-03-15 BC"),
            (Time, "12:00:00.5"),
            (Timestamp, "2024-02-29 12:00:00"),
            (TimestampTz, "2024-02-29 12:00:00.25+00"),
            (TimeTz, "12:00:00+02"),
            (array(Integer), "{1,NULL,3}"),
        ] {
            assert_eq!(decode(&kind, &json!(text)).unwrap().as_deref(), Some(text), "{kind:?}");
        }
    }

    #[test]
    fn null_is_null_for_every_type() {
        assert_eq!(decode(&ColumnType::Date, &Value::Null), Ok(None));
    }

    #[test]
    fn a_value_of_another_type_is_an_error_and_not_a_guess() {
        assert!(decode(&ColumnType::Bool, &json!(3)).is_err());
        assert!(decode(&ColumnType::Bytes, &json!("not base64!")).is_err());
        assert!(decode(&array(ColumnType::Date), &json!([true])).is_err());
    }
}
