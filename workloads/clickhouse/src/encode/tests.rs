use super::*;
use proptest::prelude::*;

fn bytes(raw: &str, pg: &PgType, into: &ChType) -> Result<Vec<u8>, Unfit> {
    let mut out = Vec::new();
    value(&mut out, raw, pg, into).map(|()| out)
}

/// As the sink maps it.
fn mapped(raw: &str, oid: u32) -> Result<Vec<u8>, Unfit> {
    let pg = PgType::of(oid, (12 << 16 | 2) + 4, None);
    bytes(raw, &pg, &pg.mapped(true, false))
}

#[test]
fn every_type_has_the_bytes_clickhouse_has() {
    let not_null = |bytes: &[u8]| Ok([&[0], bytes].concat());
    assert_eq!(mapped("true", 16), not_null(&[1]));
    assert_eq!(mapped("-2", 21), not_null(&[0xfe, 0xff]));
    assert_eq!(mapped("4294967295", 26), not_null(&[0xff; 4]));
    assert_eq!(mapped("1.5", 701), not_null(&1.5_f64.to_le_bytes()));
    assert_eq!(mapped("\"-Infinity\"", 700), not_null(&f32::NEG_INFINITY.to_le_bytes()));
    assert_eq!(mapped("\"-1.50\"", 1700), not_null(&(-150_i64).to_le_bytes()));
    assert_eq!(mapped("\"a\\nb\"", 25), not_null(b"\x03a\nb"));
    assert_eq!(mapped("\"AP8Q\"", 17), not_null(&[3, 0, 0xff, 0x10]));
    assert_eq!(mapped("-735160", 1082), not_null(&(-735_160_i32).to_le_bytes()));
    assert_eq!(mapped("\"infinity\"", 1082), not_null(&i32::MAX.to_le_bytes()));
    assert_eq!(
        mapped("\"1970-01-01T00:00:01.500000Z\"", 1184),
        not_null(&1_500_000_i64.to_le_bytes())
    );
    assert_eq!(mapped("\"-infinity\"", 1114), not_null(&i64::MIN.to_le_bytes()));
    assert_eq!(
        mapped("\"61f0c404-5cb3-11e7-907b-a6006ad3dba0\"", 2950),
        not_null(&[
            0xe7, 0x11, 0xb3, 0x5c, 0x04, 0xc4, 0xf0, 0x61, 0xa0, 0xdb, 0xd3, 0x6a, 0x00, 0xa6, 0x7b, 0x90
        ])
    );
    assert_eq!(mapped("{\"a\": 1}", 3802), not_null(b"\x08{\"a\": 1}"));
    assert_eq!(mapped("null", 20), Ok(vec![1]));
}

#[test]
fn an_array_is_its_length_and_its_elements() {
    let pg = PgType::of(1007, -1, Some(23));
    let into = pg.mapped(true, false);
    assert_eq!(bytes("[1, null]", &pg, &into), Ok(vec![2, 0, 1, 0, 0, 0, 1]));
    assert_eq!(bytes("null", &pg, &into), Ok(vec![0]));
    for misshapen in ["[[1],[2]]", "\"[0:1]={1,2}\""] {
        assert!(matches!(bytes(misshapen, &pg, &into), Err(Unfit::Shape { .. })));
        assert!(bytes(misshapen, &pg, &ChType::String).is_ok(), "as JSON it is kept");
    }
    assert_eq!(bytes("[1, null]", &pg, &ChType::String), Ok(b"\x08[1,null]".to_vec()));
}

#[test]
fn what_does_not_fit_is_said_and_never_cut_off() {
    let cases = [
        ("\"NaN\"", 1700),
        ("\"99999999999.00\"", 1700),
        ("\"1.555\"", 1700),
        ("\"294276-12-31 23:59:59.999999\"", 1114),
        ("\"soon\"", 1184),
        ("\"not base64!\"", 17),
        ("\"61f0\"", 2950),
        ("3", 16),
        ("70000", 21),
    ];
    for (raw, oid) in cases {
        let said = mapped(raw, oid).unwrap_err().to_string();
        assert!(said.contains("does not fit"), "{raw}: {said}");
    }
    assert!(matches!(
        bytes("null", &PgType::Int(4), &ChType::Int(4)),
        Err(Unfit::Null(_))
    ));
    let late = "\"2300-01-01T00:00:00.000000Z\"";
    assert!(bytes(late, &PgType::TimestampTz, &ChType::DateTime64(None)).is_err());
}

#[test]
fn a_long_string_has_a_length_of_several_bytes() {
    let long = "x".repeat(300);
    let out = bytes(&format!("\"{long}\""), &PgType::Text, &ChType::String).unwrap();
    assert_eq!(out[..2], [0xac, 0x02]);
    assert_eq!(out.len(), 302);
}

proptest! {
    #[test]
    fn a_decimal_is_its_digits(units in -999_999_999_999_i64..=999_999_999_999) {
        let (sign, size) = (if units < 0 { "-" } else { "" }, units.abs());
        let raw = format!("\"{sign}{}.{:02}\"", size / 100, size % 100);
        let pg = PgType::Numeric { precision: 12, scale: 2 };
        prop_assert_eq!(bytes(&raw, &pg, &pg.mapped(false, false)).unwrap(), units.to_le_bytes());
    }

    #[test]
    fn any_text_keeps_its_bytes(text in any::<String>()) {
        let raw = Value::String(text.clone()).to_string();
        let mut expected = Vec::new();
        string(&mut expected, text.as_bytes());
        prop_assert_eq!(bytes(&raw, &PgType::Text, &ChType::String).unwrap(), expected);
    }

    #[test]
    fn any_bytes_keep_their_bytes(bytes_in in any::<Vec<u8>>()) {
        let raw = Value::String(STANDARD.encode(&bytes_in)).to_string();
        let mut expected = Vec::new();
        string(&mut expected, &bytes_in);
        prop_assert_eq!(bytes(&raw, &PgType::Bytes, &ChType::String).unwrap(), expected);
    }

    #[test]
    fn any_instant_is_its_microseconds(stamp in -210_866_803_200_000_000i64..9_000_000_000_000_000_000) {
        let timestamp = codec::decode(&codec::ColumnType::Timestamp, &stamp.into()).unwrap().unwrap();
        let zoned = timestamp.strip_suffix(" BC").map_or(format!("{timestamp}+00"), |t| format!("{t}+00 BC"));
        let raw = codec::encode(&codec::ColumnType::TimestampTz, &zoned).to_string();
        prop_assert_eq!(bytes(&raw, &PgType::TimestampTz, &ChType::Int(8)).unwrap(), stamp.to_le_bytes());
    }

    #[test]
    fn a_value_takes_as_many_bytes_as_were_written(text in any::<String>(), more in any::<Vec<u8>>()) {
        let array = PgType::Array(Box::new(PgType::Text));
        let cases = [
            (Value::String(text.clone()).to_string(), PgType::Text),
            (serde_json::json!([text, null, text]).to_string(), array),
            ("null".to_owned(), PgType::Int(8)),
            ("7".to_owned(), PgType::Int(8)),
        ];
        for (raw, pg) in cases {
            let into = pg.mapped(true, false);
            let written = bytes(&raw, &pg, &into).unwrap();
            let longer = [written.clone(), more.clone()].concat();
            prop_assert_eq!(extent(&longer, &into), Some(written.len()));
            prop_assert_eq!(extent(&written[..written.len() - 1], &into), None);
        }
    }

    #[test]
    fn a_zero_is_as_long_as_a_value(precision in 1u8..=38) {
        for into in [ChType::Decimal { precision, scale: 0 }, ChType::Int(4), ChType::Uuid, ChType::String] {
            let mut out = Vec::new();
            zero(&mut out, &into);
            prop_assert!(out.iter().all(|byte| *byte == 0));
        }
        let (mut zeros, pg) = (Vec::new(), PgType::Numeric { precision, scale: 0 });
        zero(&mut zeros, &pg.mapped(false, false));
        prop_assert_eq!(bytes("\"0\"", &pg, &pg.mapped(false, false)).unwrap(), zeros);
    }
}
