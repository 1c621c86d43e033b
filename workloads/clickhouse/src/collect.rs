//! From records to a batch: each goes its table's way. What it must know first it asks for.

use std::collections::HashSet;

use rdkafka::Message;
use synccluster_protocol::event::TableName;

use crate::{
    event::{self, Change},
    progress::Progress,
    rows::Refused,
    ways::{Way, Ways},
    write::{Batch, Parked},
};

/// Something a record speaks of that is not as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// The table.
    pub source: TableName,
    /// What of it.
    pub what: What,
}

/// What of a table is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The table itself.
    Table,
    /// A column.
    Column(String),
    /// A value does not fit into its column; another type may have been given to it.
    Type(String),
}

/// What is collected, and from where on.
#[derive(Default)]
pub struct Collector {
    /// Where records go.
    pub ways: Ways,
    /// What was collected.
    pub batch: Batch,
    /// The next offset to read.
    pub next_offset: i64,
    /// Columns that a look did not help: values that do not fit into them are left out until they are forgotten here.
    pub hopeless: HashSet<(TableName, String)>,
}

impl Collector {
    /// Takes a record in; or says what has to be looked up, and takes it the next time.
    pub fn take(&mut self, message: &impl Message, progress: &mut Progress) -> Result<(), Unknown> {
        let offset = message.offset();
        if let Some(raw) = message.payload()
            && !self.add_row(message, raw)
        {
            self.add(raw, offset, progress)?;
        }
        self.next_offset = offset + 1;
        Ok(())
    }

    /// The short way, which nearly every record takes: its key says whose it is, and of its value nothing behind the row is read. Whether
    /// that was enough; what stands in the way the long way says.
    fn add_row(&mut self, message: &impl Message, raw: &[u8]) -> bool {
        let Some(after) = event::after(raw) else { return false };
        let Some((source, Way::Written(open))) = message.key().and_then(|key| self.ways.of_key(key)) else {
            return false;
        };
        let rows = self.batch.of(source, &open.insert);
        let added = rows.begun(&open.table, after, message.offset());
        if added {
            self.batch.oldest = self.batch.oldest.or(message.timestamp().to_millis());
        }
        added
    }

    fn add(&mut self, raw: &[u8], offset: i64, progress: &mut Progress) -> Result<(), Unknown> {
        let event = match event::read(raw) {
            Ok(event) => event,
            Err(error) => {
                self.park(offset, String::new(), error.to_string());
                return Ok(());
            }
        };
        let (schema, table) = match &event.change {
            Change::Nothing => return Ok(()),
            Change::Row { schema, table, .. } => (&**schema, &**table),
            Change::Tombstone { source, .. } => (source.schema.as_str(), source.table.as_str()),
        };
        let Some((source, way)) = self.ways.of(schema, table) else {
            return Err(Unknown {
                source: TableName::new(schema, table),
                what: What::Table,
            });
        };
        let open = match way {
            Way::Written(open) => open,
            Way::Skipped => return Ok(()),
            Way::LeftOut => {
                let name = source.to_string();
                progress.tables.remove(&name);
                progress.left_out.insert(name);
                self.batch.skipped += 1;
                return Ok(());
            }
        };
        let rows = self.batch.of(source, &open.insert);
        let added = match &event.change {
            Change::Row { after, before, .. } => {
                let after = after.get().as_bytes();
                if event.of_debezium {
                    rows.row_of_debezium(&open.table, after, *before, offset)
                } else {
                    rows.row(&open.table, after, *before, offset)
                }
            }
            Change::Tombstone { key, version, .. } => rows.tombstone(&open.table, key, *version, offset),
            Change::Nothing => Ok(()),
        };
        match added {
            Ok(()) => {
                self.batch.oldest = self.batch.oldest.or((event.at > 0).then_some(event.at));
                Ok(())
            }
            Err(Refused::NewColumn(column)) => Err(Unknown {
                source: source.clone(),
                what: What::Column(column),
            }),
            Err(Refused::Unfit { column, .. }) if !self.hopeless.contains(&(source.clone(), column.clone())) => {
                Err(Unknown {
                    source: source.clone(),
                    what: What::Type(column),
                })
            }
            Err(refused) => {
                let source = source.to_string();
                self.park(offset, source, refused.to_string());
                Ok(())
            }
        }
    }

    fn park(&mut self, offset: i64, source: String, reason: String) {
        tracing::warn!(source, offset, reason, "a row is left out");
        self.batch.parked.push(Parked { offset, source, reason });
    }

    /// Decides for what is not known even after a look. `seen` says whether the look saw the catalogue: then the table is no longer enrolled,
    /// or the column was dropped since, and nobody misses it. Otherwise its rows are missed.
    pub fn settle(&mut self, unknown: Unknown, seen: bool) {
        let Unknown { source, what } = unknown;
        match (seen, what) {
            (true, What::Table) => self.ways.set(source, Way::Skipped),
            (_, What::Type(column)) => _ = self.hopeless.insert((source, column)),
            (true, What::Column(column)) => {
                if let Some((_, Way::Written(open))) = self.ways.of(&source.schema, &source.table) {
                    open.table.left_out.insert(column);
                }
            }
            (false, _) => self.ways.set(source, Way::LeftOut),
        }
    }

    /// Whether there is something to write or to remember.
    pub fn waits(&self, progress: &Progress) -> bool {
        self.next_offset > progress.next_offset || !self.batch.rows.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        arrange::Arranged,
        table::{SourceColumn, SourceTable, wanted},
        types::PgType,
    };
    use rdkafka::{Timestamp, message::OwnedMessage};
    use serde_json::json;
    use synccluster_protocol::{codec::debezium::Form, definitions::Definitions};

    fn collector() -> Collector {
        let source = SourceTable {
            name: TableName::new("public", "t"),
            columns: vec![SourceColumn {
                name: "id".to_owned(),
                pg: PgType::Int(4),
                sql_type: String::new(),
                not_null: true,
                missing: None,
                debezium: Form::Same,
            }],
            key: vec!["id".to_owned()],
        };
        let arranged: Vec<Arranged> = wanted(std::slice::from_ref(&source), &Definitions::default())
            .into_iter()
            .map(|wanted| Arranged {
                source: wanted.source,
                name: wanted.name,
                table: wanted.table,
            })
            .collect();
        Collector {
            ways: Ways::new(
                "t",
                "analytics",
                &[source],
                &Definitions::default(),
                &arranged,
                Ways::default(),
            ),
            ..Collector::default()
        }
    }

    fn message(offset: i64, table: &str, after: &serde_json::Value) -> OwnedMessage {
        let value = json!({"after": after, "source": {"schema": "public", "table": table, "ts_ms": 9}}).to_string();
        OwnedMessage::new(
            Some(value.into_bytes()),
            None,
            "t".to_owned(),
            Timestamp::NotAvailable,
            0,
            offset,
            None,
        )
    }

    #[test]
    fn rows_are_collected_and_what_is_unknown_is_asked_for_before_it_counts() {
        let (mut collector, mut progress) = (collector(), Progress::default());
        collector
            .take(&message(3, "t", &json!({"id": 1, "sync_version": 5})), &mut progress)
            .unwrap();
        assert_eq!(
            (
                collector.next_offset,
                collector.batch.rows[0].ends.len(),
                collector.batch.oldest
            ),
            (4, 1, Some(9))
        );
        let unknown = collector
            .take(&message(4, "u", &json!({"id": 1})), &mut progress)
            .unwrap_err();
        assert_eq!(
            (
                unknown.source.to_string().as_str(),
                &unknown.what,
                collector.next_offset
            ),
            ("public.u", &What::Table, 4)
        );
        let unknown = collector
            .take(
                &message(4, "t", &json!({"id": 1, "x": 2, "sync_version": 5})),
                &mut progress,
            )
            .unwrap_err();
        assert_eq!(unknown.what, What::Column("x".to_owned()));
        collector.settle(unknown, true);
        collector
            .take(
                &message(4, "t", &json!({"id": 1, "x": 2, "sync_version": 6})),
                &mut progress,
            )
            .unwrap();
        assert_eq!(collector.batch.rows[0].ends.len(), 2);
    }

    #[test]
    fn a_table_that_cannot_be_written_is_remembered_when_a_row_of_it_is_passed_over() {
        let (mut collector, mut progress) = (collector(), Progress::default());
        progress.tables.insert("public.t".to_owned());
        collector.settle(
            Unknown {
                source: TableName::new("public", "t"),
                what: What::Column("x".to_owned()),
            },
            false,
        );
        assert!(progress.left_out.is_empty());
        collector
            .take(&message(0, "t", &json!({"id": 1, "sync_version": 5})), &mut progress)
            .unwrap();
        assert!(progress.left_out.contains("public.t") && progress.tables.is_empty());
        assert_eq!(collector.batch.skipped, 1);
        assert!(collector.waits(&progress));
    }

    #[test]
    fn a_poisoned_record_is_parked_once_a_look_did_not_help_and_the_next_one_taken() {
        let (mut collector, mut progress) = (collector(), Progress::default());
        let poisoned = message(0, "t", &json!({"id": "no number", "sync_version": 5}));
        let unknown = collector.take(&poisoned, &mut progress).unwrap_err();
        assert_eq!(unknown.what, What::Type("id".to_owned()));
        collector.settle(unknown, true);
        collector.take(&poisoned, &mut progress).unwrap();
        collector.take(&message(1, "t", &json!(7)), &mut progress).unwrap();
        collector
            .take(&message(2, "t", &json!({"id": 2, "sync_version": 5})), &mut progress)
            .unwrap();
        assert_eq!(
            (
                collector.batch.parked.len(),
                collector.batch.rows[0].ends.len(),
                collector.next_offset
            ),
            (2, 1, 3)
        );
    }

    #[test]
    fn the_short_way_and_the_long_way_write_the_same() {
        let after = json!({"id": 1, "sync_version": 5});
        let value =
            json!({"before": {"id": 1}, "after": after, "source": {"schema": "public", "table": "t", "ts_ms": 9}})
                .to_string();
        let key =
            |table: &str| format!(r#"{{"id":1,"__dbz__physicalTableIdentifier":"t.public.{table}"}}"#).into_bytes();
        let with_key = |key: Option<Vec<u8>>| {
            OwnedMessage::new(
                Some(value.clone().into_bytes()),
                key,
                "t".to_owned(),
                Timestamp::CreateTime(9),
                0,
                3,
                None,
            )
        };
        let (mut short, mut long, mut progress) = (collector(), collector(), Progress::default());
        assert!(short.add_row(&with_key(Some(key("t"))), value.as_bytes()));
        assert!(!long.add_row(&with_key(Some(key("u"))), value.as_bytes()));
        assert!(!long.add_row(&with_key(None), value.as_bytes()));
        long.take(&with_key(None), &mut progress).unwrap();
        let all = |collector: &Collector| {
            (
                collector.batch.rows[0].bytes.clone(),
                collector.batch.rows[0].offsets.clone(),
                collector.batch.oldest,
            )
        };
        assert_eq!(all(&short), all(&long));
    }
}
