//! Values of which no two rows have the same: each is made from the row's number in a way that can be read back.

use super::{random::mix, time, typed};
use crate::schema::{Kind, Limits};

/// The digits of a number that is part of a text: lower case, so that an index over `lower(…)` tells them apart as well.
fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    loop {
        digits.push(b"0123456789abcdefghijklmnopqrstuvwxyz"[usize::try_from(number % 36).unwrap_or_default()]);
        number /= 36;
        if number == 0 {
            break;
        }
    }
    digits.iter().rev().map(|&digit| char::from(digit)).collect()
}

/// How many rows can differ in such a column; 0 if no two can be made to.
pub fn capacity(kind: &Kind, limits: &Limits, start: i128) -> u64 {
    if let Some(values) = &limits.values {
        return values.len() as u64;
    }
    if let Some(span) = typed::Span::whole(kind, limits) {
        return u64::try_from(span.high - first(span, start) + 1).unwrap_or(if span.high < span.low {
            0
        } else {
            u64::MAX
        });
    }
    match kind {
        Kind::Bool => 2,
        Kind::Enum(labels) => labels.len() as u64,
        Kind::Text(max) => 36_u64
            .checked_pow(u32::try_from(typed::lengths(*max, limits).1).unwrap_or(u32::MAX))
            .unwrap_or(u64::MAX),
        Kind::Bits(length) => 1_u64.checked_shl(*length).unwrap_or(u64::MAX),
        Kind::Date => 1_000_000,
        Kind::Time | Kind::TimeTz => 86_400,
        Kind::Timestamp | Kind::TimestampTz => 1 << 35,
        Kind::Inet | Kind::Cidr | Kind::MacAddr => 1 << 40,
        Kind::Bytes | Kind::Interval | Kind::Uuid | Kind::Jsonb | Kind::MacAddr8 | Kind::Lsn => 1 << 48,
        Kind::Range(over) => match over.as_ref() {
            Kind::Integer(most) => u64::try_from(*most).unwrap_or_default(),
            Kind::Numeric(_) => 1 << 40,
            Kind::Date => 1_000_000,
            _ => 0,
        },
        Kind::Array(element) => capacity(element, &Limits::default(), 0),
        _ => 0,
    }
}

fn first(span: typed::Span, start: i128) -> i128 {
    let start = start.saturating_mul(10_i128.pow(span.scale));
    // Below 1 nobody counts, unless he has to.
    start.max(1).max(span.low).min(span.high.max(span.low))
}

/// The value of a row that is the `place`th, from 0. `plain` is what the column would have without having to differ: texts keep what of it fits.
pub fn value(
    kind: &Kind,
    limits: &Limits,
    start: i128,
    place: u64,
    seed: u64,
    plain: Option<String>,
) -> Option<String> {
    let index = usize::try_from(place).unwrap_or(usize::MAX);
    if let Some(values) = &limits.values {
        return values.get(index).cloned();
    }
    if let Some(span) = typed::Span::whole(kind, limits) {
        return Some(span.text(first(span, start) + i128::from(place)));
    }
    Some(match kind {
        Kind::Bool => (place == 1).to_string(),
        Kind::Enum(labels) => labels.get(index)?.clone(),
        Kind::Text(max) => text(&plain.unwrap_or_default(), place, typed::lengths(*max, limits)),
        Kind::Bits(length) => {
            let length = *length as usize;
            let bits = format!("{place:0length$b}");
            bits[bits.len().saturating_sub(length)..].to_owned()
        }
        Kind::Date => time::moment(kind, 86_400 * place),
        Kind::Time => typed::clock(place),
        Kind::TimeTz => format!("{}+00", typed::clock(place)),
        Kind::Timestamp | Kind::TimestampTz => time::moment(kind, 1_735_689_600 + place),
        Kind::Inet => format!(
            "fd00::{:x}:{:x}:{:x}",
            place >> 32,
            place >> 16 & 0xffff,
            place & 0xffff
        ),
        Kind::Cidr => format!(
            "fd00::{:x}:{:x}:{:x}/128",
            place >> 32,
            place >> 16 & 0xffff,
            place & 0xffff
        ),
        Kind::MacAddr => typed::mac(place, 6),
        Kind::MacAddr8 => typed::mac(place, 8),
        Kind::Bytes => format!("\\x{:016x}{place:016x}", mix(seed)),
        Kind::Interval => format!("{place} seconds"),
        // An odd factor maps the 62 bits onto themselves, so that neighbours do not look like it.
        Kind::Uuid => typed::uuid(
            mix(seed ^ place),
            place.wrapping_mul(0x9e37_79b9_7f4a_7c15) & (u64::MAX >> 2),
        ),
        Kind::Jsonb => format!(r#"{{"n": {place}}}"#),
        Kind::Lsn => format!("{:X}/{:X}", place >> 32, place & 0xffff_ffff),
        Kind::Range(over) => match over.as_ref() {
            Kind::Date => format!(
                "[{},{})",
                time::moment(over, 86_400 * place),
                time::moment(over, 86_400 * (place + 1))
            ),
            _ => format!("[{place},{})", place + 1),
        },
        Kind::Array(element) => {
            let item = value(element, &Limits::default(), 0, place, seed, plain)?;
            typed::array(&[item])
        }
        _ => return None,
    })
}

/// As much as fits of the plain text, and the number. `-` and `+` are no digits, so no number runs into the text before it.
fn text(plain: &str, place: u64, (least, most): (usize, usize)) -> String {
    let number = base36(place);
    let (before, after) = match plain.split_once('@') {
        Some((name, host)) if name.len() + number.len() + host.len() + 2 <= most => {
            (format!("{name}+"), format!("@{host}"))
        }
        _ => (format!("{plain}-"), String::new()),
    };
    let room = most.saturating_sub(number.chars().count() + after.chars().count());
    let kept: String = if room < 4 {
        String::new()
    } else if before.chars().count() > room {
        before.chars().take(room - 1).chain(['-']).collect()
    } else {
        before
    };
    let fill = least.saturating_sub(kept.chars().count() + number.chars().count() + after.chars().count());
    // Filled up at the front: `000…` with the number behind is still one text a number.
    format!("{}{kept}{number}{after}", "0".repeat(fill))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_type_that_can_gives_a_thousand_rows_a_thousand_values() {
        let kinds = [
            Kind::Integer(i16::MAX.into()),
            Kind::Numeric(Some((6, 2))),
            Kind::Numeric(None),
            Kind::Float { double: false },
            Kind::Text(Some(2)),
            Kind::Text(Some(5)),
            Kind::Text(None),
            Kind::Bits(10),
            Kind::Date,
            Kind::Time,
            Kind::TimestampTz,
            Kind::Inet,
            Kind::Cidr,
            Kind::MacAddr,
            Kind::MacAddr8,
            Kind::Bytes,
            Kind::Interval,
            Kind::Uuid,
            Kind::Jsonb,
            Kind::Lsn,
            Kind::Range(Box::new(Kind::Date)),
            Kind::Array(Box::new(Kind::Text(None))),
        ];
        for kind in kinds {
            let limits = Limits::default();
            assert!(capacity(&kind, &limits, 0) >= 1000, "{kind:?}");
            for plain in ["", "a", "Buy milk", "ada@example.com"] {
                let made = (0..1000).map(|place| value(&kind, &limits, 0, place, 1, Some(plain.to_owned())).unwrap());
                assert_eq!(made.collect::<BTreeSet<_>>().len(), 1000, "{kind:?} {plain:?}");
            }
        }
    }

    #[test]
    fn what_is_too_small_says_how_much_it_holds() {
        let none = Limits::default();
        assert_eq!(capacity(&Kind::Bool, &none, 0), 2);
        assert_eq!(capacity(&Kind::Text(Some(1)), &none, 0), 36);
        assert_eq!(capacity(&Kind::Integer(i16::MAX.into()), &none, 32_000), 768);
        assert_eq!(capacity(&Kind::Json, &none, 0), 0);
    }

    #[test]
    fn a_text_keeps_what_fits() {
        let limits = Limits::default();
        let made = |max, plain: &str| value(&Kind::Text(max), &limits, 0, 40, 1, Some(plain.to_owned())).unwrap();
        assert_eq!(made(None, "Buy milk"), "Buy milk-14");
        assert_eq!(made(Some(8), "Buy milk"), "Buy m-14");
        assert_eq!(made(Some(3), "Buy milk"), "14");
        assert_eq!(made(None, "ada@example.com"), "ada+14@example.com");
    }
}
