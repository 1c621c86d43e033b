//! Values as Debezium 3 writes them where that is not the form of [`super`] (with `decimal.handling.mode=string`,
//! `interval.handling.mode=string`, `hstore.handling.mode=json`, `include.unknown.datatypes=true`): measured, since its documentation leaves
//! most of it out. What it cannot carry without loss is no [`Form`] but a [`Lost`].

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
    /// OID and `typtype` of its elements, if it is an array.
    pub element: Option<(u32, char)>,
    /// `attndims`: how many dimensions it was declared with. Nothing holds Postgres to it.
    pub dimensions: i16,
}

/// Element types of arrays that arrive whole (as long as they have one dimension).
const ELEMENTS: [u32; 20] = [
    16, 17, 20, 21, 23, 25, 26, 114, 700, 701, 869, 1042, 1043, 1082, 1083, 1114, 1184, 1700, 2950, 3802,
];
/// Types whose text Debezium passes on: char, name, text, json, xml, macaddr8, money, macaddr, inet, cidr, bpchar, varchar, interval, uuid, tsvector,
/// jsonb, ranges. And those we share the form of: bool, bytea, integers, oid, floats, time, timestamptz.
const SAME: [u32; 31] = [
    16, 17, 18, 19, 20, 21, 23, 25, 26, 114, 142, 650, 700, 701, 774, 790, 829, 869, 1042, 1043, 1083, 1184, 1186,
    2950, 3614, 3802, 3904, 3906, 3908, 3910, 3912,
];
const INT8RANGE: u32 = 3926;

/// How Debezium writes a type.
pub fn form(of: &TypeFacts<'_>) -> Result<Form, Lost> {
    match (of.element, of.oid, of.kind, of.name) {
        (Some(_), ..) if of.dimensions > 1 => {
            Err(Lost("an array of more than one dimension arrives without its values"))
        }
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
        Form::Same => return same(kind, value),
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
            let part = |name| value.get(name)?.as_f64();
            Some(format!("{{{},{},{}}}", part("a")?, part("b")?, part("c")?))
        })(),
        Form::Circle => (|| {
            Some(format!(
                "<{},{}>",
                point(value.get("center")?)?,
                value.get("radius")?.as_f64()?
            ))
        })(),
        Form::Shape(shape) => self::shape(*shape, value),
        Form::Hstore => value.as_str().and_then(hstore),
        Form::Opaque => bytes(value).and_then(|bytes| String::from_utf8(bytes).ok()),
    };
    text.map(Some).ok_or_else(|| wrong(kind, value))
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

fn point(value: &Value) -> Option<String> {
    Some(format!("({},{})", value.get("x")?.as_f64()?, value.get("y")?.as_f64()?))
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
                f64::from_le_bytes(take(rest)?),
                f64::from_le_bytes(take(rest)?)
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

/// `{"a":"1","b":null}` to `"a"=>"1", "b"=>NULL`.
fn hstore(json: &str) -> Option<String> {
    let pairs: serde_json::Map<String, Value> = serde_json::from_str(json).ok()?;
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let pair = |(key, value): (&String, &Value)| match value {
        Value::Null => Some(format!("{}=>NULL", quoted(key))),
        value => Some(format!("{}=>{}", quoted(key), quoted(value.as_str()?))),
    };
    Some(pairs.iter().map(pair).collect::<Option<Vec<_>>>()?.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn facts(oid: u32) -> TypeFacts<'static> {
        TypeFacts {
            oid,
            name: "",
            kind: 'b',
            modifier: -1,
            element: None,
            dimensions: 0,
        }
    }

    fn read(form: &Form, kind: &ColumnType, value: &Value) -> Option<String> {
        decode_debezium(form, kind, value).unwrap()
    }

    #[test]
    fn what_debezium_writes_otherwise_comes_back() {
        use Form::{Bits, Circle, Hstore, Line, Numeric, Opaque, Point};
        let wkb = |text: &str, closed: &str| json!({"wkb": text, "srid": null, "extensions": {"type": "path", "closed": closed}});
        let path = "AQIAAAACAAAAAAAAAAAA8D8AAAAAAAAAQAAAAAAAAAhAAAAAAAAAEEA=";
        let ring = "AQMAAAABAAAABQAAAAAAAAAAAAhAAAAAAAAAEEAAAAAAAAAIQAAAAAAAAABAAAAAAAAA8D8AAAAAAAAAQAAAAAAAAPA/AAAAAAAAEEAAAAAAAAAIQAAAAAAAABBA";
        let corners =
            "AQMAAAABAAAABAAAAAAAAAAAAPA/AAAAAAAAAEAAAAAAAAAIQAAAAAAAABBAAAAAAAAAFEAAAAAAAAAYQAAAAAAAAPA/AAAAAAAAAEA=";
        let cases = [
            (Numeric, json!("NAN"), "NaN"),
            (Numeric, json!("NEGATIVE_INFINITY"), "-Infinity"),
            (Numeric, json!("1.50"), "1.50"),
            (Bits(3), json!("BQ=="), "101"),
            (Bits(10), json!("BQA="), "0000000101"),
            (Bits(1), json!(true), "1"),
            (Point, json!({"x": 1.5, "y": 2.0, "wkb": "", "srid": null}), "(1.5,2)"),
            (Line, json!({"a": 1.0, "b": 2.0, "c": 3.0}), "{1,2,3}"),
            (
                Circle,
                json!({"center": {"x": 1.0, "y": 2.0}, "radius": 3.0}),
                "<(1,2),3>",
            ),
            (Form::Shape(Shape::Path), wkb(path, "false"), "[(1,2),(3,4)]"),
            (Form::Shape(Shape::Path), wkb(path, "true"), "((1,2),(3,4))"),
            (Form::Shape(Shape::Segment), wkb(path, ""), "[(1,2),(3,4)]"),
            (Form::Shape(Shape::Box), wkb(ring, ""), "(3,4),(1,2)"),
            (Form::Shape(Shape::Polygon), wkb(corners, ""), "((1,2),(3,4),(5,6))"),
            (
                Hstore,
                json!(r#"{"a":"1 \"x\"","b":null}"#),
                r#""a"=>"1 \"x\"", "b"=>NULL"#,
            ),
            (Opaque, json!("J2ZhdCcgJiAnY2F0Jw=="), "'fat' & 'cat'"),
        ];
        for (form, value, text) in cases {
            assert_eq!(
                read(&form, &ColumnType::Text, &value).as_deref(),
                Some(text),
                "{form:?}"
            );
        }
        let days = json!([
            2_146_033_979_i64,
            -622_191_234,
            -2_147_472_691_i64,
            -625_821_272,
            19_782,
            null
        ]);
        let array = ColumnType::Array(Box::new(ColumnType::Date));
        let texts = r#"{"infinity","infinity","-infinity","-infinity","2024-02-29",NULL}"#;
        assert_eq!(read(&Form::Date, &array, &days).as_deref(), Some(texts));
        assert_eq!(
            read(&Form::Date, &ColumnType::Date, &json!(2_146_033_979)).as_deref(),
            Some("infinity")
        );
        assert_eq!(
            read(&Form::Date, &ColumnType::Date, &json!(-2_147_472_691)).as_deref(),
            Some("-infinity")
        );
        assert_eq!(
            read(&Form::Date, &ColumnType::Date, &json!(19_782)).as_deref(),
            Some("2024-02-29")
        );
        assert_eq!(
            read(&Form::Timestamp, &ColumnType::Timestamp, &json!(i64::MIN)).as_deref(),
            Some("-infinity")
        );
        assert_eq!(read(&Form::Opaque, &ColumnType::Text, &Value::Null), None);
    }

    #[test]
    fn what_cannot_be_read_is_refused_and_not_written() {
        let cases = [
            (Form::Opaque, ColumnType::Text, json!("no base64!")),
            (Form::Bits(3), ColumnType::Text, json!(5)),
            (Form::Point, ColumnType::Text, json!("(1,2)")),
            (
                Form::Shape(Shape::Box),
                ColumnType::Text,
                json!({"wkb": "AQMAAAABAAAA/////w=="}),
            ),
            (
                Form::Same,
                ColumnType::Array(Box::new(ColumnType::Text)),
                json!(["[Ljava.lang.String;@65d9810d"]),
            ),
        ];
        for (form, kind, value) in cases {
            assert!(decode_debezium(&form, &kind, &value).is_err(), "{form:?} {value}");
        }
    }

    #[test]
    fn types_that_lose_values_are_known() {
        for oid in [1266, 1562] {
            assert!(form(&facts(oid)).is_err(), "{oid}");
        }
        for (element, dimensions) in [(1560, 1), (1186, 1), (600, 1), (23, 2)] {
            let array = TypeFacts {
                element: Some((element, 'b')),
                dimensions,
                ..facts(1)
            };
            assert!(form(&array).is_err(), "{element}");
        }
        for (oid, expected) in [
            (23, Form::Same),
            (3926, Form::Same),
            (1700, Form::Numeric),
            (3220, Form::Opaque),
        ] {
            assert_eq!(form(&facts(oid)), Ok(expected));
        }
        let of = |kind, name| {
            form(&TypeFacts {
                name,
                kind,
                ..facts(70_000)
            })
        };
        assert_eq!(of('e', "mood"), Ok(Form::Same));
        assert_eq!(of('c', "pair"), Ok(Form::Opaque));
        assert!(of('b', "geometry").is_err());
    }
}
