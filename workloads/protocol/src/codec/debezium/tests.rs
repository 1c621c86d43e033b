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
    use Form::{Bits, Circle, Hstore, Interval, Line, Money, Numeric, Opaque, Point};
    let wkb =
        |text: &str, closed: &str| json!({"wkb": text, "srid": null, "extensions": {"type": "path", "closed": closed}});
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
            json!(r#"{"long":"", "b":null, "a":"1 \"x\""}"#),
            r#""a"=>"1 \"x\"", "b"=>NULL, "long"=>"""#,
        ),
        (Point, json!({"x": -1.0, "y": 1e300}), "(-1,1e+300)"),
        (Interval, json!("P0Y0M-1DT0H0M1.500000S"), "P-1DT1.5S"),
        (Interval, json!("1 day"), "1 day"),
        (Money, json!("-0.01"), "-0.01"),
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
    let array = |element, dimensions| {
        form(&TypeFacts {
            element: Some(element),
            dimensions,
            ..facts(1)
        })
    };
    for (element, dimensions) in [
        ((1560, 'b'), 1),
        ((1186, 'b'), 1),
        ((600, 'b'), 1),
        ((23, 'b'), 2),
        ((23, 'd'), 1),
        ((1082, 'd'), 1),
        ((70_000, 'd'), 1),
    ] {
        assert!(array(element, dimensions).is_err(), "{element:?}");
    }
    assert_eq!(array((23, 'b'), 1), Ok(Form::Same));
    assert_eq!(array((70_000, 'e'), 1), Ok(Form::Same));
    assert_eq!(array((1082, 'b'), 1), Ok(Form::Date));
    for (oid, expected) in [
        (23, Form::Same),
        (3926, Form::Same),
        (1700, Form::Numeric),
        (1186, Form::Interval),
        (790, Form::Money),
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

#[test]
fn a_version_says_whose_it_is() {
    assert!(is_version("3.7.0.Final") && !is_version("0.1.0") && !is_version(""));
}
