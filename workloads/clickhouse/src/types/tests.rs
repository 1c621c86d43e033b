use super::*;

#[test]
fn a_numeric_with_few_enough_digits_is_a_decimal() {
    let modifier = |precision: i32, scale: i32| (precision << 16 | scale & 0x7ff) + VARHDRSZ;
    let of = |modifier| PgType::of(1700, modifier, None);
    assert_eq!(
        of(modifier(12, 2)),
        PgType::Numeric {
            precision: 12,
            scale: 2
        }
    );
    assert_eq!(
        of(modifier(38, 38)),
        PgType::Numeric {
            precision: 38,
            scale: 38
        }
    );
    for text in [-1, modifier(39, 2), modifier(2, -3), modifier(3, 5)] {
        assert_eq!(of(text), PgType::Text);
    }
}

#[test]
fn every_type_that_is_mapped_to_holds_its_values_and_comes_back_from_its_name() {
    let scalars = [
        16, 17, 20, 21, 23, 25, 26, 700, 701, 1082, 1083, 1114, 1184, 1266, 1700, 2950, 3802,
    ];
    let arrays = scalars.map(|element| PgType::of(0, -1, Some(element)));
    for pg in scalars
        .map(|oid| PgType::of(oid, (12 << 16 | 2) + 4, None))
        .iter()
        .chain(&arrays)
    {
        for (nullable, key) in [(false, false), (true, false), (false, true), (true, true)] {
            let ch = pg.mapped(nullable, key);
            let float_in_key = key && matches!(pg, PgType::Array(of) if matches!(**of, PgType::Float(_)));
            assert!(ch.holds(pg) || float_in_key, "{ch} for {pg:?}");
            assert_eq!(ChType::parse(&ch.to_string()), Some(ch.clone()));
            assert!(key || !nullable || ch.takes_null());
        }
    }
}

#[test]
fn newer_types_are_known_and_narrower_ones_are_told_apart() {
    for text in [
        "DateTime64(6, 'UTC')",
        "Date32",
        "LowCardinality(Nullable(String))",
        "Array(Nullable(Decimal(9, 2)))",
    ] {
        assert_eq!(ChType::parse(text).unwrap().to_string(), text);
    }
    for unknown in [
        "DateTime64(3)",
        "Decimal(76, 2)",
        "Map(String, String)",
        "Nullable(Ring)",
        "",
        "Array(Int64",
    ] {
        assert_eq!(ChType::parse(unknown), None, "{unknown}");
    }
    assert!(ChType::Int(8).holds(&PgType::Int(4)));
    assert!(!ChType::Int(2).holds(&PgType::Int(4)));
    assert!(
        !ChType::Decimal {
            precision: 10,
            scale: 4
        }
        .holds(&PgType::Numeric { precision: 9, scale: 2 })
    );
    assert!(
        ChType::Decimal {
            precision: 11,
            scale: 4
        }
        .holds(&PgType::Numeric { precision: 9, scale: 2 })
    );
}

#[test]
fn a_column_becomes_wider_and_nothing_else() {
    let becomes = |there: &str, pg: &PgType, nullable: bool| {
        let there = ChType::parse(there).unwrap();
        there
            .widened(&pg.mapped(nullable, false), pg)
            .map(|wider| wider.to_string())
    };
    let numeric = PgType::Numeric {
        precision: 12,
        scale: 4,
    };
    let ints = PgType::Array(Box::new(PgType::Int(8)));
    for (there, pg, nullable, wider) in [
        ("Int32", &PgType::Int(8), false, "Int64"),
        ("Int32", &PgType::Int(8), true, "Nullable(Int64)"),
        ("Nullable(Int16)", &PgType::Int(4), false, "Nullable(Int32)"),
        ("Float32", &PgType::Float(8), false, "Float64"),
        ("Decimal(9, 2)", &numeric, false, "Decimal(12, 4)"),
        ("LowCardinality(String)", &PgType::Text, true, "Nullable(String)"),
        ("Int32", &PgType::Date, true, "Nullable(Int32)"),
        ("Array(Nullable(Int32))", &ints, true, "Array(Nullable(Int64))"),
    ] {
        assert_eq!(
            becomes(there, pg, nullable).as_deref(),
            Some(wider),
            "{there} for {pg:?}"
        );
    }
    for (there, pg) in [
        ("Int64", &PgType::Int(4)),
        ("Int32", &PgType::TimestampTz),
        ("Int64", &PgType::Text),
        ("String", &PgType::Int(4)),
        ("String", &ints),
        ("Array(Nullable(String))", &ints),
        ("Decimal(12, 2)", &numeric),
    ] {
        assert_eq!(becomes(there, pg, true), None, "{there} for {pg:?}");
    }
}
