//! Where the records of each table go.

use std::{path::Path, sync::Arc};

use synccluster_protocol::event::TableName;

use crate::{
    arrange::Arranged,
    definitions::Definitions,
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
    all: Vec<(TableName, Way)>,
    last: usize,
}

impl Ways {
    /// From what was arranged.
    pub fn new(
        database: &str,
        sources: &[SourceTable],
        definitions: &Definitions,
        arranged: &[Arranged],
        before: Self,
    ) -> Self {
        let skipped = sources
            .iter()
            .filter(|source| definitions.of(&source.name).is_some_and(|defined| defined.skip))
            .map(|source| (source.name.clone(), Way::Skipped));
        let mut known: Vec<Box<Open>> = before
            .all
            .into_iter()
            .filter_map(|(_, way)| match way {
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
            (arranged.source.clone(), way)
        });
        Self {
            all: skipped.chain(found).collect(),
            last: 0,
        }
    }

    /// Where records of a table go; `None` if nobody knows it.
    pub fn of(&mut self, schema: &str, table: &str) -> Option<(&TableName, &mut Way)> {
        let is = |(name, _): &(TableName, Way)| name.table == table && name.schema == schema;
        if !self.all.get(self.last).is_some_and(is) {
            self.last = self.all.iter().position(is)?;
        }
        self.all.get_mut(self.last).map(|(name, way)| (&*name, way))
    }

    /// Decides for a table.
    pub fn set(&mut self, source: TableName, way: Way) {
        self.all.retain(|(name, _)| *name != source);
        self.all.push((source, way));
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
