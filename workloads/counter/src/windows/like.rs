//! A record of the likes, as far as windows need it.

use std::borrow::Cow;

use serde::Deserialize;

/// The end of the year 9999: no clock is that wrong, so a later time is no time.
const LAST: i64 = 253_402_300_799_999;

/// What is counted.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Like<'a> {
    /// Of what.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// How many; negative for an unlike, and for a like taken back.
    pub n: i64,
    /// When, in milliseconds.
    pub at: i64,
}

/// Why a record is not counted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not JSON, or not a like.
    #[error("not a like: {0}")]
    Json(#[from] serde_json::Error),
    /// Nothing the nodes write.
    #[error("n is {0}: a node writes whole numbers that fit 32 bits, never 0")]
    Number(i64),
    /// Nothing a clock says.
    #[error("at is {0}: no time in milliseconds since 1970")]
    Time(i64),
}

/// Reads a record's value.
pub fn read(value: &[u8]) -> Result<Like<'_>, Error> {
    let like = match scan(value) {
        Some(like) => like,
        None => serde_json::from_slice(value)?,
    };
    if like.n == 0 || i32::try_from(like.n).is_err() {
        return Err(Error::Number(like.n));
    }
    if !(0..=LAST).contains(&like.at) {
        return Err(Error::Time(like.at));
    }
    Ok(like)
}

/// The members as the nodes write them, in their order and without escapes, without building anything. Whatever looks different in any way is
/// left to the JSON parser.
fn scan(value: &[u8]) -> Option<Like<'_>> {
    let rest = value.strip_prefix(br#"{"id":""#)?;
    let (id, rest) = text(rest)?;
    let rest = rest.strip_prefix(br#","by":""#)?;
    let (_, rest) = text(rest)?;
    let (n, rest) = number(rest.strip_prefix(br#","n":"#)?)?;
    let (at, rest) = number(rest.strip_prefix(br#","at":"#)?)?;
    let (_, rest) = number(rest.strip_prefix(br#","node":"#)?)?;
    let (_, rest) = number(rest.strip_prefix(br#","position":"#)?)?;
    // Versions before this one wrote no incarnation.
    let rest = match rest.strip_prefix(br#","incarnation":""#) {
        Some(rest) => text(rest)?.1,
        None => rest,
    };
    (rest == b"}").then_some(Like { id: id.into(), n, at })
}

/// Up to the closing quote.
fn text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
    (bytes[end] == b'"').then_some(())?;
    Some((std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 1..]))
}

/// A whole number of at most 18 digits.
fn number(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (negative, digits) = match bytes.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, bytes),
    };
    let length = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    let plain = length == 1 || (2..=18).contains(&length) && digits[0] != b'0';
    plain.then_some(())?;
    let number = digits[..length]
        .iter()
        .fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
    Some((if negative { -number } else { number }, &digits[length..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_no_node_writes_is_refused_with_a_reason() {
        for (value, reason) in [
            ("", "not a like: EOF"),
            ("{", "not a like: EOF"),
            ("[]", "not a like"),
            (
                r#"{"id":"a","by":"b","n":1.5,"at":1,"node":0,"position":1}"#,
                "not a like: invalid type",
            ),
            (r#"{"id":"a","by":"b","n":0,"at":1,"node":0,"position":1}"#, "n is 0"),
            (
                r#"{"id":"a","by":"b","n":3000000000,"at":1,"node":0,"position":1}"#,
                "n is 3000000000",
            ),
            (r#"{"id":"a","by":"b","n":1,"at":-1,"node":0,"position":1}"#, "at is -1"),
            (
                r#"{"id":"a","by":"b","n":1,"at":999999999999999999,"node":0,"position":1}"#,
                "at is 999",
            ),
            (r#"{"id":"a","by":"b","n":1}"#, "not a like: missing field `at`"),
            (
                r#"{"id":"a","by":"b","n":01,"at":1,"node":0,"position":1}"#,
                "not a like",
            ),
        ] {
            let refused = read(value.as_bytes()).unwrap_err().to_string();
            assert!(refused.starts_with(reason), "{value}: {refused}");
        }
        assert!(read(b"{\"id\":\"\xff\",\"by\":\"b\",\"n\":1,\"at\":1,\"node\":0,\"position\":1}").is_err());
    }

    #[test]
    fn members_in_another_order_or_more_of_them_are_read_too() {
        let like = read(br#" {"more":[{"n":7}],"at":5,"n":-2,"id":"a\u00e9"}"#).unwrap();
        assert_eq!(
            like,
            Like {
                id: "a\u{e9}".into(),
                n: -2,
                at: 5
            }
        );
    }

    proptest! {
        #[test]
        fn the_scanner_reads_what_the_parser_reads(id in any::<String>(), by in "[a-z\"\\\\]{0,4}", n in any::<i32>(), at in any::<i64>(), position in any::<u64>(), incarnation in "(|,\"incarnation\":\"[0-9a-f]{16}\")") {
            let like = json!({"id": id, "by": by, "n": n, "at": at, "node": 1, "position": position}).to_string();
            let value = format!("{}{incarnation}}}", like.trim_end_matches('}')).into_bytes();
            if let Some(scanned) = scan(&value) {
                prop_assert_eq!(scanned, serde_json::from_slice::<Like<'_>>(&value).unwrap());
            } else {
                prop_assert!(id.chars().chain(by.chars()).any(|c| c < ' ' || c == '"' || c == '\\') || at.unsigned_abs() >= 10u64.pow(18) || position >= 10u64.pow(18));
            }
        }

        #[test]
        fn nothing_makes_it_panic(value in any::<Vec<u8>>()) {
            let _ = read(&value);
        }
    }
}
