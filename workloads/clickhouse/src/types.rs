//! Postgres' types and ClickHouse's, and which of them holds which. Pure.
//!
//! One mapping serves every ClickHouse: the Debian package's 18.16 has neither `DateTime64` nor `Date32`, and `DateTime` and `Date` end in
//! 2105 and know neither years before 1970 nor microseconds. So points in time are microseconds in an `Int64` (and days in an `Int32`), as
//! Postgres itself keeps them: exact, sorted as time is, infinities at the ends. The views add a `DateTime` beside each.
//! Definitions of tables may ask for the newer types.

use std::fmt;

use synccluster_protocol::codec::ColumnType;

/// What a Postgres column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PgType {
    /// bool
    Bool,
    /// int2, int4, int8: its bytes.
    Int(u8),
    /// oid
    Oid,
    /// float4, float8: its bytes.
    Float(u8),
    /// numeric(p, s) whose digits fit into a Decimal.
    Numeric {
        /// Digits.
        precision: u8,
        /// Of them after the point.
        scale: u8,
    },
    /// uuid
    Uuid,
    /// bytea
    Bytes,
    /// date
    Date,
    /// time
    Time,
    /// timetz, which keeps its offset and so is text
    TimeTz,
    /// timestamp
    Timestamp,
    /// timestamptz
    TimestampTz,
    /// An array of these.
    Array(Box<PgType>),
    /// Everything else, as Postgres writes it: text, numeric without limits, json, enums, ranges, …
    Text,
}

/// The header that is part of a numeric's typmod.
const VARHDRSZ: i32 = 4;
/// The most digits a Decimal of every ClickHouse has.
const DECIMAL_DIGITS: i32 = 38;

impl PgType {
    /// The type with this OID (a domain's base type) and modifier; `element` is the OID of its elements, if it is an array.
    pub fn of(oid: u32, modifier: i32, element: Option<u32>) -> Self {
        // Arrays of boxes travel as text: see `ColumnType::of`.
        if let Some(element) = element.filter(|&element| element != 603) {
            return Self::Array(Box::new(Self::of(element, modifier, None)));
        }
        match oid {
            16 => Self::Bool,
            17 => Self::Bytes,
            20 => Self::Int(8),
            21 => Self::Int(2),
            23 => Self::Int(4),
            26 => Self::Oid,
            700 => Self::Float(4),
            701 => Self::Float(8),
            1082 => Self::Date,
            1083 => Self::Time,
            1114 => Self::Timestamp,
            1184 => Self::TimestampTz,
            1266 => Self::TimeTz,
            1700 => Self::numeric(modifier),
            2950 => Self::Uuid,
            _ => Self::Text,
        }
    }

    /// Scale is a signed number of 11 bits (`numeric_typmod_scale` of Postgres' numeric.c).
    fn numeric(modifier: i32) -> Self {
        if modifier < VARHDRSZ {
            return Self::Text;
        }
        let bits = modifier - VARHDRSZ;
        let (precision, scale) = (bits >> 16 & 0xffff, (bits & 0x7ff ^ 1024) - 1024);
        match (u8::try_from(precision), u8::try_from(scale)) {
            (Ok(digits), Ok(scale)) if precision <= DECIMAL_DIGITS && scale <= digits => Self::Numeric {
                precision: digits,
                scale,
            },
            _ => Self::Text,
        }
    }

    /// How its values travel.
    pub fn wire(&self) -> ColumnType {
        match self {
            Self::Bool => ColumnType::Bool,
            Self::Int(_) | Self::Oid => ColumnType::Integer,
            Self::Float(_) => ColumnType::Float,
            Self::Bytes => ColumnType::Bytes,
            Self::Date => ColumnType::Date,
            Self::Time => ColumnType::Time,
            Self::TimeTz => ColumnType::TimeTz,
            Self::Timestamp => ColumnType::Timestamp,
            Self::TimestampTz => ColumnType::TimestampTz,
            Self::Numeric { .. } | Self::Uuid | Self::Text => ColumnType::Text,
            Self::Array(element) => ColumnType::Array(Box::new(element.wire())),
        }
    }

    /// The type its values get in ClickHouse. In a key nothing is null and an array has no place.
    pub fn mapped(&self, nullable: bool, key: bool) -> ChType {
        let plain = match self {
            Self::Bool => ChType::UInt(1),
            Self::Int(bytes) => ChType::Int(*bytes),
            Self::Oid => ChType::UInt(4),
            Self::Float(bytes) => ChType::Float(*bytes),
            Self::Numeric { precision, scale } => ChType::Decimal {
                precision: *precision,
                scale: *scale,
            },
            Self::Uuid => ChType::Uuid,
            Self::Date => ChType::Int(4),
            Self::Time | Self::Timestamp | Self::TimestampTz => ChType::Int(8),
            Self::Array(element) if !key => return ChType::Array(Box::new(element.mapped(true, false))),
            Self::Array(_) | Self::Bytes | Self::TimeTz | Self::Text => ChType::String,
        };
        if nullable && !key {
            ChType::Nullable(Box::new(plain))
        } else {
            plain
        }
    }
}

/// A type of ClickHouse that the sink can fill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChType {
    /// Int8 to Int64: its bytes.
    Int(u8),
    /// UInt8 to UInt64: its bytes. Bool, where there is one, is a UInt8.
    UInt(u8),
    /// Float32, Float64: its bytes.
    Float(u8),
    /// Decimal(p, s)
    Decimal {
        /// Digits.
        precision: u8,
        /// Of them after the point.
        scale: u8,
    },
    /// String
    String,
    /// UUID
    Uuid,
    /// Date32, where there is one.
    Date32,
    /// DateTime64(6), where there is one; with its time zone.
    DateTime64(Option<String>),
    /// Nullable(…)
    Nullable(Box<ChType>),
    /// LowCardinality(…)
    LowCardinality(Box<ChType>),
    /// Array(…)
    Array(Box<ChType>),
}

impl ChType {
    /// From ClickHouse's name of it; `None` for a type that cannot be filled.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let inner = |name: &str| text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
        let boxed = |text: &str| Self::parse(text).map(Box::new);
        Some(match text {
            "Int8" => Self::Int(1),
            "Int16" => Self::Int(2),
            "Int32" => Self::Int(4),
            "Int64" => Self::Int(8),
            "UInt8" | "Bool" => Self::UInt(1),
            "UInt16" => Self::UInt(2),
            "UInt32" => Self::UInt(4),
            "UInt64" => Self::UInt(8),
            "Float32" => Self::Float(4),
            "Float64" => Self::Float(8),
            "String" => Self::String,
            "UUID" => Self::Uuid,
            "Date32" => Self::Date32,
            _ => {
                if let Some(inner) = inner("Nullable") {
                    Self::Nullable(boxed(inner)?)
                } else if let Some(inner) = inner("LowCardinality") {
                    Self::LowCardinality(boxed(inner)?)
                } else if let Some(inner) = inner("Array") {
                    Self::Array(boxed(inner)?)
                } else if let Some(inner) = inner("Decimal") {
                    let (precision, scale) = inner.split_once(',')?;
                    let (precision, scale) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
                    // A wider one has no 128 bits.
                    if !(1..=38).contains(&precision) || scale > precision {
                        return None;
                    }
                    Self::Decimal { precision, scale }
                } else {
                    let mut arguments = inner("DateTime64")?.split(',').map(str::trim);
                    if arguments.next()? != "6" {
                        return None;
                    }
                    let zone = arguments.next().map(|zone| zone.trim_matches('\'').to_owned());
                    Self::DateTime64(zone)
                }
            }
        })
    }

    /// Whether every value of the Postgres type, as far as this kind of column has values, can be written into it.
    pub fn holds(&self, pg: &PgType) -> bool {
        match (self, pg) {
            (Self::Nullable(inner) | Self::LowCardinality(inner), _) => inner.holds(pg),
            (Self::Array(inner), PgType::Array(element)) => inner.holds(element),
            // A float has more than one text.
            (Self::String, PgType::Float(_)) => false,
            (Self::String, PgType::Array(element)) => Self::String.holds(element),
            (Self::String, _)
            | (Self::UInt(_), PgType::Bool)
            | (Self::Int(8), PgType::Oid | PgType::Time | PgType::Timestamp | PgType::TimestampTz)
            | (Self::Date32, PgType::Date)
            | (Self::DateTime64(_), PgType::Timestamp | PgType::TimestampTz)
            | (Self::Uuid, PgType::Uuid) => true,
            (Self::Int(bytes), PgType::Int(needed)) | (Self::Float(bytes), PgType::Float(needed)) => bytes >= needed,
            (Self::UInt(bytes), PgType::Oid) | (Self::Int(bytes), PgType::Date) => *bytes >= 4,
            (
                Self::Decimal { precision, scale },
                PgType::Numeric {
                    precision: digits,
                    scale: after,
                },
            ) => scale >= after && precision - scale >= digits - after,
            _ => false,
        }
    }

    /// What a column of this type becomes where `wanted` is the type that values of `pg` get: as wide as that, and with a place for NULL if either
    /// has one. `None` where what is in it might be something else then: a number that stands for a day is no number of microseconds.
    pub fn widened(&self, wanted: &Self, pg: &PgType) -> Option<Self> {
        if let Self::LowCardinality(inner) = self {
            return inner.widened(wanted, pg);
        }
        let (there, wider) = (self.bare(), wanted.bare());
        let same_in_it = match (there, wider) {
            (Self::Int(bytes), Self::Int(wider)) => bytes == wider || (bytes < wider && matches!(pg, PgType::Int(_))),
            (Self::Float(bytes), Self::Float(wider)) => bytes <= wider,
            (
                Self::Decimal { precision, scale },
                Self::Decimal {
                    precision: digits,
                    scale: after,
                },
            ) => after >= scale && digits - after >= precision - scale,
            (Self::Array(inner), Self::Array(wider)) => match pg {
                PgType::Array(element) => inner.widened(wider, element).as_ref() == Some(&**wider),
                _ => false,
            },
            _ => there == wider,
        };
        let null = [self, wanted].iter().any(|ch| matches!(ch, Self::Nullable(_)));
        let wider = wider.clone();
        same_in_it.then(|| if null { Self::Nullable(Box::new(wider)) } else { wider })
    }

    /// The type without its place for NULL.
    fn bare(&self) -> &Self {
        match self {
            Self::Nullable(inner) => inner,
            other => other,
        }
    }

    /// Whether it has a place for NULL. An array takes NULL for one without elements: ClickHouse has no other.
    pub fn takes_null(&self) -> bool {
        match self {
            Self::Nullable(_) | Self::Array(_) => true,
            Self::LowCardinality(inner) => inner.takes_null(),
            _ => false,
        }
    }
}

impl fmt::Display for ChType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(bytes) => write!(f, "Int{}", u32::from(*bytes) * 8),
            Self::UInt(bytes) => write!(f, "UInt{}", u32::from(*bytes) * 8),
            Self::Float(bytes) => write!(f, "Float{}", u32::from(*bytes) * 8),
            Self::Decimal { precision, scale } => write!(f, "Decimal({precision}, {scale})"),
            Self::String => f.write_str("String"),
            Self::Uuid => f.write_str("UUID"),
            Self::Date32 => f.write_str("Date32"),
            Self::DateTime64(None) => f.write_str("DateTime64(6)"),
            Self::DateTime64(Some(zone)) => write!(f, "DateTime64(6, '{zone}')"),
            Self::Nullable(inner) => write!(f, "Nullable({inner})"),
            Self::LowCardinality(inner) => write!(f, "LowCardinality({inner})"),
            Self::Array(inner) => write!(f, "Array({inner})"),
        }
    }
}

#[cfg(test)]
mod tests;
