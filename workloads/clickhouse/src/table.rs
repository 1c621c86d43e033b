//! Which tables there should be in ClickHouse: from Postgres' catalogue and the definitions of tables. Pure.

use std::collections::{BTreeMap, HashSet};

use synccluster_protocol::{
    codec::{self, debezium::Form},
    definitions::{Definitions, TableDefinition},
    event::{PARENT_COLUMN, TableName, VERSION_COLUMN},
};

use crate::{
    encode,
    types::{ChType, PgType},
};

/// Marks a row as deleted; `sync_deleted` where the table has a column of its own of this name.
const DELETED: &str = "deleted";
/// The sink's own tables.
pub const PROGRESS: &str = "sync_progress";
/// What ClickHouse could not take.
pub const PARKED: &str = "sync_parked";
/// Likes by window.
pub const WINDOWS: &str = "sync_windows";

/// A column in Postgres.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceColumn {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub pg: PgType,
    /// Its type as SQL writes it.
    pub sql_type: String,
    /// Whether it is never null.
    pub not_null: bool,
    /// What rows from before the column have in it, as Postgres' text; absent for null.
    pub missing: Option<String>,
    /// How Debezium writes its values.
    pub debezium: Form,
}

/// An enrolled table in Postgres.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceTable {
    /// Schema and name.
    pub name: TableName,
    /// In the table's order, without generated ones.
    pub columns: Vec<SourceColumn>,
    /// Columns of the key.
    pub key: Vec<String>,
}

/// A column that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name, in both.
    pub name: String,
    /// What it holds in Postgres.
    pub pg: PgType,
    /// Its type in ClickHouse.
    pub ch: ChType,
    /// What an event that lacks it stands for, as it travels.
    pub missing: String,
    /// Whether it is part of the key.
    pub key: bool,
    /// Whether somebody chose its type: then no other is taken.
    pub chosen: bool,
    /// How Debezium writes its values, where they have to be looked at.
    pub debezium: Option<Form>,
}

/// A table that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Where it comes from.
    pub source: TableName,
    /// Its name in ClickHouse.
    pub name: String,
    /// Without `sync_version` and the mark of a delete.
    pub columns: Vec<Column>,
    /// What rows are sorted by: the key's columns.
    pub order: Vec<String>,
    /// The column that marks a delete.
    pub deleted: String,
    /// Columns of the source that are not written.
    pub left_out: HashSet<String>,
    /// Whether Debezium writes rows of it otherwise than we do.
    pub differs: bool,
}

/// A table that should be there, or why it cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Where it comes from.
    pub source: TableName,
    /// Its name in ClickHouse.
    pub name: String,
    /// The table, or what is wrong and what to do.
    pub table: Result<Table, String>,
}

/// The name a table gets: schema `public` is left out.
fn own_name(source: &TableName) -> String {
    if source.schema == "public" {
        source.table.clone()
    } else {
        format!("{}_{}", source.schema, source.table)
    }
}

/// The view of a table's current rows.
pub fn view(name: &str) -> String {
    format!("{name}_current")
}

/// All tables there should be. A table the definitions skip is not among them.
pub fn wanted(sources: &[SourceTable], definitions: &Definitions) -> Vec<Wanted> {
    let mut wanted: Vec<Wanted> = sources
        .iter()
        .map(|source| (source, definitions.of(&source.name)))
        .filter(|(_, defined)| !defined.is_some_and(|defined| defined.skip))
        .map(|(source, defined)| Wanted {
            source: source.name.clone(),
            name: defined
                .and_then(|defined| defined.name.clone())
                .unwrap_or_else(|| own_name(&source.name)),
            table: Err(String::new()),
        })
        .collect();
    // One name, one table: the first keeps it.
    let mut taken: BTreeMap<String, String> = [PROGRESS, PARKED, WINDOWS]
        .map(|name| (name.to_owned(), "the sink itself".to_owned()))
        .into();
    for entry in &mut wanted {
        let source = sources.iter().find(|source| source.name == entry.source);
        let names = [entry.name.clone(), view(&entry.name)];
        let meets = names
            .iter()
            .find_map(|name| Some((name.clone(), taken.get(name)?.clone())));
        entry.table = match (meets, source) {
            (Some((name, owner)), _) => Err(format!(
                "its name {name} is taken by {owner}; give it another one with `name` in the definitions of tables"
            )),
            (None, Some(source)) => {
                taken.extend(names.map(|name| (name, entry.source.to_string())));
                table(source, entry.name.clone(), definitions.of(&source.name))
            }
            (None, None) => continue,
        };
    }
    wanted
}

fn table(source: &SourceTable, name: String, defined: Option<&TableDefinition>) -> Result<Table, String> {
    let nothing = TableDefinition::default();
    let definition = defined.unwrap_or(&nothing);
    let names = || source.columns.iter().map(|column| column.name.as_str());
    if let Some(unknown) = definition
        .columns
        .iter()
        .find(|column| names().all(|name| name != column.name))
    {
        return Err(format!(
            "the definitions name column {}, which {} does not have; it has {}",
            unknown.name,
            source.name,
            names().collect::<Vec<_>>().join(", ")
        ));
    }
    let mut left_out: HashSet<String> = [VERSION_COLUMN, PARENT_COLUMN].map(str::to_owned).into();
    let mut columns = Vec::new();
    for column in source
        .columns
        .iter()
        .filter(|column| ![VERSION_COLUMN, PARENT_COLUMN].contains(&column.name.as_str()))
    {
        let key = source.key.contains(&column.name);
        let written = definition.columns.iter().find(|written| written.name == column.name);
        if written.is_some_and(|written| written.skip) {
            if key {
                return Err(format!(
                    "the definitions leave out column {}, which is part of the key: rows could not be told apart",
                    column.name
                ));
            }
            left_out.insert(column.name.clone());
            continue;
        }
        let chosen_type = written.and_then(|written| written.ch_type.as_deref());
        let ch = match chosen_type {
            None => column.pg.mapped(!column.not_null, key),
            Some(text) => chosen(text, column, key)?,
        };
        let missing = column
            .missing
            .as_deref()
            .map(|text| codec::encode(&column.pg.wire(), text).to_string());
        // An array may arrive with names of Java's for its rows.
        let differs = column.debezium != Form::Same || matches!(column.pg, PgType::Array(_));
        columns.push(Column {
            name: column.name.clone(),
            pg: column.pg.clone(),
            ch,
            missing: missing.unwrap_or_else(|| "null".to_owned()),
            key,
            chosen: chosen_type.is_some(),
            debezium: differs.then(|| column.debezium.clone()),
        });
    }
    let order = definition.order_by.clone().unwrap_or_else(|| source.key.clone());
    let sorted = |names: &[String]| {
        let mut names = names.to_vec();
        names.sort();
        names
    };
    if sorted(&order) != sorted(&source.key) {
        return Err(format!(
            "orderBy in the definitions must have the key's columns ({}), each once and no other: by them ClickHouse tells rows apart",
            source.key.join(", ")
        ));
    }
    let deleted = if names().any(|name| name == DELETED) {
        "sync_deleted"
    } else {
        DELETED
    };
    Ok(Table {
        source: source.name.clone(),
        name,
        differs: columns.iter().any(|column| column.debezium.is_some()),
        columns,
        order,
        deleted: deleted.to_owned(),
        left_out,
    })
}

/// A type that somebody chose for a column.
fn chosen(text: &str, column: &SourceColumn, key: bool) -> Result<ChType, String> {
    let SourceColumn { name, sql_type, .. } = column;
    let ch = ChType::parse(text).ok_or_else(|| {
        format!("the definitions give column {name} the type {text}, which the sink cannot fill: see the table of types in docs/analytics.md")
    })?;
    if !ch.holds(&column.pg) {
        return Err(format!(
            "the definitions give column {name} the type {ch}, which does not hold every {sql_type}: write {} or a wider one",
            column.pg.mapped(!column.not_null, key)
        ));
    }
    if !column.not_null && !ch.takes_null() {
        return Err(format!(
            "the definitions give column {name} the type {ch}, but it may be null: write Nullable({ch})"
        ));
    }
    if key && ch.takes_null() {
        return Err(format!(
            "the definitions give column {name} the type {ch}, but it is part of the key: write a type that is not Nullable and no array"
        ));
    }
    Ok(ch)
}

impl Table {
    /// Names as an insert lists them, in the order of a row's bytes.
    pub fn inserted(&self) -> Vec<&str> {
        let own = self.columns.iter().map(|column| column.name.as_str());
        own.chain([VERSION_COLUMN, &self.deleted]).collect()
    }

    /// What a value that was never written stands for.
    pub fn write_missing(column: &Column, out: &mut Vec<u8>) {
        let start = out.len();
        if encode::value(out, &column.missing, &column.pg, &column.ch).is_err() {
            out.truncate(start);
            encode::zero(out, &column.ch);
        }
    }
}

#[cfg(test)]
mod tests;
