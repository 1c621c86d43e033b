//! What a workload says of itself at `GET /status`. The operator reads it; every fact carries the time it was measured
//! (milliseconds since the Unix epoch) or is absent.

use serde::{Deserialize, Serialize};

use crate::{ClusterName, Lsn, Site};

/// Milliseconds since the Unix epoch.
pub type Millis = i64;

/// Whether a connection made just now gets through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dial {
    /// Not tried yet; after the first dial: it could not be tried, because the name of the peer does not resolve. No partition looks like that.
    // No variant of its own: an operator of before a rollback would understand nothing of the document.
    #[default]
    Unknown,
    /// The peer accepted.
    Open,
    /// Nothing came back within the limit, or the network said no: what a partition looks like.
    Blocked,
    /// The peer's machine answered that nobody listens there: Kafka is down, the network is not cut.
    Refused,
}

/// The way from a workload to Kafka, measured afresh every second.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkStatus {
    /// `host:port` that is dialled.
    pub peer: String,
    /// The result of the last dial.
    pub fresh_dial: Dial,
    /// Since when the dial has given this result.
    pub fresh_dial_since: Option<Millis>,
    /// When the last dial ended.
    pub probed_at: Option<Millis>,
    /// TCP connections to the peer's port that the kernel holds established in this pod (from /proc/net/tcp and tcp6); 0 without
    /// `closed_since` where they could not be counted.
    pub established: u32,
    /// Since when `established` has been 0; absent while it is not, or while that is not known.
    pub closed_since: Option<Millis>,
    /// When the last record went through (acknowledged by Kafka, or received from it).
    pub last_moved_at: Option<Millis>,
}

impl LinkStatus {
    /// Whether the last dial could not be tried, because the name of the peer does not resolve.
    pub fn is_unresolved(&self) -> bool {
        self.fresh_dial == Dial::Unknown && self.probed_at.is_some()
    }

    /// The connections there are, if they could be counted.
    pub fn connections(&self) -> Option<u32> {
        (self.established > 0 || self.closed_since.is_some()).then_some(self.established)
    }
}

/// What a connector is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConnectorPhase {
    /// Connecting to Postgres and Kafka.
    #[default]
    Starting,
    /// Sending the rows that were there before the slot.
    Snapshotting,
    /// Sending changes as they are committed.
    Streaming,
    /// Somebody has asked it to wait; the slot keeps what is written meanwhile.
    Paused,
    /// Kafka cannot be reached; the slot keeps what is written meanwhile.
    Cut,
    /// Something failed and is tried again; `error` says what.
    Failing,
}

/// The replication slot as Postgres shows it in `pg_replication_slots`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotStatus {
    /// Its name.
    pub name: String,
    /// Whether somebody reads it.
    pub active: bool,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub wal_status: String,
    /// Bytes of WAL kept because of it.
    pub retained_bytes: u64,
    /// Up to where Kafka has acknowledged, as Postgres was told.
    pub confirmed_flush_lsn: Option<Lsn>,
}

/// A task of a connector of Kafka Connect's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectTask {
    /// Its number.
    pub id: u32,
    /// RUNNING, PAUSED, FAILED, … as Connect says.
    pub state: String,
    /// The first line of what it failed with.
    pub error: Option<String>,
}

/// What can be asked of a connector of engine Debezium.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RequestKind {
    /// A new worker.
    Restart,
    /// To read nothing until it is asked to resume; the slot keeps what is written meanwhile.
    Pause,
    /// To go on.
    Resume,
    /// A new slot, with a new snapshot.
    Reset,
}

/// `POST /connector/<what>?id=<id>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectRequest {
    /// What.
    pub what: RequestKind,
    /// Names the request: asked for twice it is done once.
    pub id: String,
}

/// What Kafka Connect says of a connector of engine Debezium.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectStatus {
    /// RUNNING, PAUSED, STOPPED, FAILED, … as Connect says; empty while the worker starts.
    pub connector: String,
    /// The connector's version, `3.7.0.Final`; empty until it is known.
    pub version: String,
    /// Its tasks.
    pub tasks: Vec<ConnectTask>,
    /// Restarts of what had failed, since the start of the process.
    pub restarts: u64,
    /// Requests that are not done yet.
    pub waiting: Vec<ConnectRequest>,
    /// Requests that were done last, newest last.
    pub done: Vec<ConnectRequest>,
}

/// `GET /status` of a connector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectorStatus {
    /// The cluster it belongs to.
    pub cluster: ClusterName,
    /// Its site.
    pub site: Site,
    /// What it is doing.
    pub phase: ConnectorPhase,
    /// Its way to Kafka.
    pub link: LinkStatus,
    /// Its slot; absent until it exists.
    pub slot: Option<SlotStatus>,
    /// WAL bytes between what the site has flushed and what Kafka has acknowledged; absent while Postgres cannot be asked.
    /// At rest this is not always 0: WAL that concerns no enrolled table counts until the next keepalive confirms it.
    pub lag_bytes: Option<u64>,
    /// Age of the oldest change that was read and not yet acknowledged by Kafka; 0 when there is none.
    pub lag_seconds: u64,
    /// Records acknowledged by Kafka since the start of the process.
    pub records_acknowledged: u64,
    /// Rows sent by the running or last snapshot.
    pub snapshot_rows: u64,
    /// Rows that Kafka does not take: they wait in `sync.parked` of their own site.
    #[serde(default)]
    pub set_aside: u64,
    /// The rows that are sent once more, or were last; absent if nobody asked.
    #[serde(default)]
    pub resnapshot: Option<ResnapshotStatus>,
    /// What failed last, with what to do; absent while all is well.
    pub error: Option<String>,
    /// What Kafka Connect says; absent with the native engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<ConnectStatus>,
    /// When the slot and the lag were measured.
    pub measured_at: Option<Millis>,
}

/// `PUT /resnapshot` of a connector: every row once more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResnapshotRequest {
    /// Names the request: asked for twice it is done once.
    pub id: String,
    /// `public.todos`; absent: all tables.
    pub table: Option<String>,
}

/// How far a connector is with sending every row once more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResnapshotStatus {
    /// Names the request.
    pub id: String,
    /// The one table that was asked for; absent: all.
    pub only: Option<String>,
    /// The table that is being sent.
    pub table: Option<String>,
    /// Rows that Kafka has, tombstones included. Those that changed meanwhile count too: they were sent as changes.
    pub rows: u64,
    /// Rows there were at the beginning, by Postgres' estimate; absent where it has none.
    pub expected: Option<u64>,
    /// When it was begun.
    pub began_at: Millis,
    /// Whether every row was sent.
    pub done: bool,
    /// When the last was.
    pub done_at: Option<Millis>,
    /// Why it cannot be done as it was asked for, with what to do.
    pub problem: Option<String>,
    /// Why it does not go on, with what to do; it is tried again.
    #[serde(default)]
    pub error: Option<String>,
}

/// What a sink is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SinkPhase {
    /// Connecting to Postgres and Kafka, or waiting for the site's migrations.
    #[default]
    Starting,
    /// Applying what comes.
    Applying,
    /// Kafka cannot be reached.
    Cut,
    /// Something failed and is tried again; `error` says what.
    Failing,
}

/// A sink's place in one topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// The topic.
    pub topic: String,
    /// The next offset to apply, as stored in the target database.
    pub offset: i64,
    /// The end of the topic when last seen; absent before that.
    pub end_offset: Option<i64>,
    /// When that was.
    #[serde(default)]
    pub end_measured_at: Option<Millis>,
    /// Records between the two.
    pub lag_records: u64,
    /// Why the sink has stopped applying from this topic only: the clock of its site is too far ahead. Milliseconds ahead.
    pub clock_ahead_millis: Option<u64>,
}

/// A digest of every enrolled table of a site: equal digests mean equal rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestStatus {
    /// Sixteen hexadecimal digits over all tables, rows and columns, independent of their order.
    pub digest: String,
    /// Rows it covers.
    pub rows: u64,
    /// The site's WAL position before it was computed. If the position is still the same, so is the digest.
    pub lsn: Lsn,
    /// When it was computed or last found unchanged.
    pub measured_at: Millis,
}

/// `GET /status` of a sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkStatus {
    /// The cluster it belongs to.
    pub cluster: ClusterName,
    /// Its site.
    pub site: Site,
    /// What it is doing.
    pub phase: SinkPhase,
    /// Its way to Kafka.
    pub link: LinkStatus,
    /// One entry a topic it reads.
    pub sources: Vec<SourceStatus>,
    /// Age of the oldest change that was received and not yet applied; 0 when there is none.
    pub lag_seconds: u64,
    /// The site's digest; absent until it could be computed.
    pub digest: Option<DigestStatus>,
    /// Rows of `sync.conflicts`.
    pub conflicts: u64,
    /// Rows of `sync.parked`.
    pub parked: u64,
    /// Why the newest parked event waits.
    pub parked_reason: Option<String>,
    /// Why digest and counts are those of before; absent while they are measured.
    #[serde(default)]
    pub unmeasured: Option<String>,
    /// Transactions applied since the start of the process.
    pub transactions_applied: u64,
    /// What failed last, with what to do; absent while all is well.
    pub error: Option<String>,
    /// When the counts were measured.
    pub measured_at: Option<Millis>,
}

/// A counter node's way to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterPeerStatus {
    /// Which node.
    pub ordinal: u16,
    /// The way to it. `established` counts the connections with it that this node holds, whoever has dialled.
    pub link: LinkStatus,
    /// Whether it was heard within the last 1.5 s.
    pub alive: bool,
    /// Up to which position of this node's log it knows, as it said last; absent until it said so.
    pub known: Option<u64>,
}

/// Whom a counter node takes for the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterLeaderStatus {
    /// Which node.
    pub node: u16,
    /// In which term.
    pub term: u64,
}

/// `GET /status` of a counter node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterStatus {
    /// The cluster it belongs to.
    pub cluster: ClusterName,
    /// Its ordinal.
    pub node: u16,
    /// The life of its log, sixteen hexadecimal digits; another one after it has lost its disk.
    pub incarnation: String,
    /// The last position of its log.
    pub position: u64,
    /// Up to which position its log is in Kafka; absent until that is known.
    pub published: Option<u64>,
    /// Up to which position nobody needs its log any more.
    pub stable: u64,
    /// Bytes its log has on disk.
    pub log_bytes: u64,
    /// All other nodes.
    pub peers: Vec<CounterPeerStatus>,
    /// Sixteen hexadecimal digits over all totals: equal on two nodes that know the same.
    pub digest: String,
    /// How many ids there are.
    pub ids: u64,
    /// How many requests it counts that another node counts too, and has still to take back: totals are too high by so much on every node
    /// that knows both.
    #[serde(default)]
    pub doubled: u64,
    /// Its way to Kafka; absent where it has none.
    pub kafka: Option<LinkStatus>,
    /// Whom it takes for the leader; absent while there is none.
    pub leader: Option<CounterLeaderStatus>,
    /// Whether it has heard no majority of the nodes for 3 s: its clients are told, and may go elsewhere.
    #[serde(default)]
    pub alone: bool,
    /// Clients connected by WebSocket.
    pub clients: u32,
    /// Likes acknowledged in the last second.
    pub likes_per_second: u32,
    /// What is wrong, with what to do; absent while all is well.
    pub error: Option<String>,
    /// When all this was measured.
    pub measured_at: Option<Millis>,
}

/// What the analytics sink is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AnalyticsPhase {
    /// Connecting to Postgres, Kafka and ClickHouse, and making its tables.
    #[default]
    Starting,
    /// Writing what comes.
    Writing,
    /// Kafka cannot be reached.
    Cut,
    /// Something failed and is tried again; `error` says what.
    Failing,
}

/// A table in ClickHouse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnalyticsTableStatus {
    /// The table it is filled from: `public.todos`.
    pub source: String,
    /// Its name in ClickHouse.
    pub table: String,
    /// Why it is not written, with what to do; absent while it is.
    pub problem: Option<String>,
}

/// `GET /status` of the analytics sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnalyticsStatus {
    /// The cluster it belongs to.
    pub cluster: ClusterName,
    /// What it is doing.
    pub phase: AnalyticsPhase,
    /// Its way to Kafka.
    pub link: LinkStatus,
    /// Its place in the server's topic, as stored in ClickHouse; absent until it has been read from there.
    pub source: Option<SourceStatus>,
    /// Age of the oldest change that was received and is not in ClickHouse yet; 0 when there is none.
    pub lag_seconds: u64,
    /// Up to which offset the running rebuild goes; absent while none runs.
    pub rebuilding_to: Option<i64>,
    /// The generation of what ClickHouse holds; another one in the resource begins a rebuild.
    pub generation: i64,
    /// One entry a table.
    pub tables: Vec<AnalyticsTableStatus>,
    /// What is wrong with the definitions of tables, with what to do; absent while all is well.
    pub definitions_problem: Option<String>,
    /// Rows written since the start of the process, deletes included.
    pub rows_written: u64,
    /// Deletes among them.
    pub deletes_written: u64,
    /// Rows of `sync_parked`: what ClickHouse cannot hold.
    pub parked: u64,
    /// Why the newest of them was left out.
    pub parked_reason: Option<String>,
    /// Rows of tables that are not written.
    pub skipped: u64,
    /// Rows of likes by window that were written since the start of the process.
    #[serde(default)]
    pub windows_written: u64,
    /// Why likes by window cannot be written; absent while they can.
    #[serde(default)]
    pub windows_problem: Option<String>,
    /// What ClickHouse says it is.
    pub clickhouse_version: Option<String>,
    /// What failed last, with what to do; absent while all is well.
    pub error: Option<String>,
    /// When all this was measured.
    pub measured_at: Option<Millis>,
}
