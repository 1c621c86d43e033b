//! Values as Debezium 3 writes them where that is not the form of [`super`] (with `decimal.handling.mode=string`,
//! `interval.handling.mode=string`, `hstore.handling.mode=json`, `include.unknown.datatypes=true`): measured, since its documentation leaves
//! most of it out. What it cannot carry without loss is no [`Form`] but a [`Lost`]. What is made of it is the text Postgres prints: not everybody
//! who keeps it has a Postgres that would print it again.

mod print;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{ColumnType, DecodeError, decode};

/// How Debezium writes the values of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// As we do.
    Same,
    /// numeric: NaN and the infinities under names of its own.
    Numeric,
    /// bit(n): base64 of the bytes, the last first; bit(1) is true or false.
    Bits(usize),
    /// date, and arrays of it: infinities are days of which Postgres has none.
    Date,
    /// timestamp: infinities are the ends of 64 bits.
    Timestamp,
    /// point: an object.
    Point,
    /// line: an object.
    Line,
    /// circle: an object.
    Circle,
    /// box, lseg, path, polygon: base64 of well-known binary.
    Shape(Shape),
    /// hstore: JSON text.
    Hstore,
    /// interval: with the parts that are zero.
    Interval,
    /// money: a number.
    Money,
    /// A type it does not know: base64 of Postgres' text.
    Opaque,
}

/// What points of well-known binary are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The ring around it; Postgres writes the first corner and the one across.
    Box,
    /// Two points.
    Segment,
    /// Open or closed, as `extensions` says.
    Path,
    /// A ring that ends where it began.
    Polygon,
}

/// Values of this type do not survive Debezium.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Lost(&'static str);

/// A column's type, as the catalogue has it; of a domain its base type.
#[derive(Clone, Debug)]
pub struct TypeFacts<'a> {
    /// `pg_type.oid`.
    pub oid: u32,
    /// `pg_type.typname`.
    pub name: &'a str,
    /// `pg_type.typtype`.
    pub kind: char,
    /// `atttypmod`.
    pub modifier: i32,
    /// Of an array, its elements: the OID, of a domain its base type's, and their own `typtype`.
    pub element: Option<(u32, char)>,
    /// `attndims`: how many dimensions it was declared with. Nothing holds Postgres to it.
    pub dimensions: i16,
}

/// Element types of arrays that arrive whole (as long as they have one dimension).
const ELEMENTS: [u32; 20] = [
    16, 17, 20, 21, 23, 25, 26, 114, 700, 701, 869, 1042, 1043, 1082, 1083, 1114, 1184, 1700, 2950, 3802,
];
/// Types whose text Debezium passes on: char, name, text, json, xml, macaddr8, macaddr, inet, cidr, bpchar, varchar, uuid, tsvector, jsonb,
/// ranges. And those we share the form of: bool, bytea, integers, oid, floats, time, timestamptz.
const SAME: [u32; 29] = [
    16, 17, 18, 19, 20, 21, 23, 25, 26, 114, 142, 650, 700, 701, 774, 829, 869, 1042, 1043, 1083, 1184, 2950, 3614,
    3802, 3904, 3906, 3908, 3910, 3912,
];
const INT8RANGE: u32 = 3926;

/// How Debezium writes a type.
pub fn form(of: &TypeFacts<'_>) -> Result<Form, Lost> {
    match (of.element, of.oid, of.kind, of.name) {
        (Some(_), ..) if of.dimensions > 1 => {
            Err(Lost("an array of more than one dimension arrives without its values"))
        }
        // It knows the domain's name only, and not what the domain is over: each item is base64 of its text.
        (Some((_, 'd')), ..) => Err(Lost("arrays of a domain arrive in a form the sink cannot read back")),
        (Some((1082, _)), ..) => Ok(Form::Date),
        (Some((element, kind)), ..) if ELEMENTS.contains(&element) || kind == 'e' => Ok(Form::Same),
        (Some(_), ..) => Err(Lost("arrays of this type arrive empty or without their values")),
        (_, 1266, ..) => Err(Lost("a time with time zone arrives without its offset")),
        (_, 1562, ..) => Err(Lost("a bit varying arrives without its length")),
        (.., "geometry" | "geography" | "vector" | "halfvec" | "sparsevec") => {
            Err(Lost("the sink cannot read back the form this type has there"))
        }
        (_, oid, ..) if oid == INT8RANGE || SAME.contains(&oid) => Ok(Form::Same),
        (_, 1700, ..) => Ok(Form::Numeric),
        (_, 1560, ..) => Ok(Form::Bits(usize::try_from(of.modifier).unwrap_or(1))),
        (_, 1082, ..) => Ok(Form::Date),
        (_, 1114, ..) => Ok(Form::Timestamp),
        (_, 1186, ..) => Ok(Form::Interval),
        (_, 790, ..) => Ok(Form::Money),
        (_, 600, ..) => Ok(Form::Point),
        (_, 628, ..) => Ok(Form::Line),
        (_, 718, ..) => Ok(Form::Circle),
        (_, 603, ..) => Ok(Form::Shape(Shape::Box)),
        (_, 601, ..) => Ok(Form::Shape(Shape::Segment)),
        (_, 602, ..) => Ok(Form::Shape(Shape::Path)),
        (_, 604, ..) => Ok(Form::Shape(Shape::Polygon)),
        (_, _, 'e', _) | (.., "citext" | "ltree") => Ok(Form::Same),
        (.., "hstore") => Ok(Form::Hstore),
        _ => Ok(Form::Opaque),
    }
}

/// Debezium's JSON to Postgres' text; `None` is NULL.
pub fn decode_debezium(form: &Form, kind: &ColumnType, value: &Value) -> Result<Option<String>, DecodeError> {
    if value.is_null() {
        return Ok(None);
    }
    let text = match form {
        // Every Postgres reads the number, whatever its `lc_monetary` would print.
        Form::Same | Form::Money => return same(kind, value),
        Form::Numeric => match value.as_str() {
            Some("NAN") => Some("NaN".to_owned()),
            Some("POSITIVE_INFINITY") => Some("Infinity".to_owned()),
            Some("NEGATIVE_INFINITY") => Some("-Infinity".to_owned()),
            _ => return decode(kind, value),
        },
        Form::Date => return decode(kind, &date(value)),
        Form::Timestamp => match value.as_i64() {
            Some(i64::MAX) => Some("infinity".to_owned()),
            Some(i64::MIN) => Some("-infinity".to_owned()),
            _ => return decode(kind, value),
        },
        Form::Bits(width) => bits(*width, value),
        Form::Point => point(value),
        Form::Line => (|| {
            let part = |name| number(value.get(name)?);
            Some(format!("{{{},{},{}}}", part("a")?, part("b")?, part("c")?))
        })(),
        Form::Circle => (|| {
            Some(format!(
                "<{},{}>",
                point(value.get("center")?)?,
                number(value.get("radius")?)?
            ))
        })(),
        Form::Shape(shape) => self::shape(*shape, value),
        Form::Hstore => value.as_str().and_then(hstore),
        // What is no interval of Debezium's is from when the column had another type.
        Form::Interval => value
            .as_str()
            .map(|text| print::interval(text).unwrap_or_else(|| text.to_owned())),
        Form::Opaque => bytes(value).and_then(|bytes| String::from_utf8(bytes).ok()),
    };
    text.map(Some).ok_or_else(|| wrong(kind, value))
}

/// A change event's value to Postgres' text, whichever engine sent it; `None` is NULL. What Debezium loses it never sends: of such a column there
/// is our form alone.
pub fn decode_sent(
    of_debezium: bool,
    form: &Result<Form, Lost>,
    kind: &ColumnType,
    value: &Value,
) -> Result<Option<String>, DecodeError> {
    match form {
        Ok(form) if of_debezium => decode_debezium(form, kind, value),
        _ => decode(kind, value),
    }
}

/// A number as money is printed where `lc_monetary` is C or en_US; what is none stays. Another `lc_monetary` is in no record.
pub fn money(text: &str) -> String {
    print::money(text).unwrap_or_else(|| text.to_owned())
}

/// Whether a connector of this version is Debezium: its versions have four parts, `3.7.0.Final`, and ours three.
pub fn is_version(version: &str) -> bool {
    version.split('.').count() == 4
}

fn wrong(kind: &ColumnType, value: &Value) -> DecodeError {
    DecodeError {
        value: value.to_string(),
        expected: kind.clone(),
    }
}

/// An array of texts with more than one dimension arrives as Java's names of its rows: that is no value.
fn same(kind: &ColumnType, value: &Value) -> Result<Option<String>, DecodeError> {
    let of_java = |item: &Value| {
        item.as_str()
            .is_some_and(|text| text.starts_with("[L") && text.contains(";@"))
    };
    match (kind, value) {
        (ColumnType::Array(_), Value::Array(items)) if items.iter().any(of_java) => Err(wrong(kind, value)),
        _ => decode(kind, value),
    }
}

/// Infinity and its opposite, as the stream has them, and as snapshots and arrays do.
fn date(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(date).collect(),
        value => match value.as_i64() {
            Some(2_146_033_979 | -622_191_234) => "infinity".into(),
            Some(-2_147_472_691 | -625_821_272) => "-infinity".into(),
            _ => value.clone(),
        },
    }
}

fn bytes(value: &Value) -> Option<Vec<u8>> {
    STANDARD.decode(value.as_str()?).ok()
}

fn bits(width: usize, value: &Value) -> Option<String> {
    if let Some(bit) = value.as_bool() {
        return Some(u8::from(bit).to_string());
    }
    let bytes = bytes(value)?;
    let bit = |place: usize| bytes.get(place / 8).is_some_and(|byte| byte >> (place % 8) & 1 == 1);
    Some(
        (0..width)
            .rev()
            .map(|place| if bit(place) { '1' } else { '0' })
            .collect(),
    )
}

fn number(value: &Value) -> Option<String> {
    value.as_f64().map(print::float)
}

fn point(value: &Value) -> Option<String> {
    Some(format!("({},{})", number(value.get("x")?)?, number(value.get("y")?)?))
}

/// Well-known binary, little-endian: a line string (2), or a polygon (3) of one ring.
fn points(wkb: &[u8]) -> Option<Vec<String>> {
    fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<[u8; N]> {
        let (head, tail): (&'a [u8; N], _) = rest.split_first_chunk()?;
        *rest = tail;
        Some(*head)
    }
    let rest = &mut &*wkb;
    let [order] = take::<1>(rest)?;
    let kind = u32::from_le_bytes(take(rest)?);
    let one_ring = kind != 3 || u32::from_le_bytes(take(rest)?) == 1;
    if order != 1 || !matches!(kind, 2 | 3) || !one_ring {
        return None;
    }
    let count = u32::from_le_bytes(take(rest)?);
    let all: Option<Vec<_>> = (0..count)
        .map(|_| {
            Some(format!(
                "({},{})",
                print::float(f64::from_le_bytes(take(rest)?)),
                print::float(f64::from_le_bytes(take(rest)?))
            ))
        })
        .collect();
    all.filter(|_| rest.is_empty())
}

fn shape(shape: Shape, value: &Value) -> Option<String> {
    let mut points = points(&bytes(value.get("wkb")?)?)?;
    Some(match shape {
        Shape::Box => format!("{},{}", points.first()?, points.get(2)?),
        Shape::Segment => format!("[{}]", points.join(",")),
        Shape::Path if value.pointer("/extensions/closed")?.as_str()? == "false" => format!("[{}]", points.join(",")),
        Shape::Path => format!("({})", points.join(",")),
        Shape::Polygon => {
            points.pop()?;
            format!("({})", points.join(","))
        }
    })
}

/// `{"a":"1","b":null}` to `"a"=>"1", "b"=>NULL`, in the order hstore keeps: short keys first.
fn hstore(json: &str) -> Option<String> {
    let pairs: serde_json::Map<String, Value> = serde_json::from_str(json).ok()?;
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let pair = |(key, value): (&String, &Value)| match value {
        Value::Null => Some(format!("{}=>NULL", quoted(key))),
        value => Some(format!("{}=>{}", quoted(key), quoted(value.as_str()?))),
    };
    let mut pairs: Vec<_> = pairs.iter().collect();
    pairs.sort_by(|(one, _), (other, _)| one.len().cmp(&other.len()).then_with(|| one.cmp(other)));
    Some(pairs.into_iter().map(pair).collect::<Option<Vec<_>>>()?.join(", "))
}

#[cfg(test)]
mod tests;
