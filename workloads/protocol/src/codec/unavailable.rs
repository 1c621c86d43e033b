//! What stands for a value that is not in the record: large, left alone by an update, and of a table that has no REPLICA IDENTITY FULL.
//!
//! Ours is [`UNAVAILABLE_VALUE`] as a text, whatever the type. Debezium's (`UnchangedToastedPlaceholder` of 3.7) has the type that the column had there,
//! in our settings of [`super::debezium`]: the same text; its bytes in base64, for bytea and what Debezium does not know; an object as text, for hstore; and
//! for an array one item of these or of uuid, or one number for each byte. Of all other types Debezium has none and fails.
//!
//! The form is asked for, and not the column: that may have had another type when the value was sent, and a placeholder that is taken for a
//! value is written to a table, while no value looks like one by chance.

use serde_json::Value;

use crate::event::UNAVAILABLE_VALUE;

/// Of bytea and of types that Debezium does not know: the bytes in base64.
pub const UNAVAILABLE_BYTES: &str = "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==";
/// Of hstore, with `hstore.handling.mode=json`.
const HSTORE: &str = r#"{"__debezium_unavailable_value":"__debezium_unavailable_value"}"#;
/// Of an item of uuid[]: the bytes' UUID of version 3, without a name space.
const UUID: &str = "b68a35a7-17ad-35b3-af2a-ae46edb4545a";
/// No form is longer as JSON, with spaces in it.
const LONGEST: usize = 256;

/// Whether a change event's value says that it was not sent.
pub fn is_unavailable(of_debezium: bool, value: &Value) -> bool {
    match value {
        Value::String(text) if of_debezium => [UNAVAILABLE_VALUE, UNAVAILABLE_BYTES, HSTORE].contains(&text.as_str()),
        Value::String(text) => text == UNAVAILABLE_VALUE,
        Value::Array(items) if of_debezium => match items.as_slice() {
            [Value::String(item)] => [UNAVAILABLE_VALUE, UNAVAILABLE_BYTES, UUID].contains(&item.as_str()),
            items => {
                let bytes = UNAVAILABLE_VALUE.bytes().map(|byte| Some(u64::from(byte)));
                items.iter().map(Value::as_u64).eq(bytes)
            }
        },
        _ => false,
    }
}

/// The same of the value's JSON, of which nothing is read that cannot be one.
pub fn is_unavailable_json(of_debezium: bool, json: &str) -> bool {
    json.len() <= LONGEST
        && json.starts_with(['"', '['])
        && serde_json::from_str(json).is_ok_and(|value| is_unavailable(of_debezium, &value))
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use serde_json::json;

    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_text() {
        assert_eq!(UNAVAILABLE_BYTES, STANDARD.encode(UNAVAILABLE_VALUE));
    }

    #[test]
    fn every_form_of_debeziums_is_known_and_ours_is_a_text_whatever_the_type() {
        let numbers: Value = UNAVAILABLE_VALUE.bytes().map(Value::from).collect();
        assert!(is_unavailable(false, &json!(UNAVAILABLE_VALUE)));
        assert!(is_unavailable(true, &json!(UNAVAILABLE_VALUE)));
        for theirs in [
            json!(UNAVAILABLE_BYTES),
            json!(json!({UNAVAILABLE_VALUE: UNAVAILABLE_VALUE}).to_string()),
            json!([UNAVAILABLE_VALUE]),
            json!([UNAVAILABLE_BYTES]),
            json!(["b68a35a7-17ad-35b3-af2a-ae46edb4545a"]),
            numbers,
        ] {
            assert!(is_unavailable(true, &theirs), "{theirs}");
            assert!(is_unavailable_json(true, &theirs.to_string()), "{theirs}");
            // Who sent it has such a value.
            assert!(!is_unavailable(false, &theirs), "{theirs}");
            assert!(!is_unavailable_json(false, &theirs.to_string()), "{theirs}");
        }
    }

    #[test]
    fn what_only_resembles_it_is_a_value() {
        let mut numbers: Vec<u8> = UNAVAILABLE_VALUE.bytes().collect();
        numbers.pop();
        for value in [
            json!(null),
            json!(""),
            json!([]),
            json!([95]),
            json!(numbers),
            json!(format!("{UNAVAILABLE_VALUE} ")),
            json!([UNAVAILABLE_VALUE, UNAVAILABLE_VALUE]),
            json!({UNAVAILABLE_VALUE: UNAVAILABLE_VALUE}),
            json!("b68a35a7-17ad-35b3-af2a-ae46edb4545a"),
        ] {
            assert!(!is_unavailable(true, &value), "{value}");
            assert!(!is_unavailable_json(true, &value.to_string()), "{value}");
        }
        assert!(!is_unavailable_json(true, "\"__debezium_unavailable_value"));
    }
}
