//! From a type of the catalogue to what values are made for it. Pure.

use std::collections::HashMap;

use tokio_postgres::types::Oid;

use super::{Kind, Limits, checks};

/// A row of pg_type, with what belongs to it.
#[derive(Clone, Debug, Default)]
pub struct TypeRow {
    /// Its name.
    pub name: String,
    /// Whether it is one of Postgres' own.
    pub built_in: bool,
    /// `d` for a domain, `e` for an enum, `r` and `m` for ranges.
    pub class: char,
    /// What a domain, an array or a range is made over.
    pub inner: Option<Oid>,
    /// Whether it is an array.
    pub array: bool,
    /// The modifier a domain gives the type below.
    pub modifier: i32,
    /// Whether a domain has no null.
    pub not_null: bool,
    /// Labels of an enum.
    pub labels: Vec<String>,
    /// What a domain asks for.
    pub checks: Vec<String>,
}

/// What a type comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// How values are made.
    pub kind: Kind,
    /// What the domains on the way ask for.
    pub limits: Limits,
    /// Whether one of them has no null.
    pub not_null: bool,
}

/// Follows domains, arrays and ranges to what they are made of.
pub fn resolve(types: &HashMap<Oid, TypeRow>, oid: Oid, modifier: i32) -> Resolved {
    let other = |name: &str| Resolved {
        kind: Kind::Other(name.to_owned()),
        limits: Limits::default(),
        not_null: false,
    };
    let Some(found) = types.get(&oid) else {
        return other("unknown");
    };
    let inner = |modifier| match found.inner {
        Some(inner) => resolve(types, inner, modifier),
        None => other(&found.name),
    };
    if found.class == 'd' {
        let mut resolved = inner(if found.modifier >= 0 { found.modifier } else { modifier });
        for check in &found.checks {
            for limits in checks::understand(check).into_values() {
                resolved.limits.and(limits);
            }
        }
        resolved.not_null |= found.not_null;
        return resolved;
    }
    let kind = if found.array {
        Kind::Array(Box::new(inner(modifier).kind))
    } else {
        match found.class {
            'e' => Kind::Enum(found.labels.clone()),
            'r' => Kind::Range(Box::new(inner(-1).kind)),
            'm' => match inner(-1).kind {
                Kind::Range(over) => Kind::Multirange(over),
                _ => Kind::Other(found.name.clone()),
            },
            _ if found.built_in => built_in(&found.name, modifier),
            _ => Kind::Other(found.name.clone()),
        }
    };
    Resolved {
        kind,
        limits: Limits::default(),
        not_null: false,
    }
}

fn built_in(name: &str, modifier: i32) -> Kind {
    // Lengths carry the four bytes of a header.
    let length = |header: i32| u32::try_from(modifier - header).ok().filter(|&length| length > 0);
    match name {
        "bool" => Kind::Bool,
        "int2" => Kind::Integer(i16::MAX.into()),
        "int4" => Kind::Integer(i32::MAX.into()),
        "int8" => Kind::Integer(i64::MAX),
        "oid" => Kind::Integer(u32::MAX.into()),
        "float4" => Kind::Float { double: false },
        "float8" => Kind::Float { double: true },
        "numeric" => Kind::Numeric(length(4).map(|packed| (packed >> 16, packed & 0x7ff))),
        "money" => Kind::Money,
        "text" => Kind::Text(None),
        "name" => Kind::Text(Some(63)),
        "varchar" => Kind::Text(length(4)),
        "bpchar" => Kind::Text(Some(length(4).unwrap_or(1))),
        "char" => Kind::Text(Some(1)),
        "bytea" => Kind::Bytes,
        "date" => Kind::Date,
        "time" => Kind::Time,
        "timetz" => Kind::TimeTz,
        "timestamp" => Kind::Timestamp,
        "timestamptz" => Kind::TimestampTz,
        "interval" => Kind::Interval,
        "uuid" => Kind::Uuid,
        "json" => Kind::Json,
        "jsonb" => Kind::Jsonb,
        "xml" => Kind::Xml,
        "inet" => Kind::Inet,
        "cidr" => Kind::Cidr,
        "macaddr" => Kind::MacAddr,
        "macaddr8" => Kind::MacAddr8,
        "bit" => Kind::Bits(length(0).unwrap_or(1)),
        "varbit" => Kind::Bits(length(0).unwrap_or(64)),
        "pg_lsn" => Kind::Lsn,
        "tsvector" => Kind::TsVector,
        "tsquery" => Kind::TsQuery,
        "point" => Kind::Geometry("point"),
        "line" => Kind::Geometry("line"),
        "lseg" => Kind::Geometry("lseg"),
        "box" => Kind::Geometry("box"),
        "path" => Kind::Geometry("path"),
        "polygon" => Kind::Geometry("polygon"),
        "circle" => Kind::Geometry("circle"),
        other => Kind::Other(other.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types() -> HashMap<Oid, TypeRow> {
        let row = |name: &str, class, inner| TypeRow {
            name: name.to_owned(),
            built_in: true,
            class,
            inner,
            modifier: -1,
            ..TypeRow::default()
        };
        let percent = TypeRow {
            checks: vec!["CHECK (((VALUE >= (0)::numeric) AND (VALUE <= (100)::numeric)))".to_owned()],
            modifier: (5 << 16 | 2) + 4,
            not_null: true,
            ..row("percent", 'd', Some(1))
        };
        let array = TypeRow {
            array: true,
            ..row("_numeric", 'b', Some(1))
        };
        HashMap::from([
            (1, row("numeric", 'b', None)),
            (2, percent),
            (3, array),
            (4, row("hstore", 'b', None)),
        ])
    }

    #[test]
    fn a_domain_is_what_is_below_with_what_it_asks_for() {
        let percent = resolve(&types(), 2, -1);
        assert_eq!(percent.kind, Kind::Numeric(Some((5, 2))));
        assert_eq!(
            (percent.limits.min, percent.limits.max),
            (Some((0.0, false)), Some((100.0, false)))
        );
        assert!(percent.not_null);
    }

    #[test]
    fn arrays_have_the_modifier_of_their_elements() {
        let array = resolve(&types(), 3, (4 << 16 | 1) + 4);
        assert_eq!(array.kind, Kind::Array(Box::new(Kind::Numeric(Some((4, 1))))));
    }

    #[test]
    fn what_is_not_known_is_said_by_name() {
        assert_eq!(resolve(&types(), 4, -1).kind, Kind::Other("hstore".to_owned()));
    }

    #[test]
    fn lengths_are_read_from_modifiers() {
        assert_eq!(built_in("varchar", 24), Kind::Text(Some(20)));
        assert_eq!(built_in("varchar", -1), Kind::Text(None));
        assert_eq!(built_in("bpchar", -1), Kind::Text(Some(1)));
        assert_eq!(built_in("bit", 3), Kind::Bits(3));
        assert_eq!(built_in("numeric", -1), Kind::Numeric(None));
    }
}
