//! A row's key in a path.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value};

use super::{
    catalogue::{Kind, Table},
    sql::Sql,
};
use crate::problem::Problem;

/// What JavaScript's encodeURIComponent encodes.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// The texts of the key's columns, in the key's order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub Vec<String>);

impl Key {
    /// As a path has it: each text as a URI component, joined by commas.
    pub fn path(&self) -> String {
        let parts: Vec<_> = self.0.iter().map(|text| component(text)).collect();
        parts.join(",")
    }

    /// From [`Self::path`]'s form.
    pub fn parse(table: &Table, path: &str) -> Result<Self, Problem> {
        let parts: Vec<&str> = path.split(',').collect();
        if parts.len() != table.key.len() {
            let detail = format!(
                "the key of {} has {} part(s) ({}), `{path}` has {}; each part is a URI component, and commas join them",
                table.name,
                table.key.len(),
                table.key.join(", "),
                parts.len()
            );
            return Err(bad(detail));
        }
        let decoded = parts.iter().map(|part| {
            let text = percent_decode_str(part).decode_utf8();
            text.map(String::from)
                .map_err(|_| bad(format!("`{part}` is not a URI component of UTF-8")))
        });
        decoded.collect::<Result<_, _>>().map(Self)
    }

    /// The key's columns with their values as JSON shows them.
    pub fn json(&self, table: &Table) -> Map<String, Value> {
        let columns = table.key_columns().zip(&self.0);
        columns
            .map(|(column, text)| (column.name.clone(), cell(column.kind, text)))
            .collect()
    }

    /// The condition that the row is the one with this key.
    pub fn condition(&self, sql: &mut Sql, table: &Table, alias: &str) -> String {
        let columns = table.key_columns().zip(&self.0);
        let equal: Vec<_> = columns
            .map(|(column, text)| {
                let value = sql.text_value(Some(text));
                format!("{} = {}", column.of(alias), column.value(&value))
            })
            .collect();
        equal.join(" and ")
    }
}

/// As encodeURIComponent.
pub fn component(text: &str) -> String {
    utf8_percent_encode(text, COMPONENT).to_string()
}

/// Postgres' text of a value as JSON shows it.
pub fn cell(kind: Kind, text: &str) -> Value {
    let number = || match kind {
        Kind::Boolean => Some(Value::Bool(text == "true" || text == "t")),
        Kind::Integer => text.parse::<i64>().ok().map(Value::from),
        Kind::Float => text
            .parse::<f64>()
            .ok()
            .and_then(serde_json::Number::from_f64)
            .map(Value::Number),
        Kind::Json | Kind::Text => None,
    };
    number().unwrap_or_else(|| Value::from(text))
}

fn bad(detail: String) -> Problem {
    Problem::bad_request("bad-key", "Bad key", detail)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rows::fixture;

    proptest! {
        #[test]
        fn every_key_comes_back_from_its_path(first in any::<String>(), second in any::<String>()) {
            let table = fixture::table(&["first text key", "second text key"]);
            let key = Key(vec![first, second]);
            prop_assert_eq!(Key::parse(&table, &key.path()).unwrap(), key);
        }
    }

    #[test]
    fn a_plain_id_is_itself_and_the_rest_is_encoded() {
        assert_eq!(Key(vec!["42".into()]).path(), "42");
        assert_eq!(
            Key(vec!["a,b/c".into(), "ü (1)".into()]).path(),
            "a%2Cb%2Fc,%C3%BC%20(1)"
        );
    }

    #[test]
    fn a_key_with_too_few_parts_is_refused_with_the_names_of_all() {
        let table = fixture::table(&["shop text key", "number integer key"]);
        let problem = Key::parse(&table, "x").unwrap_err();
        assert!(
            problem.detail.contains("2 part(s) (shop, number)"),
            "{}",
            problem.detail
        );
        assert!(Key::parse(&table, "%FF,1").unwrap_err().detail.contains("UTF-8"));
    }

    #[test]
    fn values_are_shown_by_their_kind() {
        assert_eq!(cell(Kind::Integer, "7"), Value::from(7));
        assert_eq!(cell(Kind::Float, "NaN"), Value::from("NaN"));
        assert_eq!(
            cell(Kind::Text, "9223372036854775807"),
            Value::from("9223372036854775807")
        );
    }
}
