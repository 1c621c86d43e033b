//! How far the topic has been written, kept in ClickHouse beside what was written.
//!
//! One row a topic, written after the rows it speaks of. Killed between the two, the next session writes those rows again: the same rows
//! under the same versions, which collapse. A ClickHouse that lost its disk, or was restored from a backup, has lost its progress with it
//! and is filled again from there; progress kept elsewhere would skip what is gone.

use std::collections::BTreeSet;

use crate::{
    arrange::Arranged,
    http::{ClickHouse, Error},
    sql::{qualified, text},
    table::{PARKED, PROGRESS},
};

/// What is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The generation of what is there.
    pub generation: i64,
    /// The next offset to write.
    pub next_offset: i64,
    /// Tables that have every row up to there.
    pub tables: BTreeSet<String>,
    /// Tables of which rows were left out.
    pub left_out: BTreeSet<String>,
    /// When it was written, microseconds since the Unix epoch.
    pub written_at: i64,
}

/// As it is read: ClickHouse's versions do not agree whether a 64-bit integer is a number or a string in JSON.
type Stored = (String, String, BTreeSet<String>, BTreeSet<String>, String);

/// Where to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Where it was left.
    Here(Progress),
    /// At the beginning of the topic, for this reason.
    Anew {
        /// The progress to store first.
        progress: Progress,
        /// Whether what is there goes first.
        empty: bool,
        /// Why, for the log.
        reason: String,
    },
}

/// Decides where to begin. Pure.
pub fn begin(stored: Option<Progress>, generation: i64, arranged: &[Arranged]) -> Begin {
    let written: BTreeSet<String> = arranged
        .iter()
        .filter(|arranged| arranged.table.is_ok())
        .map(|arranged| arranged.source.to_string())
        .collect();
    let anew = |written_at, empty, reason: String| Begin::Anew {
        progress: Progress {
            generation,
            next_offset: 0,
            tables: written.clone(),
            left_out: BTreeSet::new(),
            written_at,
        },
        empty,
        reason,
    };
    let Some(stored) = stored else {
        return anew(0, false, "ClickHouse has no progress".to_owned());
    };
    if stored.generation != generation {
        let reason = format!("generation {generation} is wanted, and {} is there", stored.generation);
        return anew(stored.written_at, true, reason);
    }
    if let Some(back) = stored.left_out.intersection(&written).next() {
        return anew(
            stored.written_at,
            false,
            format!("{back} can be written now, and rows of it were left out"),
        );
    }
    Begin::Here(Progress {
        tables: stored.tables.union(&written).cloned().collect(),
        ..stored
    })
}

impl Progress {
    /// What is stored for a topic.
    pub async fn read(clickhouse: &ClickHouse, topic: &str) -> Result<Option<Self>, Error> {
        let query = format!(
            "SELECT toString(generation), toString(next_offset), tables, left_out, toString(written_at) FROM {} WHERE topic = {} \
             ORDER BY written_at DESC LIMIT 1",
            qualified(&clickhouse.database, PROGRESS),
            text(topic)
        );
        let rows: Vec<Stored> = clickhouse.rows(&query).await?;
        let number = |text: &str| text.parse().unwrap_or_default();
        Ok(rows
            .into_iter()
            .next()
            .map(|(generation, next_offset, tables, left_out, written_at)| Self {
                generation: number(&generation),
                next_offset: number(&next_offset),
                tables,
                left_out,
                written_at: number(&written_at),
            }))
    }

    /// Everything has to be read again: these tables are gone.
    pub fn lost(&mut self, tables: &BTreeSet<String>) {
        self.next_offset = 0;
        self.tables.retain(|table| !tables.contains(table));
    }

    /// Stores it; later than what was stored before, whatever the clock says.
    pub async fn write(&mut self, clickhouse: &ClickHouse, topic: &str, now: i64) -> Result<(), Error> {
        self.written_at = now.max(self.written_at + 1);
        let list = |names: &BTreeSet<String>| names.iter().map(|name| text(name)).collect::<Vec<_>>().join(", ");
        let statement = format!(
            "INSERT INTO {} (topic, generation, next_offset, tables, left_out, written_at) VALUES ({}, {}, {}, [{}], [{}], {})",
            qualified(&clickhouse.database, PROGRESS),
            text(topic),
            self.generation,
            self.next_offset,
            list(&self.tables),
            list(&self.left_out),
            self.written_at
        );
        clickhouse.execute(&statement).await
    }
}

/// Empties what is filled again. Killed in the middle, the next session finds the old generation and does it again.
pub async fn empty(clickhouse: &ClickHouse, arranged: &[Arranged]) -> Result<(), Error> {
    for table in arranged.iter().filter_map(|arranged| arranged.table.as_ref().ok()) {
        clickhouse
            .execute(&format!(
                "TRUNCATE TABLE {}",
                qualified(&clickhouse.database, &table.name)
            ))
            .await?;
    }
    Ok(())
}

/// Forgets what was parked: all of it is met again.
pub async fn forget_parked(clickhouse: &ClickHouse) -> Result<(), Error> {
    clickhouse
        .execute(&format!("TRUNCATE TABLE {}", qualified(&clickhouse.database, PARKED)))
        .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use synccluster_protocol::event::TableName;

    fn arranged(name: &str, usable: bool) -> Arranged {
        let table = crate::table::Table {
            source: TableName::new("public", name),
            name: name.to_owned(),
            columns: Vec::new(),
            order: Vec::new(),
            deleted: "deleted".to_owned(),
            left_out: std::collections::HashSet::new(),
            differs: false,
        };
        Arranged {
            source: TableName::new("public", name),
            name: name.to_owned(),
            table: if usable { Ok(table) } else { Err("no".to_owned()) },
        }
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn stored() -> Progress {
        Progress {
            generation: 1,
            next_offset: 40,
            tables: set(&["public.a"]),
            left_out: BTreeSet::new(),
            written_at: 9,
        }
    }

    fn anew(begin: &Begin) -> Option<bool> {
        match begin {
            Begin::Anew { progress, empty, .. } if progress.next_offset == 0 => Some(*empty),
            _ => None,
        }
    }

    #[test]
    fn it_goes_on_where_it_was_and_new_tables_join() {
        let all = [arranged("a", true), arranged("b", true), arranged("c", false)];
        let expected = Progress {
            tables: set(&["public.a", "public.b"]),
            ..stored()
        };
        assert_eq!(begin(Some(stored()), 1, &all), Begin::Here(expected));
    }

    #[test]
    fn without_progress_and_where_rows_were_left_out_it_begins_anew() {
        assert_eq!(anew(&begin(None, 1, &[arranged("a", true)])), Some(false));
        let left_out = Progress {
            left_out: set(&["public.b"]),
            ..stored()
        };
        assert_eq!(
            anew(&begin(Some(left_out.clone()), 1, &[arranged("b", true)])),
            Some(false)
        );
        assert_eq!(anew(&begin(Some(left_out), 1, &[arranged("b", false)])), None);
    }

    #[test]
    fn another_generation_empties_first() {
        assert_eq!(anew(&begin(Some(stored()), 2, &[arranged("a", true)])), Some(true));
    }
}
