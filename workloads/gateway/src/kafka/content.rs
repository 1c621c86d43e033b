//! Bytes of a record as something to look at: JSON, text or base64.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;
use serde_json::{Number, Value};
use utoipa::ToSchema;

/// The integers a browser's numbers hold.
const SAFE: i64 = (1 << 53) - 1;

/// How bytes are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Parsed; integers beyond ±(2^53 − 1) are text.
    Json,
    /// As UTF-8; what is not is replaced by U+FFFD.
    Text,
    /// Binary, in base64.
    Base64,
}

/// Bytes to look at.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    /// What is shown.
    pub value: Value,
    /// And how; absent for null.
    pub encoding: Option<Encoding>,
    /// Only the beginning is shown.
    pub truncated: bool,
}

impl Content {
    /// JSON if the bytes are, otherwise as [`Content::text`].
    pub fn of(bytes: Option<&[u8]>, most: usize) -> Self {
        let small = bytes.filter(|bytes| bytes.len() <= most);
        match small.and_then(|bytes| serde_json::from_slice(bytes).ok()) {
            Some(value) => Self {
                value,
                encoding: Some(Encoding::Json),
                truncated: false,
            },
            None => Self::text(bytes, most),
        }
    }

    /// Text, or base64 of what is binary; no more than `most` bytes of it.
    pub fn text(bytes: Option<&[u8]>, most: usize) -> Self {
        let Some(bytes) = bytes else {
            return Self {
                value: Value::Null,
                encoding: None,
                truncated: false,
            };
        };
        let beginning = beginning(bytes, most);
        let text = String::from_utf8_lossy(beginning);
        let (text, encoding) = if is_binary(&text) {
            (STANDARD.encode(beginning), Encoding::Base64)
        } else {
            (text.into_owned(), Encoding::Text)
        };
        Self {
            value: Value::String(text),
            encoding: Some(encoding),
            truncated: beginning.len() < bytes.len(),
        }
    }

    /// With integers that a browser would round as text.
    #[must_use]
    pub fn safe(mut self) -> Self {
        make_safe(&mut self.value);
        self
    }
}

/// No character is cut in two.
fn beginning(bytes: &[u8], most: usize) -> &[u8] {
    let mut end = most.min(bytes.len());
    while end > 0 && bytes.get(end).is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000) && most - end < 3 {
        end -= 1;
    }
    &bytes[..end]
}

/// Text has no NUL, and little in it is unreadable.
fn is_binary(text: &str) -> bool {
    let unreadable =
        |c: &char| *c == char::REPLACEMENT_CHARACTER || (c.is_control() && !matches!(c, '\t' | '\n' | '\r'));
    text.contains('\0') || text.chars().filter(unreadable).count() * 10 > text.chars().count()
}

/// Integers that a browser would round become text.
pub fn make_safe(value: &mut Value) {
    match value {
        Value::Number(number) if !is_safe(number) => *value = Value::String(number.to_string()),
        Value::Array(values) => values.iter_mut().for_each(make_safe),
        Value::Object(fields) => fields.values_mut().for_each(make_safe),
        _ => {}
    }
}

fn is_safe(number: &Number) -> bool {
    // What is no integer is a double in the browser as it is here.
    number.is_f64() || number.as_i64().is_some_and(|n| (-SAFE..=SAFE).contains(&n))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn shown(bytes: &[u8]) -> (Value, Encoding) {
        let content = Content::of(Some(bytes), 1000).safe();
        (content.value, content.encoding.unwrap())
    }

    #[test]
    fn json_is_parsed_text_is_text_and_binary_is_base64() {
        assert_eq!(
            shown(br#"{"a":[1,"x",null]}"#),
            (json!({"a": [1, "x", null]}), Encoding::Json)
        );
        assert_eq!(shown(b"\"quoted\""), (json!("quoted"), Encoding::Json));
        assert_eq!(shown(b"plain\ntext"), (json!("plain\ntext"), Encoding::Text));
        assert_eq!(shown(b""), (json!(""), Encoding::Text));
        let lossy = b"a few words with one bad byte \xff in them";
        assert_eq!(
            shown(lossy),
            (json!("a few words with one bad byte \u{fffd} in them"), Encoding::Text)
        );
        assert_eq!(
            shown(b"\x00\x00\x00\x00\x07avro"),
            (json!("AAAAAAdhdnJv"), Encoding::Base64)
        );
        assert_eq!(shown(&[0xff; 4]), (json!("/////w=="), Encoding::Base64));
        let null = Content::of(None, 1000);
        assert_eq!((null.value, null.encoding), (Value::Null, None));
    }

    #[test]
    fn integers_that_a_browser_would_round_are_text() {
        let value = shown(br#"{"small":9007199254740991,"big":9007199254740992,"low":-9007199254740992,"huge":[18446744073709551615],"real":1e300}"#).0;
        let expected = json!({"small": 9_007_199_254_740_991_i64, "big": "9007199254740992", "low": "-9007199254740992",
            "huge": ["18446744073709551615"], "real": 1e300});
        assert_eq!(value, expected);
    }

    #[test]
    fn json_that_cannot_be_held_is_text() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        assert_eq!(shown(deep.as_bytes()), (json!(deep), Encoding::Text));
    }

    #[test]
    fn of_what_is_too_long_the_beginning_is_shown() {
        let long = Content::of(Some("äöü".as_bytes()), 3);
        assert_eq!((long.value, long.truncated), (json!("ä"), true));
        let fits = Content::of(Some("äöü".as_bytes()), 6);
        assert_eq!((fits.value, fits.truncated), (json!("äöü"), false));
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_they_are_shown(bytes in prop::collection::vec(any::<u8>(), 0..300), most in 0usize..300) {
            let content = Content::of(Some(&bytes), most);
            prop_assert_eq!(content.truncated, bytes.len() > most);
            if content.encoding == Some(Encoding::Base64) {
                let decoded = STANDARD.decode(content.value.as_str().unwrap()).unwrap();
                prop_assert!(bytes.starts_with(&decoded));
            }
        }
    }
}
