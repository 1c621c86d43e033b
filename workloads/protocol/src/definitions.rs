//! Definitions of ClickHouse's tables: what somebody writes who wants other names, types or columns than the mapping gives. The sink follows
//! them; the operator reads them too, and says what is wrong before the file has come to the sink's pod. Pure.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::event::TableName;

/// The key of a ConfigMap that holds them.
pub const KEY: &str = "tables.yaml";

/// The file is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the definitions of tables cannot be read: {0}; see the example in docs/analytics.md")]
pub struct Error(String);

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definitions {
    /// One entry a table; tables that are not listed take the mapping.
    #[serde(default)]
    pub tables: Vec<TableDefinition>,
}

/// One table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TableDefinition {
    /// Schema and name in Postgres.
    pub source: String,
    /// Its name in ClickHouse.
    #[serde(default)]
    pub name: Option<String>,
    /// Whether it is left out.
    #[serde(default)]
    pub skip: bool,
    /// The key's columns in another order.
    #[serde(default)]
    pub order_by: Option<Vec<String>>,
    /// Columns that do not take the mapping.
    #[serde(default)]
    pub columns: Vec<ColumnDefinition>,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnDefinition {
    /// Its name.
    pub name: String,
    /// Its type in ClickHouse.
    #[serde(default, rename = "type")]
    pub ch_type: Option<String>,
    /// Whether it is left out.
    #[serde(default)]
    pub skip: bool,
}

impl Definitions {
    /// From YAML; nothing at all is no definition.
    pub fn read(yaml: &str) -> Result<Self, Error> {
        let read: Option<Self> = serde_yaml::from_str(yaml).map_err(|error| Error(error.to_string()))?;
        let definitions = read.unwrap_or_default();
        let mut seen = BTreeSet::new();
        for table in &definitions.tables {
            if TableName::parse(&table.source).is_none() {
                return Err(Error(format!(
                    "source {} is not schema and table joined by a dot",
                    table.source
                )));
            }
            if !seen.insert(&table.source) {
                return Err(Error(format!("{} is defined twice", table.source)));
            }
        }
        Ok(definitions)
    }

    /// What is said of a table.
    pub fn of(&self, source: &TableName) -> Option<&TableDefinition> {
        let name = source.to_string();
        self.tables.iter().find(|table| table.source == name)
    }

    /// Which tables are defined and not enrolled, and what to do; nothing if all are.
    pub fn unknown(&self, is_enrolled: impl Fn(&str) -> bool) -> Option<String> {
        let sources = self.tables.iter().map(|table| table.source.as_str());
        let unknown: Vec<&str> = sources.filter(|source| !is_enrolled(source)).collect();
        (!unknown.is_empty()).then(|| {
            format!(
                "the definitions name {}, and no enrolled table is called so: correct the name, or take it out",
                unknown.join(", ")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_wrong_is_said_with_its_place() {
        assert_eq!(Definitions::read(""), Ok(Definitions::default()));
        for (yaml, said) in [
            ("tables: 3", "invalid type"),
            ("tabels: []", "unknown field"),
            ("tables: [{source: todos}]", "joined by a dot"),
            ("tables: [{source: public.a}, {source: public.a}]", "defined twice"),
            (
                "tables: [{source: public.a, columns: [{name: x, typ: String}]}]",
                "unknown field",
            ),
        ] {
            let error = Definitions::read(yaml).unwrap_err().to_string();
            assert!(error.contains(said), "{yaml}: {error}");
        }
    }

    #[test]
    fn a_definition_of_nothing_is_found() {
        let definitions = Definitions::read("tables: [{source: public.a}, {source: public.b}]").unwrap();
        let said = definitions.unknown(|name| name == "public.a").unwrap();
        assert!(said.contains("name public.b, and no enrolled table"), "{said}");
        assert_eq!(definitions.unknown(|_| true), None);
    }
}
