//! Values from the wire to ClickHouse's RowBinary. Pure.
//!
//! RowBinary has one form for a value, whatever the version: what the sink writes is what `verify` reads back, byte by byte.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, value::RawValue};
use synccluster_protocol::codec::{
    self,
    debezium::{self, Form},
};

use crate::types::{ChType, PgType};

/// A value that ClickHouse has no place for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// NULL where none may be.
    #[error("it is null, and {0} takes no null")]
    Null(ChType),
    /// Another type, or out of its range.
    #[error("{value} does not fit into {into}")]
    Range {
        /// The value, its beginning.
        value: String,
        /// The column's type.
        into: ChType,
    },
    /// An array of arrays, or with a lower bound of its own.
    #[error(
        "{value} is not an array of one dimension that begins at 1; give the column the type String in the definitions of tables to keep such arrays as JSON"
    )]
    Shape {
        /// The value, its beginning.
        value: String,
    },
    /// In no form that Debezium has for the column's type.
    #[error("{0} cannot be read: it is not what Debezium writes for a value of the type the column has now")]
    Debezium(String),
}

/// As much of a value as a message shows.
const SHOWN: usize = 80;

fn shown(raw: &str) -> String {
    raw.chars().take(SHOWN).collect()
}

/// A value of Debezium's (JSON text) as we write it.
pub fn of_debezium(raw: &str, pg: &PgType, form: &Form) -> Result<String, Unfit> {
    let kind = pg.wire();
    let unfit = || Unfit::Debezium(shown(raw));
    let value: Value = serde_json::from_str(raw).map_err(|_| unfit())?;
    let text = debezium::decode_debezium(form, &kind, &value).map_err(|_| unfit())?;
    Ok(match (text, form) {
        (None, _) => "null".to_owned(),
        (Some(text), Form::Money) => codec::encode(&kind, &debezium::money(&text)).to_string(),
        (Some(text), _) => codec::encode(&kind, &text).to_string(),
    })
}

/// Appends a value as it travels (JSON text). After an error what was appended is of no use.
pub fn value(out: &mut Vec<u8>, raw: &str, pg: &PgType, into: &ChType) -> Result<(), Unfit> {
    let unfit = || Unfit::Range {
        value: shown(raw),
        into: into.clone(),
    };
    if raw == "null" {
        return match into {
            ChType::Nullable(_) | ChType::Array(_) => {
                zero(out, into);
                Ok(())
            }
            ChType::LowCardinality(inner) => value(out, raw, pg, inner),
            _ => Err(Unfit::Null(into.clone())),
        };
    }
    match into {
        ChType::Nullable(inner) => {
            out.push(0);
            value(out, raw, pg, inner)
        }
        ChType::LowCardinality(inner) => value(out, raw, pg, inner),
        ChType::Int(bytes) => signed(out, whole(raw, pg).ok_or_else(unfit)?, *bytes).ok_or_else(unfit),
        ChType::UInt(bytes) => unsigned(out, whole(raw, pg).ok_or_else(unfit)?, *bytes).ok_or_else(unfit),
        ChType::Float(bytes) => float(out, &text(raw), *bytes).ok_or_else(unfit),
        ChType::Decimal { precision, scale } => decimal(out, &text(raw), *precision, *scale).ok_or_else(unfit),
        ChType::Uuid => uuid(out, &text(raw)).ok_or_else(unfit),
        ChType::Date32 => {
            // From 1900 to 2299 (ClickHouse's documentation, "Date32").
            let days = whole(raw, pg).filter(|days| (-25_567..=120_529).contains(days));
            signed(out, days.ok_or_else(unfit)?, 4).ok_or_else(unfit)
        }
        ChType::DateTime64(_) => {
            let first = -25_567 * 86_400_000_000;
            let micros = whole(raw, pg).filter(|micros| (first..120_530 * 86_400_000_000).contains(micros));
            signed(out, micros.ok_or_else(unfit)?, 8).ok_or_else(unfit)
        }
        ChType::String => {
            string(out, &content(raw, pg).ok_or_else(unfit)?);
            Ok(())
        }
        ChType::Array(inner) => {
            let PgType::Array(element) = pg else {
                return Err(unfit());
            };
            let misshapen = || Unfit::Shape { value: shown(raw) };
            let items: Vec<&RawValue> = serde_json::from_str(raw).map_err(|_| misshapen())?;
            if items.iter().any(|item| item.get().starts_with('[')) {
                return Err(misshapen());
            }
            length(out, items.len());
            items.iter().try_for_each(|item| value(out, item.get(), element, inner))
        }
    }
}

/// What a column of the type holds where nothing was written.
pub fn zero(out: &mut Vec<u8>, into: &ChType) {
    match into {
        ChType::Int(bytes) | ChType::UInt(bytes) | ChType::Float(bytes) => {
            out.extend_from_slice(&[0; 8][..usize::from(*bytes).min(8)]);
        }
        ChType::Decimal { precision, .. } => out.extend_from_slice(&[0; 16][..decimal_bytes(*precision)]),
        ChType::String | ChType::Array(_) => out.push(0),
        ChType::Uuid => out.extend_from_slice(&[0; 16]),
        ChType::Date32 => out.extend_from_slice(&[0; 4]),
        ChType::DateTime64(_) => out.extend_from_slice(&[0; 8]),
        ChType::Nullable(_) => out.push(1),
        ChType::LowCardinality(inner) => zero(out, inner),
    }
}

/// How many of the bytes the first value takes; `None` while some of it are missing.
pub fn extent(bytes: &[u8], of: &ChType) -> Option<usize> {
    let extent = match of {
        ChType::Int(bytes) | ChType::UInt(bytes) | ChType::Float(bytes) => usize::from(*bytes),
        ChType::Decimal { precision, .. } => decimal_bytes(*precision),
        ChType::Uuid => 16,
        ChType::Date32 => 4,
        ChType::DateTime64(_) => 8,
        ChType::LowCardinality(inner) => extent(bytes, inner)?,
        ChType::Nullable(inner) => match bytes.first()? {
            0 => 1 + extent(bytes.get(1..)?, inner)?,
            _ => 1,
        },
        ChType::String => {
            let (length, digits) = read_length(bytes)?;
            digits.checked_add(length)?
        }
        ChType::Array(inner) => {
            let (length, mut extent) = read_length(bytes)?;
            for _ in 0..length {
                extent += self::extent(bytes.get(extent..)?, inner)?;
            }
            extent
        }
    };
    (bytes.len() >= extent).then_some(extent)
}

/// LEB128, and how many bytes it has.
fn read_length(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for (place, byte) in bytes.iter().enumerate().take(9) {
        length |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((length, place + 1));
        }
    }
    None
}

/// A string with its length.
pub fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    length(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// LEB128.
fn length(out: &mut Vec<u8>, mut rest: usize) {
    loop {
        let seven = rest.to_le_bytes()[0] & 0x7f;
        rest >>= 7;
        if rest == 0 {
            out.push(seven);
            return;
        }
        out.push(seven | 0x80);
    }
}

/// The text in a JSON string, or the token itself.
fn text(raw: &str) -> Cow<'_, str> {
    let Some(inner) = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')) else {
        return Cow::Borrowed(raw);
    };
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    serde_json::from_str::<String>(raw).map_or(Cow::Borrowed(inner), Cow::Owned)
}

/// What a String column holds of a value.
fn content<'a>(raw: &'a str, pg: &PgType) -> Option<Cow<'a, [u8]>> {
    Some(match (pg, text(raw)) {
        (PgType::Bytes, text) => Cow::Owned(STANDARD.decode(text.as_bytes()).ok()?),
        // One form of the same array, whoever wrote the JSON.
        (PgType::Array(_), Cow::Borrowed(text)) if raw.starts_with('[') => {
            Cow::Owned(serde_json::from_str::<Value>(text).ok()?.to_string().into_bytes())
        }
        (_, Cow::Borrowed(text)) => Cow::Borrowed(text.as_bytes()),
        (_, Cow::Owned(text)) => Cow::Owned(text.into_bytes()),
    })
}

/// Integers, and what is kept as one.
pub fn whole(raw: &str, pg: &PgType) -> Option<i64> {
    let text = text(raw);
    let infinite = |least: i64, most: i64| match &*text {
        "infinity" => Some(most),
        "-infinity" => Some(least),
        _ => None,
    };
    match pg {
        PgType::Bool => match raw {
            "true" => Some(1),
            "false" => Some(0),
            _ => None,
        },
        PgType::Int(_) | PgType::Oid | PgType::Time => text.parse().ok(),
        // Infinity is what Postgres keeps for it, in days and in microseconds.
        PgType::Date => text.parse().ok().or_else(|| infinite(i32::MIN.into(), i32::MAX.into())),
        PgType::Timestamp => text.parse().ok().or_else(|| infinite(i64::MIN, i64::MAX)),
        PgType::TimestampTz => codec::micros_of_instant(&text).or_else(|| infinite(i64::MIN, i64::MAX)),
        _ => None,
    }
}

fn signed(out: &mut Vec<u8>, value: i64, bytes: u8) -> Option<()> {
    match bytes {
        1 => out.extend_from_slice(&i8::try_from(value).ok()?.to_le_bytes()),
        2 => out.extend_from_slice(&i16::try_from(value).ok()?.to_le_bytes()),
        4 => out.extend_from_slice(&i32::try_from(value).ok()?.to_le_bytes()),
        _ => out.extend_from_slice(&value.to_le_bytes()),
    }
    Some(())
}

fn unsigned(out: &mut Vec<u8>, value: i64, bytes: u8) -> Option<()> {
    match bytes {
        1 => out.extend_from_slice(&u8::try_from(value).ok()?.to_le_bytes()),
        2 => out.extend_from_slice(&u16::try_from(value).ok()?.to_le_bytes()),
        4 => out.extend_from_slice(&u32::try_from(value).ok()?.to_le_bytes()),
        _ => out.extend_from_slice(&u64::try_from(value).ok()?.to_le_bytes()),
    }
    Some(())
}

fn float(out: &mut Vec<u8>, text: &str, bytes: u8) -> Option<()> {
    // NaN, Infinity and -Infinity are read as well.
    if bytes == 4 {
        out.extend_from_slice(&text.parse::<f32>().ok()?.to_le_bytes());
    } else {
        out.extend_from_slice(&text.parse::<f64>().ok()?.to_le_bytes());
    }
    Some(())
}

fn decimal_bytes(precision: u8) -> usize {
    match precision {
        0..=9 => 4,
        10..=18 => 8,
        _ => 16,
    }
}

/// The digits as a whole number; `None` for NaN, and for what has more digits than the column.
fn decimal(out: &mut Vec<u8>, text: &str, precision: u8, scale: u8) -> Option<()> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (before, after) = digits.split_once('.').unwrap_or((digits, ""));
    let scale = usize::from(scale);
    let (kept, beyond) = after.split_at_checked(scale).unwrap_or((after, ""));
    if before.is_empty() || beyond.bytes().any(|digit| digit != b'0') {
        return None;
    }
    let padding = std::iter::repeat_n(b'0', scale - kept.len());
    let mut digits = before
        .bytes()
        .chain(kept.bytes())
        .chain(padding)
        .map(|digit| digit.is_ascii_digit().then(|| digit - b'0'));
    // In half the bits, where that is enough, this takes a fraction of the time.
    let number: i128 = if before.len() + scale <= 18 {
        let number = digits.try_fold(0_i64, |number, digit| Some(number * 10 + i64::from(digit?)));
        number?.into()
    } else {
        digits.try_fold(0_i128, |number, digit| {
            number.checked_mul(10)?.checked_add(digit?.into())
        })?
    };
    if number >= 10_i128.checked_pow(precision.into())? {
        return None;
    }
    let number = if negative { -number } else { number };
    out.extend_from_slice(&number.to_le_bytes()[..decimal_bytes(precision)]);
    Some(())
}

/// Two halves, each with its lowest byte first.
fn uuid(out: &mut Vec<u8>, text: &str) -> Option<()> {
    let mut number: u128 = 0;
    let mut digits = 0;
    for character in text.chars().filter(|character| *character != '-') {
        number = number.checked_mul(16)? | u128::from(character.to_digit(16)?);
        digits += 1;
    }
    if digits != 32 {
        return None;
    }
    out.extend_from_slice(&number.rotate_right(64).to_le_bytes());
    Some(())
}

#[cfg(test)]
mod tests;
