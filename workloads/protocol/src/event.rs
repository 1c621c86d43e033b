//! Change events: Debezium's envelope, JSON without the schema
//! (Debezium reference, "PostgreSQL connector", sections "Change event keys" and "Change event values").

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Lsn, Site, Version};

/// The field of a key that tells tables of one topic apart.
pub const TABLE_IDENTIFIER: &str = "__dbz__physicalTableIdentifier";
/// What Debezium puts in place of a TOASTed value that the WAL does not carry.
pub const UNAVAILABLE_VALUE: &str = "__debezium_unavailable_value";
/// Record header of the last event of a transaction: the number of events the transaction has, in decimal. Ours; Debezium's consumers ignore headers.
pub const TRANSACTION_END_HEADER: &str = "sync.transaction.end";
/// Record header: the [`Installation`] that sent it, in decimal. On every record, Kafka's tombstones included; where it is absent, that is 0.
pub const INSTALLATION_HEADER: &str = "sync.installation";
/// The column with a row's version.
pub const VERSION_COLUMN: &str = "sync_version";
/// The column with the version a write replaced.
pub const PARENT_COLUMN: &str = "sync_parent";
/// The table whose rows are versioned deletes.
pub const TOMBSTONES: (&str, &str) = ("sync", "tombstones");
/// The table by which Debezium is asked for something; in the publication, and in no topic.
pub const SIGNALS: (&str, &str) = ("sync", "debezium_signal");

/// Which of the databases that a site has one after the other: when schema `sync` was made in it, microseconds since the Unix epoch. 0 is one
/// of before there were such numbers. Positions of two installations cannot be compared, and one knows nothing of what the other wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Installation(pub i64);

impl std::fmt::Display for Installation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for Installation {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// Column values by name, in the table's order, as [`crate::codec`] writes them.
pub type Row = Map<String, Value>;

/// What happened to the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// Inserted.
    #[serde(rename = "c")]
    Create,
    /// Updated.
    #[serde(rename = "u")]
    Update,
    /// Deleted. Carries no version: the versioned delete is the tombstone row beside it.
    #[serde(rename = "d")]
    Delete,
    /// Read by a snapshot.
    #[serde(rename = "r")]
    Read,
}

/// Where a change comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Version of the connector.
    #[serde(default)]
    pub version: String,
    /// `postgresql`.
    #[serde(default)]
    pub connector: String,
    /// The topic prefix: the topic of the site.
    pub name: String,
    /// Commit time, milliseconds since the Unix epoch.
    #[serde(default)]
    pub ts_ms: i64,
    /// Commit time, microseconds.
    #[serde(default)]
    pub ts_us: i64,
    /// Commit time, nanoseconds.
    #[serde(default)]
    pub ts_ns: i64,
    /// `true`, `last`, … for rows of a snapshot, `false` for streamed changes.
    #[serde(default)]
    pub snapshot: Option<String>,
    /// The database.
    #[serde(default)]
    pub db: String,
    /// `["<last commit LSN>","<LSN>"]` as JSON text.
    #[serde(default)]
    pub sequence: Option<String>,
    /// The table's schema.
    pub schema: String,
    /// The table.
    pub table: String,
    /// The transaction id in the source.
    #[serde(rename = "txId", default)]
    pub tx_id: Option<i64>,
    /// The LSN of the change.
    #[serde(default)]
    pub lsn: Option<u64>,
    /// The replication origin, if the write was applied there and not made there.
    #[serde(default)]
    pub origin: Option<String>,
}

impl Source {
    /// Whether Debezium made the event: some values have another form there.
    pub fn is_debezium(&self) -> bool {
        crate::codec::debezium::is_version(&self.version)
    }

    /// Whether the event is a row that was read while streaming went on. It says nothing about how far the stream is.
    pub fn is_incremental(&self) -> bool {
        self.snapshot.as_deref() == Some("incremental")
    }

    /// The end of the commit before, where `sequence` says it: Debezium's events know no commit of their own.
    pub fn commit_before(&self) -> Option<u64> {
        let (before, _): (Option<String>, Option<String>) = serde_json::from_str(self.sequence.as_deref()?).ok()?;
        before?.parse().ok()
    }
}

/// An event's place in its transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// `<txId>:<LSN>`: of the commit; Debezium's of the event, so that only [`Self::number`] is the same for all of a transaction.
    pub id: String,
    /// From 1, over all tables.
    pub total_order: u64,
    /// From 1, within the table.
    pub data_collection_order: u64,
}

impl Transaction {
    /// What all events of the transaction share of [`Self::id`].
    pub fn number(&self) -> &str {
        self.id.split_once(':').map_or(&*self.id, |(number, _)| number)
    }
}

/// A record of Debezium's that says where a transaction begins and ends (`provide.transaction.metadata`); it changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Marker {
    /// Which of the two.
    pub status: Boundary,
    /// `<txId>:<LSN>`; the LSN of an end is the end of the commit.
    pub id: String,
}

/// Which end of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Boundary {
    /// Its first record follows.
    Begin,
    /// Its last record was before.
    End,
}

impl Marker {
    /// The end of the commit, if this is an end.
    pub fn commit_end(&self) -> Option<u64> {
        let (_, lsn) = self.id.split_once(':').filter(|_| self.status == Boundary::End)?;
        lsn.parse().ok()
    }
}

/// The value of a record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// The row before; absent for inserts and snapshots.
    pub before: Option<Row>,
    /// The row after; absent for deletes.
    pub after: Option<Row>,
    /// Where it comes from.
    pub source: Source,
    /// What happened.
    pub op: Op,
    /// When the connector made the event, milliseconds since the Unix epoch.
    #[serde(default)]
    pub ts_ms: Option<i64>,
    /// Its place in its transaction; absent for snapshots.
    #[serde(default)]
    pub transaction: Option<Transaction>,
}

/// A table by schema and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub table: String,
}

impl TableName {
    /// From schema and name.
    pub fn new(schema: impl Into<String>, table: impl Into<String>) -> Self {
        Self {
            schema: schema.into(),
            table: table.into(),
        }
    }

    /// Whether it is this one of our own.
    pub fn is(&self, (schema, table): (&str, &str)) -> bool {
        self.schema == schema && self.table == table
    }

    /// From `schema.table` as [`Self::fmt`](std::fmt::Display) writes it; the first dot divides.
    pub fn parse(text: &str) -> Option<Self> {
        text.split_once('.').map(|(schema, table)| Self::new(schema, table))
    }
}

impl std::fmt::Display for TableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
}

/// The key of a record: the primary key's columns and the table's identifier.
pub fn key(topic: &str, table: &TableName, columns: &[&str], row: &Row) -> Row {
    let mut key: Row = columns
        .iter()
        .map(|&c| (c.to_owned(), row.get(c).cloned().unwrap_or(Value::Null)))
        .collect();
    key.insert(TABLE_IDENTIFIER.to_owned(), Value::String(format!("{topic}.{table}")));
    key
}

/// The version in a row's `sync_version` or a tombstone's `version`.
pub fn version_in(row: &Row, column: &str) -> Option<Version> {
    row.get(column).and_then(Value::as_i64).map(Version)
}

/// The id of a transaction: `<txId>:<commit LSN in decimal>`.
pub fn transaction_id(tx_id: u32, commit: Lsn) -> String {
    format!("{tx_id}:{}", commit.0)
}

/// The origin an applied write carries: the name of the site that made it.
pub fn origin_name(site: Site) -> String {
    site.to_string()
}
