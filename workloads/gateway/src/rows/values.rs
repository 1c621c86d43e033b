//! What a request wants to write: JSON values to texts for Postgres. Pure.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use synccluster_protocol::event::{PARENT_COLUMN, VERSION_COLUMN};

use super::{
    catalogue::{Column, Kind, Table},
    failure::Failure,
};
use crate::problem::Problem;

/// Columns and their values, as they were sent: a number keeps all its digits.
pub type Values = BTreeMap<String, Box<RawValue>>;

/// A column and the text it is to have; `None` is null.
pub type Assignment<'a> = (&'a Column, Option<String>);

/// What is to be written, if all of it may be.
pub fn assignments<'a>(table: &'a Table, values: &Values) -> Result<Vec<Assignment<'a>>, Failure> {
    let mut assignments = Vec::with_capacity(values.len());
    for (name, value) in values {
        let column = writable(table, name)?;
        assignments.push((column, text(column, value.get())?));
    }
    Ok(assignments)
}

fn writable<'a>(table: &'a Table, name: &str) -> Result<&'a Column, Failure> {
    let refuse = |why: &str| {
        let detail = format!("{}.{name} cannot be written: {why}", table.name);
        Problem::unprocessable("not-writable", "Not writable", detail).with("column", name)
    };
    if [VERSION_COLUMN, PARENT_COLUMN].contains(&name) {
        return Err(refuse("the write itself gives it").into());
    }
    let Some(column) = table.column(name) else {
        let detail = format!("{} has no column `{name}`", table.name);
        let problem = Problem::unprocessable("unknown-column", "Unknown column", detail).with("column", name);
        return Err(Failure::Unknown(problem));
    };
    match (&column.generated, column.identity) {
        (Some(expression), _) => Err(refuse(&format!("it is generated as {expression}")).into()),
        (None, Some("always")) => Err(refuse("it is generated always as identity").into()),
        _ => Ok(column),
    }
}

/// The text Postgres is to read for a JSON value; `None` is null.
fn text(column: &Column, json: &str) -> Result<Option<String>, Problem> {
    let invalid = |why: &str| {
        let detail = format!("{} ({}): {why}", column.name, column.sql_type);
        Problem::unprocessable("invalid-value", "Invalid value", detail).with("column", column.name.as_str())
    };
    match json.as_bytes().first() {
        Some(b'n') => Ok(None),
        Some(b'"') => serde_json::from_str(json)
            .map(Some)
            .map_err(|e| invalid(&e.to_string())),
        Some(b'{' | b'[') if column.kind != Kind::Json => Err(invalid(
            "a JSON object or array is for json columns; write the text Postgres prints, such as \"{1,2}\" for an array",
        )),
        _ => Ok(Some(json.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::rows::fixture;

    fn things() -> Table {
        fixture::table(&[
            "id bigint key",
            "price numeric",
            "tags text[]",
            "doc jsonb null",
            "sum integer generated",
            "no bigint identity",
        ])
    }

    fn assigned(json: &str) -> Result<Vec<(String, Option<String>)>, Value> {
        let values = serde_json::from_str(json).unwrap();
        let table = things();
        match assignments(&table, &values) {
            Ok(assignments) => Ok(assignments
                .into_iter()
                .map(|(column, text)| (column.name.clone(), text))
                .collect()),
            Err(Failure::Unknown(problem) | Failure::Refused(problem)) => Err(serde_json::to_value(problem).unwrap()),
            Err(other) => Err(Value::from(format!("{other:?}"))),
        }
    }

    #[test]
    fn a_value_is_the_text_that_was_sent() {
        let text = |text: &str| Some(text.to_owned());
        let sent = r#"{"id": 9223372036854775807, "price": 0.12345678901234567890, "tags": "{a,\"b c\"}", "doc": {"a": 1.10}}"#;
        let expected = [
            ("doc", text(r#"{"a": 1.10}"#)),
            ("id", text("9223372036854775807")),
            ("price", text("0.12345678901234567890")),
            ("tags", text(r#"{a,"b c"}"#)),
        ];
        assert_eq!(
            assigned(sent).unwrap(),
            expected.map(|(name, text)| (name.to_owned(), text))
        );
        assert_eq!(assigned(r#"{"doc": null}"#).unwrap(), [("doc".to_owned(), None)]);
        assert_eq!(
            assigned(r#"{"doc": "\"a\""}"#).unwrap(),
            [("doc".to_owned(), text("\"a\""))]
        );
    }

    #[test]
    fn what_cannot_be_written_is_refused_by_the_column() {
        for (sent, kind, column) in [
            (r#"{"sum": 1}"#, "not-writable", "sum"),
            (r#"{"no": 1}"#, "not-writable", "no"),
            (r#"{"sync_version": 1}"#, "not-writable", "sync_version"),
            (r#"{"nope": 1}"#, "unknown-column", "nope"),
            (r#"{"tags": ["a"]}"#, "invalid-value", "tags"),
        ] {
            let problem = assigned(sent).unwrap_err();
            assert_eq!(problem["type"], format!("urn:synccluster:problem:{kind}"), "{problem}");
            assert_eq!(problem["column"], column);
        }
    }
}
