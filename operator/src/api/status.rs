//! What people are told.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    AnalyticsStatus, ConnectorRequest, ConnectorState, ExternalStatus, Link, Resnapshot, SiteSnapshot, TopicStatus,
};

/// What was measured. Every fact comes from a pod that was asked; what could not be seen is Unknown or absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SyncClusterStatus {
    /// The metadata.generation this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How many clients there are.
    pub clients: i32,
    /// How many clients have their Postgres, connector and sink ready.
    pub ready_clients: i32,
    /// Selects the pods of the databases, for the scale subresource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// The sites and counter nodes that spec.partition cuts, with commas between them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut: Option<String>,
    /// Ready, Reconciling and Stalled of the sites and Kafka, as kstatus defines them; PartitionEnforced, Converged, SlotsHealthy, ClocksAgree,
    /// GatewayReady, ConnectorsRun, TopicsAsWanted, AnalyticsReady.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The partition that is wanted; absent when everybody is connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<PartitionStatus>,
    /// How and since when the sites are the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub convergence: Option<Convergence>,
    /// Where the gateway is; absent when spec.gateway.replicas is 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayStatus>,
    /// Where the counter nodes are; absent when spec.counter.nodes is 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counter: Option<CounterAddress>,
    /// One entry a site: server, client-1, client-2, …
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub sites: Vec<SiteStatus>,
    /// One entry a counter node: counter-0, counter-1, …; one that is on its way out stays until its pod is gone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub counters: Vec<CounterNodeStatus>,
    /// One entry an annotation synccluster.dev/connector-…: how far it is with what is asked of connectors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["what"]))]
    pub connector_requests: Vec<ConnectorRequest>,
    /// One entry a topic of a site.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub topics: Vec<TopicStatus>,
    /// What fills ClickHouse, and how far it is; absent without spec.analytics.clickhouse.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analytics: Option<AnalyticsStatus>,
    /// How far it is with rows that are sent once more; absent without the annotation synccluster.dev/resnapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resnapshot: Option<Resnapshot>,
    /// What was made in a Postgres or a Kafka that is not the operator's; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalStatus>,
}

/// The partition that is wanted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PartitionStatus {
    /// The sites it cuts.
    pub sites: Vec<String>,
    /// The counter nodes it cuts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counters: Vec<String>,
    /// Which way it cuts sites.
    pub link: Link,
    /// When the operator first saw it.
    pub since: Option<Time>,
    /// When it was first measured to hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforced_at: Option<Time>,
    /// When the operator will remove it, if spec.partition.healAfter is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heal_at: Option<Time>,
}

/// How and since when the sites are the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Convergence {
    /// The digest all sites have; absent while they differ or cannot be compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Rows the digest covers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<i64>,
    /// Since when the sites have been the same without interruption, whatever was written meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Since when nothing has been on its way. Only digests measured after this moment are compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drained_since: Option<Time>,
    /// When the last partition ended; absent once the sites have become the same again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healed_at: Option<Time>,
    /// Seconds from the end of the last partition until all sites were measured to be the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_heal_seconds: Option<i64>,
}

/// Where the gateway is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayStatus {
    /// What to open: a URL. With expose.nodePort at one of the nodes, where any other would do; with expose.gatewayApi the host alone, because
    /// the Gateway's listener decides between http and https; without expose its name inside the cluster.
    pub address: String,
    /// How many of its pods are ready.
    pub ready_replicas: i32,
    /// The Secret with token, to change things, and viewer-token, to look.
    pub secret: String,
}

/// Where the counter nodes are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CounterAddress {
    /// Where clients ask which node to go to, HOST:PORT: any node answers what the leader says. With expose.nodePort the way from outside;
    /// without it the name inside the cluster.
    pub leader: String,
}

/// One site.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SiteStatus {
    /// server or client-1, client-2, …
    pub name: String,
    /// Whether it reaches Kafka, and whether it should.
    pub connectivity: Connectivity,
    /// From the site to its topic; absent when its connector could not be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uplink: Option<Uplink>,
    /// From the topics to the site; absent when its sink could not be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub downlink: Option<Downlink>,
    /// Digest of its tables: equal digests mean equal rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Rows in its sync.conflicts: writes that lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflicts: Option<i64>,
    /// Rows in its sync.parked: changes that wait for something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parked: Option<i64>,
    /// The rows it has sent once more, now or last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SiteSnapshot>,
    /// What is wrong at this site, with what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// One counter node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CounterNodeStatus {
    /// counter-0, counter-1, …
    pub name: String,
    /// Whether it reaches the other nodes and Kafka, and whether it should.
    pub connectivity: Connectivity,
    /// The last position of its log; absent when it could not be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<i64>,
    /// Up to which position its log is in Kafka.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published: Option<i64>,
    /// Digest of all totals it knows: equal digests mean equal totals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Whom it takes for the leader; absent while there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// In which term.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub term: Option<i64>,
    /// What is wrong at this node, with what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Whether a site reaches Kafka, and whether it should; or a counter node the others and Kafka.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Connectivity {
    /// What spec.partition asks for.
    pub desired: Desired,
    /// What a connection made just now gives.
    pub fresh_dial: FreshDial,
    /// Whether connections made earlier are still open.
    pub established: Established,
    /// Since when these three have been so.
    pub since: Option<Time>,
    /// When the dial was tried last. Written at most once a minute while nothing else changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probed_at: Option<Time>,
    /// What was measured, in words.
    pub evidence: String,
}

/// What is wanted for a site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Desired {
    /// It reaches Kafka both ways.
    #[default]
    Connected,
    /// It reaches Kafka neither way.
    Cut,
    /// Its changes do not leave.
    UplinkCut,
    /// Others' changes do not arrive.
    DownlinkCut,
}

/// What a connection made just now gives. While a site is cut, of the ways that are cut; otherwise of both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FreshDial {
    /// It could not be seen.
    #[default]
    Unknown,
    /// It gets through.
    Open,
    /// Nothing comes back.
    Blocked,
    /// Nobody listens there.
    Refused,
}

/// Whether connections made earlier are still open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Established {
    /// It could not be seen.
    #[default]
    Unknown,
    /// At least one is.
    Open,
    /// None is.
    Closed,
}

/// From a site to its topic.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Uplink {
    /// What Kafka Connect says; absent with engine Native.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connector: Option<ConnectorState>,
    /// WAL bytes that Kafka has not acknowledged. Not always 0 at rest: WAL without changes counts until it is confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_bytes: Option<i64>,
    /// Age of the oldest change that was read and not acknowledged.
    pub lag_seconds: i64,
    /// The replication slot; absent until it exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<Slot>,
}

/// A replication slot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Slot {
    /// Whether it is read.
    pub active: bool,
    /// reserved, extended, unreserved or lost, as Postgres says.
    pub wal_status: String,
    /// Bytes of WAL that are kept because of it.
    pub retained_bytes: i64,
}

/// From the topics to a site.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Downlink {
    /// Records that were not applied yet, over all topics the site reads.
    pub lag_records: i64,
    /// Age of the oldest change that was received and not applied.
    pub lag_seconds: i64,
}
