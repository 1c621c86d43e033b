//! Values of a type, within what the column's limits ask for.

use super::{random::Random, time, words};
use crate::schema::{Kind, Limits};

/// The numbers a column takes, in steps of a power of ten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The lowest, in steps.
    pub low: i128,
    /// The highest, in steps.
    pub high: i128,
    /// How many decimal places a step has.
    pub scale: u32,
}

impl Span {
    /// What a column of numbers takes: its type's range, what it is asked for, and of that about a thousand around where people would look,
    /// or `usual` if its name says so. `None` for other types.
    pub fn of(kind: &Kind, limits: &Limits, usual: Option<(i32, i32)>) -> Option<Self> {
        let whole = Self::whole(kind, limits)?;
        let unit = 10_i128.pow(whole.scale);
        let (low, high) = match usual {
            Some((low, high)) => (i128::from(low) * unit, i128::from(high) * unit),
            None if limits.min.is_some() => (whole.low, whole.low.saturating_add(1000 * unit)),
            None if limits.max.is_some() => (whole.high.saturating_sub(1000 * unit), whole.high),
            None => (0, 1000 * unit),
        };
        let (low, high) = (low.clamp(whole.low, whole.high), high.clamp(whole.low, whole.high));
        Some(Self { low, high, ..whole })
    }

    /// All it takes. It is empty (`high` below `low`) if the limits contradict one another.
    pub fn whole(kind: &Kind, limits: &Limits) -> Option<Self> {
        let (most, scale) = match kind {
            Kind::Integer(most) => (i128::from(*most), 0),
            Kind::Numeric(Some((precision, scale))) => {
                // Beyond 30 digits nobody counts.
                let scale = (*scale).min(15);
                (10_i128.pow((*precision).clamp(scale, scale + 15)) - 1, scale)
            }
            Kind::Numeric(None) | Kind::Money => (10_i128.pow(17), 2),
            Kind::Float { double: true } => (1 << 53, 3),
            Kind::Float { double: false } => (1 << 24, 1),
            _ => return None,
        };
        let lowest = if matches!(kind, Kind::Integer(most) if *most == i64::from(u32::MAX)) {
            0
        } else {
            -most
        };
        let step = |(bound, exclusive): (f64, bool), up: i128| {
            let steps = bound * 10_f64.powi(i32::try_from(scale).unwrap_or_default());
            let rounded = if up > 0 { steps.ceil() } else { steps.floor() };
            let exact = (rounded - steps).abs() < 1e-9;
            saturating(rounded) + if exclusive && exact { up } else { 0 }
        };
        Some(Self {
            low: limits.min.map_or(lowest, |min| step(min, 1).max(lowest)),
            high: limits.max.map_or(most, |max| step(max, -1).min(most)),
            scale,
        })
    }

    /// As text.
    pub fn text(self, steps: i128) -> String {
        if self.scale == 0 {
            return steps.to_string();
        }
        let unit = 10_u128.pow(self.scale);
        let (sign, steps) = (if steps < 0 { "-" } else { "" }, steps.unsigned_abs());
        let width = self.scale as usize;
        format!("{sign}{}.{:0width$}", steps / unit, steps % unit)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "what is beyond becomes the highest or the lowest"
)]
fn saturating(number: f64) -> i128 {
    (number as i128).clamp(-(1 << 90), 1 << 90)
}

/// How many characters a text may have: at least, and at most.
pub fn lengths(max: Option<u32>, limits: &Limits) -> (usize, usize) {
    let most = [max, limits.max_length].into_iter().flatten().min().unwrap_or(u32::MAX);
    (limits.min_length as usize, most as usize)
}

/// Makes a text fit: cut at its end, or filled up there.
pub fn fit(mut text: String, (least, most): (usize, usize)) -> String {
    if text.chars().count() > most {
        text = text.chars().take(most).collect();
        // A blank at the end would not come back from a char(n).
        while text.ends_with(' ') {
            text.pop();
            text.push('x');
        }
    }
    let short = least.saturating_sub(text.chars().count());
    text.extend(std::iter::repeat_n('x', short));
    text
}

/// Any value of the type; `None` if none can be made.
pub fn value(kind: &Kind, limits: &Limits, random: &mut Random, row: u64) -> Option<String> {
    if let Some(span) = Span::of(kind, limits, None) {
        return Some(span.text(random.between(span.low, span.high)));
    }
    let hex = |number: u64| format!("{number:016x}");
    Some(match kind {
        Kind::Bool => random.percent(50).to_string(),
        Kind::Text(max) => {
            let text = format!("{} {}", random.word(&words::VERBS), random.word(&words::THINGS));
            fit(text, lengths(*max, limits))
        }
        Kind::Bytes => format!("\\x{}", hex(random.any())),
        Kind::Date | Kind::Timestamp | Kind::TimestampTz => time::moment(kind, time::created(row)),
        Kind::Time => clock(random.below(86_400)),
        Kind::TimeTz => format!("{}+00", clock(random.below(86_400))),
        Kind::Interval => format!("{} days {}", random.below(100), clock(random.below(86_400))),
        Kind::Uuid => uuid(random.any(), random.any()),
        Kind::Json | Kind::Jsonb => format!(
            r#"{{"n": {}, "color": "{}"}}"#,
            random.below(1000),
            random.word(&words::COLORS)
        ),
        Kind::Xml => format!("<color>{}</color>", random.word(&words::COLORS)),
        Kind::Inet => format!(
            "10.{}.{}.{}",
            random.below(256),
            random.below(256),
            1 + random.below(254)
        ),
        Kind::Cidr => format!("10.{}.{}.0/24", random.below(256), random.below(256)),
        Kind::MacAddr => mac(random.below(1 << 40), 6),
        Kind::MacAddr8 => mac(random.any() >> 8, 8),
        Kind::Bits(length) => (0..*length)
            .map(|_| if random.percent(50) { '1' } else { '0' })
            .collect(),
        Kind::Lsn => format!("{:X}/{:X}", random.below(1 << 16), random.below(1 << 32)),
        Kind::TsVector => format!(
            "'{}' '{}'",
            random.word(&words::COLORS),
            random.word(&words::CITIES).to_lowercase()
        ),
        Kind::TsQuery => format!(
            "'{}' & '{}'",
            random.word(&words::COLORS),
            random.word(&words::CITIES).to_lowercase()
        ),
        Kind::Geometry(name) => geometry(name, random),
        Kind::Range(over) => range(over, random)?,
        Kind::Multirange(over) => format!("{{{}}}", range(over, random)?),
        Kind::Enum(labels) => random.one(labels)?.clone(),
        Kind::Array(element) => {
            let items = (0..=random.below(3)).map(|_| value(element, &Limits::default(), random, row));
            array(&items.collect::<Option<Vec<_>>>()?)
        }
        Kind::Integer(_) | Kind::Numeric(_) | Kind::Money | Kind::Float { .. } | Kind::Other(_) => return None,
    })
}

/// Elements in quotes, whatever they are.
pub fn array(items: &[String]) -> String {
    let quoted = items
        .iter()
        .map(|item| format!("\"{}\"", item.replace('\\', "\\\\").replace('"', "\\\"")));
    format!("{{{}}}", quoted.collect::<Vec<_>>().join(","))
}

/// Seconds of a day.
pub fn clock(seconds: u64) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Of version 4; 122 bits of these are kept.
pub fn uuid(high: u64, low: u64) -> String {
    let (high, low) = (high & !0xf000 | 0x4000, low & (u64::MAX >> 2) | 1 << 63);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

/// A locally administered address of so many bytes.
pub fn mac(number: u64, bytes: u32) -> String {
    let rest = (0..bytes - 1)
        .rev()
        .map(|byte| format!(":{:02x}", number >> (8 * byte) & 0xff));
    format!("02{}", rest.collect::<String>())
}

fn geometry(name: &str, random: &mut Random) -> String {
    let mut point = || format!("({},{})", random.below(100), random.below(100));
    match name {
        "point" => point(),
        "line" => format!("{{1,-1,{}}}", point().len()),
        "circle" => format!("<{},5>", point()),
        "box" => format!("(200,200),{}", point()),
        "lseg" | "path" => format!("[{},(200,200)]", point()),
        _ => format!("({},(200,200),(300,100))", point()),
    }
}

fn range(over: &Kind, random: &mut Random) -> Option<String> {
    let (low, length) = (random.below(1000), 1 + random.below(50));
    let seconds = 1_735_689_600 + low * 86_400;
    Some(match over {
        Kind::Integer(_) | Kind::Numeric(_) => format!("[{low},{})", low + length),
        Kind::Date | Kind::Timestamp | Kind::TimestampTz => {
            let (from, to) = (
                time::moment(over, seconds),
                time::moment(over, seconds + length * 86_400),
            );
            format!("[\"{from}\",\"{to}\")")
        }
        _ => return None,
    })
}
