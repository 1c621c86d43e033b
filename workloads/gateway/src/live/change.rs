//! A row of the WAL as an event. Pure.

use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use synccluster_protocol::{
    Lsn, Site, Version,
    event::{PARENT_COLUMN, VERSION_COLUMN},
};
use synccluster_replication::{
    pgoutput::{Datum, row_length},
    transport::POSTGRES_EPOCH_MICROS,
};

use super::{computed::Computed, hops::Write};
use crate::rows::{
    catalogue::{Kind, Table},
    key::{Key, cell},
    row::{Row, raw, rfc3339},
};

/// The largest row that is told with its values, counted in bytes of its values' text.
const MOST_OF_A_ROW: usize = 64 * 1024;

/// The transaction whose changes are being read.
#[derive(Clone, Copy, Debug)]
pub struct Open {
    /// The position of its commit.
    pub commit: Lsn,
    /// When it was committed, in microseconds since the Unix epoch.
    pub at: i64,
    /// Whether a sink wrote it.
    pub by_sink: bool,
}

impl Open {
    /// From a `Begin`; `at` in microseconds since 2000-01-01, as pgoutput has it.
    pub fn new(commit: Lsn, at: i64) -> Self {
        Self {
            commit,
            at: at + POSTGRES_EPOCH_MICROS,
            by_sink: false,
        }
    }

    /// A sink wrote it.
    pub fn made_elsewhere(&mut self) {
        self.by_sink = true;
    }
}

/// A row that cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The stream contradicts itself.
    #[error("a row of {table} has {got} columns where its description has {expected}")]
    Width {
        /// The table.
        table: Arc<str>,
        /// Columns of the row.
        got: usize,
        /// Columns of the description.
        expected: usize,
    },
    /// A column is missing that every row has.
    #[error("a row of {0} lacks its {1}")]
    Lacks(Arc<str>, &'static str),
}

/// A table as the stream describes it.
#[derive(Clone, Debug)]
pub struct Shape {
    /// `public.todos`.
    pub name: Arc<str>,
    table: Arc<Table>,
    columns: Vec<Column>,
    /// What of it the stream leaves out.
    pub computed: Option<Computed>,
}

#[derive(Clone, Debug)]
struct Column {
    name: String,
    role: Role,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Version,
    Parent,
    /// Shown so; the place in the key, if it is part of it.
    Value(Kind, Option<usize>),
}

/// What happened to a row at a site.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// Where.
    pub site: Site,
    table: Arc<str>,
    op: &'static str,
    key: Map<String, Value>,
    key_path: Arc<str>,
    #[serde(serialize_with = "text")]
    version: Version,
    parent: Option<String>,
    row: Option<Row>,
    at: String,
    /// Whether it was made elsewhere and applied here.
    applied: bool,
    #[serde(serialize_with = "text")]
    lsn: Lsn,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

impl Change {
    /// Which write it is.
    pub fn write(&self) -> Write {
        Write {
            table: Arc::clone(&self.table),
            key: Arc::clone(&self.key_path),
            version: self.version,
        }
    }
}

fn text<T: std::fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

impl Shape {
    /// Of a table with these columns in the stream's order. A column the catalogue does not know any more is shown as text.
    pub fn new(name: Arc<str>, table: Arc<Table>, columns: impl IntoIterator<Item = String>) -> Self {
        let role = |name: &str| match name {
            VERSION_COLUMN => Role::Version,
            PARENT_COLUMN => Role::Parent,
            _ => Role::Value(
                table.column(name).map_or(Kind::Text, |column| column.kind),
                table.key.iter().position(|of_key| of_key == name),
            ),
        };
        let names: Vec<String> = columns.into_iter().collect();
        let computed = Computed::of(&table, &names);
        let columns = names
            .into_iter()
            .map(|name| Column {
                role: role(&name),
                name,
            })
            .collect();
        Self {
            name,
            table,
            columns,
            computed,
        }
    }

    /// An inserted or updated row, with the one before where there was one, and with what was computed of it.
    pub fn change(
        &self,
        site: Site,
        open: Open,
        old: Option<&[Datum]>,
        new: &[Datum],
        computed: Map<String, Value>,
    ) -> Result<Change, Error> {
        let texts = self.texts(old, new)?;
        let key = self.key(&texts)?;
        let version = self
            .number(&texts, Role::Version)
            .ok_or_else(|| self.lacks(VERSION_COLUMN))?;
        let parent = self.number(&texts, Role::Parent);
        let same_row = match old {
            Some(old) => self.key(&self.texts(None, old)?)? == key,
            None => false,
        };
        let mut change = self.event(site, open, if same_row { "u" } else { "c" }, &key, version, parent);
        change.truncated = is_large(old, new);
        if !change.truncated {
            change.row = Some(self.row(&change, &texts, computed));
        }
        Ok(change)
    }

    /// A row that was deleted.
    pub fn deletion(&self, site: Site, open: Open, key: &Key, version: Version, parent: Option<Version>) -> Change {
        self.event(site, open, "d", key, version, parent)
    }

    fn event(
        &self,
        site: Site,
        open: Open,
        op: &'static str,
        key: &Key,
        version: Version,
        parent: Option<Version>,
    ) -> Change {
        Change {
            site,
            table: Arc::clone(&self.name),
            op,
            key: key.json(&self.table),
            key_path: key.path().into(),
            version,
            parent: parent.map(|parent| parent.to_string()),
            row: None,
            at: rfc3339(open.at),
            // A sink writes the outcome of a conflict with a version of its own site: that was made here.
            applied: open.by_sink && version.node() != site.node(),
            lsn: open.commit,
            truncated: false,
        }
    }

    fn row(&self, change: &Change, texts: &[Option<&str>], computed: Map<String, Value>) -> Row {
        let value = |(column, text): (&Column, Option<&str>)| match column.role {
            Role::Value(kind, _) => Some((column.name.clone(), text.map_or(Value::Null, |text| cell(kind, text)))),
            _ => None,
        };
        let values: Map<String, Value> = self
            .columns
            .iter()
            .zip(texts.iter().copied())
            .filter_map(value)
            .chain(computed)
            .collect();
        Row {
            key: change.key.clone(),
            key_path: change.key_path.to_string(),
            values: raw(Value::Object(values).to_string()),
            version: change.version.to_string(),
            parent: change.parent.clone(),
            written_at: rfc3339(change.version.micros()),
            written_at_site: Site::from_node(change.version.node())
                .map_or_else(|e| e.to_string(), |site| site.to_string()),
        }
    }

    /// The texts of a row that is told with its values; what is computed of it is computed of these.
    pub fn told<'a>(&self, old: Option<&'a [Datum]>, new: &'a [Datum]) -> Option<Vec<Option<&'a str>>> {
        if is_large(old, new) {
            return None;
        }
        self.texts(old, new).ok()
    }

    /// The texts of a row; a TOASTed value that an update left alone is the one before.
    fn texts<'a>(&self, old: Option<&'a [Datum]>, new: &'a [Datum]) -> Result<Vec<Option<&'a str>>, Error> {
        if new.len() != self.columns.len() {
            return Err(Error::Width {
                table: Arc::clone(&self.name),
                got: new.len(),
                expected: self.columns.len(),
            });
        }
        let text = |(place, datum): (usize, &'a Datum)| match datum {
            Datum::Text(text) => Some(&**text),
            Datum::Null | Datum::LeftOut(_) => None,
            Datum::Unchanged => match old.and_then(|old| old.get(place)) {
                Some(Datum::Text(text)) => Some(&**text),
                _ => None,
            },
        };
        Ok(new.iter().enumerate().map(text).collect())
    }

    fn key(&self, texts: &[Option<&str>]) -> Result<Key, Error> {
        let part = |place| {
            let mut found = self
                .columns
                .iter()
                .zip(texts)
                .filter_map(|(column, text)| match column.role {
                    Role::Value(kind, Some(at)) if at == place => text.map(|text| key_text(kind, text)),
                    _ => None,
                });
            found.next().ok_or_else(|| self.lacks("key"))
        };
        (0..self.table.key.len()).map(part).collect::<Result<_, _>>().map(Key)
    }

    fn number(&self, texts: &[Option<&str>], role: Role) -> Option<Version> {
        let mut columns = self.columns.iter().zip(texts);
        let (_, text) = columns.find(|(column, _)| column.role == role)?;
        text.and_then(|text| text.parse().ok()).map(Version)
    }

    fn lacks(&self, what: &'static str) -> Error {
        Error::Lacks(Arc::clone(&self.name), what)
    }
}

fn is_large(old: Option<&[Datum]>, new: &[Datum]) -> bool {
    row_length(old, new) > MOST_OF_A_ROW
}

/// As a cast to text says it: the stream has `t` and `f` for a boolean.
fn key_text(kind: Kind, text: &str) -> String {
    match (kind, text) {
        (Kind::Boolean, "t") => "true".to_owned(),
        (Kind::Boolean, "f") => "false".to_owned(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
