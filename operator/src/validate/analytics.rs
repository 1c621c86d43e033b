//! Analytics, validated. What is wrong with definitions of tables is said in a condition, and nothing else stops because of it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use synccluster_protocol::definitions::{Definitions, KEY};
use synccluster_protocol::event::TableName;

use super::Error;
use crate::api::{self, ClickHouseStorage};

/// A ClickHouse and what fills it.
#[derive(Clone, Debug, PartialEq)]
pub struct Analytics {
    /// Whose ClickHouse it is.
    pub clickhouse: ClickHouse,
    /// Definitions of tables, if there are to be any.
    pub tables: Option<Tables>,
    /// Another one rebuilds.
    pub generation: i64,
    /// CPU and memory of what fills it.
    pub resources: Option<ResourceRequirements>,
}

/// Definitions of tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    /// The ConfigMap that holds them.
    pub config_map: String,
    /// What is wrong with them that can be seen without a database, and what to do.
    pub problem: Option<String>,
}

/// Whose ClickHouse it is.
#[derive(Clone, Debug, PartialEq)]
pub enum ClickHouse {
    /// The operator runs it.
    Managed {
        /// Its image.
        image: String,
        /// Its volume.
        storage: ClickHouseStorage,
        /// CPU and memory.
        resources: Option<ResourceRequirements>,
    },
    /// Somebody else does.
    External {
        /// The Secret that says where it is.
        secret: String,
        /// The port to let the sink out to.
        port: u16,
    },
}

/// The analytics that are asked for, if any. `definitions` is the content of their ConfigMap, if that exists; `enrolled` are the tables that take
/// part, none for every one with a key.
pub fn analytics(
    written: &api::Analytics,
    definitions: Option<&BTreeMap<String, String>>,
    enrolled: &[TableName],
    default_image: &str,
) -> Result<Option<Analytics>, Error> {
    let Some(written) = &written.clickhouse else {
        return Ok(None);
    };
    let clickhouse = match (&written.managed, &written.external) {
        (Some(managed), None) => ClickHouse::Managed {
            image: managed.image.clone().unwrap_or_else(|| default_image.to_owned()),
            storage: managed.storage.clone(),
            resources: managed.resources.clone(),
        },
        (None, Some(external)) => ClickHouse::External {
            secret: external.secret.clone(),
            port: super::range(
                "analytics.clickhouse.external.port",
                external.port,
                1..=65535,
                "between 1 and 65535",
            )?,
        },
        _ => return Err(Error::ClickHouse),
    };
    Ok(Some(Analytics {
        clickhouse,
        tables: written
            .tables
            .as_ref()
            .map(|named| tables(&named.config_map.name, definitions, enrolled)),
        generation: written.generation,
        resources: written.resources.clone(),
    }))
}

fn tables(config_map: &str, found: Option<&BTreeMap<String, String>>, enrolled: &[TableName]) -> Tables {
    let problem = match found.map(|data| data.get(KEY)) {
        None => Some(format!(
            "ConfigMap {config_map} does not exist: create it with the key {KEY}, or correct spec.analytics.clickhouse.tables"
        )),
        Some(None) => Some(format!("ConfigMap {config_map} has no key {KEY}: add it")),
        Some(Some(text)) => wrong(text, enrolled).map(|wrong| format!("ConfigMap {config_map}, {KEY}: {wrong}")),
    };
    Tables {
        config_map: config_map.to_owned(),
        problem,
    }
}

/// What the sink would say too, once the kubelet has brought it the file. What takes a database to know, such as columns and types, is left to it.
fn wrong(text: &str, enrolled: &[TableName]) -> Option<String> {
    match Definitions::read(text) {
        Err(wrong) => Some(wrong.to_string()),
        Ok(_) if enrolled.is_empty() => None,
        Ok(definitions) => definitions.unknown(|name| enrolled.iter().any(|table| table.to_string() == name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: Option<&str>, enrolled: &[TableName]) -> Option<String> {
        let data = text.map(|text| BTreeMap::from([(KEY.to_owned(), text.to_owned())]));
        tables("mine", data.as_ref(), enrolled).problem
    }

    #[test]
    fn what_is_wrong_with_definitions_is_said_with_the_remedy() {
        let todos = [TableName::new("public", "todos")];
        for (text, expected) in [
            (
                None,
                "ConfigMap mine does not exist: create it with the key tables.yaml",
            ),
            (
                Some("tables: [{source: public.todos, nmae: x}]"),
                "ConfigMap mine, tables.yaml: the definitions of tables cannot be read",
            ),
            (
                Some("tables: [{source: public.todos, nmae: x}]"),
                "unknown field `nmae`",
            ),
            (
                Some("tables: [{source: public.todos"),
                "see the example in docs/analytics.md",
            ),
            (
                Some("tables: [{source: public.tods}]"),
                "name public.tods, and no enrolled table is called so: correct the name, or take it out",
            ),
        ] {
            let problem = said(text, &todos).unwrap();
            assert!(problem.contains(expected), "{problem}");
        }
        let empty = tables("mine", Some(&BTreeMap::new()), &todos).problem.unwrap();
        assert!(empty.contains("has no key tables.yaml: add it"), "{empty}");
    }

    #[test]
    fn what_takes_a_database_to_know_is_left_to_the_sink() {
        let todos = [TableName::new("public", "todos")];
        assert_eq!(
            said(Some("tables: [{source: public.todos, name: tasks}]"), &todos),
            None
        );
        let no_such_column = "tables: [{source: public.todos, columns: [{name: nothing, skip: true}]}]";
        assert_eq!(said(Some(no_such_column), &todos), None);
        // Every table with a key takes part, and which these are the database knows.
        assert_eq!(said(Some("tables: [{source: public.tods}]"), &[]), None);
    }
}
