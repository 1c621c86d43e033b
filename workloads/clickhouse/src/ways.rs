//! Where the records of each table go.

use std::{path::Path, sync::Arc};

use serde_json::Value;
use synccluster_protocol::{
    definitions::Definitions,
    event::{TABLE_IDENTIFIER, TableName},
};

use crate::{
    arrange::Arranged,
    sql,
    table::{SourceTable, Table},
};

/// A table that is written.
pub struct Open {
    /// The table.
    pub table: Table,
    /// Its insert; another one when its columns change.
    pub insert: Arc<str>,
}

/// What happens to records of a table.
pub enum Way {
    /// They are written.
    Written(Box<Open>),
    /// They cannot be, and are missed: when they can, the topic is read again.
    LeftOut,
    /// Nobody wants them.
    Skipped,
}

/// All tables. A topic speaks of the same table many times in a row.
#[derive(Default)]
pub struct Ways {
    topic: String,
    all: Vec<Entry>,
    last: usize,
}

struct Entry {
    name: TableName,
    way: Way,
    /// What the key of every record of the table ends in.
    identifier: Vec<u8>,
}

impl Entry {
    fn new(topic: &str, name: TableName, way: Way) -> Self {
        let identifier = Value::String(format!("{topic}.{name}"));
        Self {
            identifier: format!("\"{TABLE_IDENTIFIER}\":{identifier}}}").into_bytes(),
            name,
            way,
        }
    }
}

impl Ways {
    /// From what was arranged.
    pub fn new(
        topic: &str,
        database: &str,
        sources: &[SourceTable],
        definitions: &Definitions,
        arranged: &[Arranged],
        before: Self,
    ) -> Self {
        let skipped = sources
            .iter()
            .filter(|source| definitions.of(&source.name).is_some_and(|defined| defined.skip))
            .map(|source| Entry::new(topic, source.name.clone(), Way::Skipped));
        let mut known: Vec<Box<Open>> = before
            .all
            .into_iter()
            .filter_map(|entry| match entry.way {
                Way::Written(open) => Some(open),
                Way::LeftOut | Way::Skipped => None,
            })
            .collect();
        let found = arranged.iter().map(|arranged| {
            let way = match &arranged.table {
                Err(_) => Way::LeftOut,
                // The insert stays the same as long as the table does, so that its rows go together.
                Ok(table) => match known.iter().position(|open| open.table == *table) {
                    Some(place) => Way::Written(known.swap_remove(place)),
                    None => Way::Written(Box::new(Open {
                        insert: sql::insert(database, table).into(),
                        table: table.clone(),
                    })),
                },
            };
            Entry::new(topic, arranged.source.clone(), way)
        });
        Self {
            topic: topic.to_owned(),
            all: skipped.chain(found).collect(),
            last: 0,
        }
    }

    /// Where records of a table go; `None` if nobody knows it.
    pub fn of(&mut self, schema: &str, table: &str) -> Option<(&TableName, &mut Way)> {
        self.find(|entry| entry.name.table == table && entry.name.schema == schema)
    }

    /// The same by a record's key, unread: every table's keys end in its own words.
    pub fn of_key(&mut self, key: &[u8]) -> Option<(&TableName, &mut Way)> {
        self.find(|entry| key.ends_with(&entry.identifier))
    }

    fn find(&mut self, is: impl Fn(&Entry) -> bool) -> Option<(&TableName, &mut Way)> {
        if !self.all.get(self.last).is_some_and(&is) {
            self.last = self.all.iter().position(is)?;
        }
        self.all.get_mut(self.last).map(|entry| (&entry.name, &mut entry.way))
    }

    /// Decides for a table.
    pub fn set(&mut self, source: TableName, way: Way) {
        self.all.retain(|entry| entry.name != source);
        self.all.push(Entry::new(&self.topic, source, way));
    }
}

/// The definitions in a file, if there is to be one.
pub fn definitions(file: Option<&Path>) -> Result<Definitions, String> {
    let Some(file) = file else {
        return Ok(Definitions::default());
    };
    let text = std::fs::read_to_string(file).map_err(|error| {
        format!(
            "the definitions of tables are not there ({error}): create the ConfigMap of spec.analytics.clickhouse.tables with the key {}",
            file.file_name().unwrap_or_default().display()
        )
    })?;
    Definitions::read(&text).map_err(|error| error.to_string())
}
