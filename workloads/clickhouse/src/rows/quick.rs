//! The quick way through a row: its columns in the table's order and without spaces, as both engines write them, from the bytes of the record
//! to those of the insert in one pass. It never guesses: whatever is otherwise is `None`, and the long way reads the row from its beginning.

use memchr::memchr2;
use serde_json::value::RawValue;
use synccluster_protocol::{
    codec::unavailable::UNAVAILABLE_BYTES,
    event::{PARENT_COLUMN, UNAVAILABLE_VALUE, VERSION_COLUMN},
};

use crate::{encode, table::Table};

/// Appends the row's columns as our connector writes them, and returns its version and what is behind it. After `None` what was appended is of no
/// use.
pub(super) fn row<'a>(out: &mut Vec<u8>, table: &Table, after: &'a [u8]) -> Option<(i64, &'a [u8])> {
    let mut columns = table.columns.iter();
    let mut next = columns.next();
    let mut version = None;
    let mut rest = after.strip_prefix(b"{")?;
    let behind = loop {
        let named = next.and_then(|column| named(rest, &column.name).map(|behind| (column, behind)));
        let raw;
        if let Some((column, behind)) = named {
            (raw, rest) = value(behind)?;
            if may_be_unavailable(raw) {
                return None;
            }
            encode::value(out, raw, &column.pg, &column.ch).ok()?;
            next = columns.next();
        } else if let Some(behind) = named_own(rest, VERSION_COLUMN) {
            (raw, rest) = value(behind)?;
            version = Some(raw.parse().ok()?);
        } else {
            (_, rest) = value(named_own(rest, PARENT_COLUMN)?)?;
        }
        match rest.split_first()? {
            (b',', behind) => rest = behind,
            (b'}', behind) => break behind,
            _ => return None,
        }
    };
    // A column that is missing has a value of its own.
    next.is_none().then_some((version?, behind))
}

/// Whether it may stand for a value that was not sent, whoever wrote the row. Other forms come in tables only that Debezium writes otherwise.
fn may_be_unavailable(raw: &str) -> bool {
    let text = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"'));
    text.is_some_and(|text| [UNAVAILABLE_VALUE, UNAVAILABLE_BYTES].contains(&text))
}

/// What is behind `"name":`, if that is what comes. A name that JSON writes otherwise is none.
fn named<'a>(rest: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let behind = named_own(rest, name)?;
    (!name.contains('\\')).then_some(behind)
}

/// The same for a name without a backslash, behind which another name could hide.
fn named_own<'a>(rest: &'a [u8], name: &str) -> Option<&'a [u8]> {
    rest.strip_prefix(b"\"")?
        .strip_prefix(name.as_bytes())?
        .strip_prefix(b"\":")
}

/// The value that begins here as it is written, and what is behind it.
fn value(rest: &[u8]) -> Option<(&str, &[u8])> {
    let end = match rest.first()? {
        b'"' => string(rest),
        b'0'..=b'9' | b'-' => whole(rest),
        b'n' => rest.starts_with(b"null").then_some(4),
        b't' => rest.starts_with(b"true").then_some(4),
        b'f' => rest.starts_with(b"false").then_some(5),
        _ => None,
    };
    if let Some((raw, behind)) = end.and_then(|end| rest.split_at_checked(end)) {
        return Some((std::str::from_utf8(raw).ok()?, behind));
    }
    let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<&RawValue>();
    let raw = values.next()?.ok()?.get();
    Some((raw, rest.get(values.byte_offset()..)?))
}

/// Where a string without escapes ends.
fn string(rest: &[u8]) -> Option<usize> {
    let length = memchr2(b'"', b'\\', rest.get(1..)?)?;
    let end = length + 2;
    let plain = rest.get(length + 1) == Some(&b'"') && rest.get(1..=length)?.iter().all(|byte| *byte >= b' ');
    plain.then_some(end)
}

/// Where a whole number ends.
fn whole(rest: &[u8]) -> Option<usize> {
    let digits = usize::from(rest.first() == Some(&b'-'));
    let end = digits
        + rest
            .get(digits..)?
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
    let leads_with_zero = rest.get(digits) == Some(&b'0') && end > digits + 1;
    let ends = matches!(rest.get(end), Some(b',' | b'}'));
    (end > digits && ends && !leads_with_zero).then_some(end)
}

#[cfg(test)]
mod tests;
