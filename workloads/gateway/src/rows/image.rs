//! Rows as `sync.conflicts` keeps them: whole, as JSON, from when they lost. What was here is as Postgres' own `to_jsonb` writes it, what came
//! over the wire as change events write it; and the table may have changed since. All become what `jsonb_populate_record` reads.

use std::collections::BTreeMap;

use deadpool_postgres::Object;
use serde_json::{Map, Value, value::RawValue};
use synccluster_protocol::{
    codec::{self, ColumnType},
    event::{PARENT_COLUMN, VERSION_COLUMN},
};

use super::{
    catalogue::{Column, Kind, Table},
    catalogues::Work,
    failure::Failure,
    row,
    sql::Sql,
};

/// A row of the books, as the table has columns now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// What `jsonb_populate_record` reads.
    pub json: String,
    /// The columns it has a value for, in the table's order.
    pub columns: Vec<String>,
    /// Its columns that the table has no more.
    pub left_out: Vec<String>,
}

/// A column's value in a change event that is not of this form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not a row of {table}: {why}")]
pub struct Unreadable {
    table: String,
    why: String,
}

impl Document {
    /// Reads a row of the books.
    pub fn read(table: &Table, json: &str) -> Result<Self, Unreadable> {
        let unreadable = |why: String| Unreadable {
            table: table.full_name(),
            why,
        };
        let mut values: BTreeMap<String, Box<RawValue>> =
            serde_json::from_str(json).map_err(|e| unreadable(e.to_string()))?;
        values.retain(|name, _| name != VERSION_COLUMN && name != PARENT_COLUMN);
        let known: Vec<&Column> = table
            .columns
            .iter()
            .filter(|column| values.contains_key(&column.name))
            .collect();
        let left_out = values
            .keys()
            .filter(|name| table.column(name).is_none())
            .cloned()
            .collect();
        let read = |column: &Column| {
            values
                .get(&column.name)
                .and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok())
                .unwrap_or_default()
        };
        let here = known.iter().any(|column| is_postgres_own(column, &read(column)));
        let json = if here {
            json.to_owned()
        } else {
            let decoded = known
                .iter()
                .map(|column| Ok((column.name.clone(), from_wire(column, &read(column))?)));
            let decoded = decoded.collect::<Result<BTreeMap<_, _>, codec::DecodeError>>();
            let decoded = decoded.map_err(|e| unreadable(e.to_string()))?;
            serde_json::to_string(&decoded).map_err(|e| unreadable(e.to_string()))?
        };
        Ok(Self {
            json,
            columns: known.into_iter().map(|column| column.name.clone()).collect(),
            left_out,
        })
    }
}

/// Whether only `to_jsonb` writes such a value: a number of type numeric, a json document that is not text.
fn is_postgres_own(column: &Column, value: &Value) -> bool {
    match (column.kind, value) {
        (Kind::Json, Value::String(text)) => serde_json::from_str::<serde::de::IgnoredAny>(text).is_err(),
        _ => is_foreign(&column.wire, value),
    }
}

fn is_foreign(wire: &ColumnType, value: &Value) -> bool {
    match (wire, value) {
        (ColumnType::Text, value) => !(value.is_null() || value.is_string()),
        (ColumnType::Array(element), Value::Array(items)) => items.iter().any(|item| match item {
            Value::Array(_) => is_foreign(wire, item),
            item => is_foreign(element, item),
        }),
        _ => false,
    }
}

/// A change event's value as `jsonb_populate_record` reads it: a text, or, for a json column, the document itself.
fn from_wire(column: &Column, value: &Value) -> Result<Box<RawValue>, codec::DecodeError> {
    let Some(text) = codec::decode(&column.wire, value)? else {
        return Ok(RawValue::NULL.to_owned());
    };
    Ok(match column.kind {
        Kind::Json => row::raw(text),
        _ => row::raw(Value::from(text).to_string()),
    })
}

/// A document as rows show it, and the texts of its key.
pub type Image = (Map<String, Value>, Vec<Option<String>>);

/// Documents as rows show them.
#[derive(Debug)]
pub struct Images<'a>(pub &'a [&'a str]);

impl Work for Images<'_> {
    type Answer = Vec<Image>;

    async fn run(&self, client: &mut Object, table: &Table) -> Result<Self::Answer, Failure> {
        let mut sql = Sql::default();
        let documents = sql.texts(self.0.iter().map(|document| Some((*document).to_owned())).collect());
        sql.add(format_args!(
            "select {}, {} from unnest({documents}) with ordinality u(document, n)
              cross join lateral jsonb_populate_record(null::{}, u.document::jsonb) t order by u.n",
            row::values(table, "t"),
            table.key_texts("t"),
            table.quoted()
        ));
        let image = |row: &tokio_postgres::Row| {
            let values: String = row.try_get(0)?;
            Ok((serde_json::from_str(&values).unwrap_or_default(), row.try_get(1)?))
        };
        let images: Result<_, tokio_postgres::Error> = sql.rows(&***client).await?.iter().map(image).collect();
        Ok(images?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::fixture;

    fn things() -> Table {
        fixture::table(&["id bigint key", "due date", "price numeric", "doc jsonb", "tags text[]"])
    }

    #[test]
    fn a_row_that_came_over_the_wire_is_decoded() {
        let document = Document::read(
            &things(),
            r#"{"id": 9223372036854775807, "due": 19782, "price": "0.10", "doc": "{\"a\": 1.10}", "old": 1, "sync_version": 2048}"#,
        )
        .unwrap();
        assert_eq!(
            document.json,
            r#"{"doc":{"a": 1.10},"due":"2024-02-29","id":"9223372036854775807","price":"0.10"}"#
        );
        assert_eq!(
            (document.columns, document.left_out),
            (
                vec!["id".into(), "due".into(), "price".into(), "doc".into()],
                vec!["old".into()]
            )
        );
    }

    #[test]
    fn a_row_that_was_here_is_left_as_postgres_wrote_it() {
        for json in [
            r#"{"id": 1, "due": "2024-02-29", "price": 0.12345678901234567890, "doc": null}"#,
            r#"{"id": 1, "doc": {"a": 1.10}}"#,
            r#"{"id": 1, "doc": "just text"}"#,
        ] {
            assert_eq!(Document::read(&things(), json).unwrap().json, json);
        }
    }

    #[test]
    fn what_is_no_row_is_refused() {
        assert!(Document::read(&things(), r#"{"id": 1, "due": true}"#).is_err());
        assert!(Document::read(&things(), "[]").is_err());
    }
}
