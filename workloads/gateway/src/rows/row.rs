//! A row as the API shows it.

use serde::Serialize;
use serde_json::{Map, Value, json, value::RawValue};
use synccluster_protocol::{
    Site, Version,
    codec::{self, ColumnType},
    event::{PARENT_COLUMN, VERSION_COLUMN},
};
use synccluster_runtime::catalog::quote;
use tokio_postgres::Error;

use super::{
    catalogue::Table,
    key::{Key, component},
};

/// A row of a site.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Row {
    /// The key's columns.
    pub key: Map<String, Value>,
    /// The key as a path has it, before it is encoded as a segment.
    #[schema(example = "42")]
    pub key_path: String,
    /// All columns. boolean: true or false. smallint, integer, real, double precision: a number (NaN and infinities as text). Everything
    /// else: the text Postgres prints. Null: null.
    #[schema(value_type = Object)]
    pub values: Box<RawValue>,
    /// Orders all writes of the row, everywhere.
    #[schema(example = "1790000000000000000")]
    pub version: String,
    /// The version this one replaced.
    pub parent: Option<String>,
    /// When this version was written, by its writer's clock.
    #[schema(format = DateTime)]
    pub written_at: String,
    /// The site that wrote it.
    pub written_at_site: String,
}

/// What [`read`] reads, of the relation with this alias.
pub fn columns(table: &Table, alias: &str) -> String {
    format!(
        "{}, {}, {alias}.{}, {alias}.{}",
        values(table, alias),
        table.key_texts(alias),
        quote(VERSION_COLUMN),
        quote(PARENT_COLUMN)
    )
}

/// The columns' values as one JSON text, made by Postgres.
pub fn values(table: &Table, alias: &str) -> String {
    let shown: Vec<_> = table
        .columns
        .iter()
        .map(|column| format!("{} as {}", column.shown(alias), quote(&column.name)))
        .collect();
    // `v.*` and not `v`: a column might be called that.
    format!("(select row_to_json(v.*)::text from (select {}) v)", shown.join(", "))
}

/// Reads what [`columns`] asked for, the first four columns.
pub fn read(table: &Table, row: &tokio_postgres::Row) -> Result<Row, Error> {
    let key = Key(row.try_get(1)?);
    let version = Version(row.try_get(2)?);
    let parent: Option<i64> = row.try_get(3)?;
    Ok(Row {
        key: key.json(table),
        key_path: key.path(),
        values: raw(row.try_get(0)?),
        version: version.to_string(),
        parent: parent.map(|parent| parent.to_string()),
        written_at: rfc3339(version.micros()),
        written_at_site: Site::from_node(version.node()).map_or_else(|e| e.to_string(), |site| site.to_string()),
    })
}

/// A JSON text as it is; what is none becomes null, which Postgres' own functions never make.
pub fn raw(text: String) -> Box<RawValue> {
    RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// Microseconds since the Unix epoch as `2024-02-29T12:00:00.250000Z`.
pub fn rfc3339(micros: i64) -> String {
    let text = codec::decode(&ColumnType::Timestamp, &json!(micros)).ok().flatten();
    text.map(|text| format!("{}Z", text.replacen(' ', "T", 1)))
        .unwrap_or_default()
}

/// SQL for a timestamptz as [`rfc3339`] writes it.
pub fn rfc3339_sql(expression: &str) -> String {
    format!(r#"to_char({expression} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"#)
}

impl Row {
    /// Whether two sites have the same of it: all that the digest looks at, whatever the order of the columns.
    pub fn same_as(&self, other: &Self) -> bool {
        let values = |row: &Self| serde_json::from_str::<Map<String, Value>>(row.values.get()).ok();
        (&self.version, &self.parent) == (&other.version, &other.parent)
            && (self.values.get() == other.values.get() || values(self) == values(other))
    }

    /// As a problem document carries it.
    pub fn json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// Its entity tag.
    pub fn etag(&self) -> String {
        format!("\"{}\"", self.version)
    }

    /// Its key as one segment of a path.
    pub fn segment(&self) -> String {
        component(&self.key_path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_microseconds() {
        assert_eq!(rfc3339(1_709_208_000_250_000), "2024-02-29T12:00:00.250000Z");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000000Z");
    }
}
