//! What people write.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Analytics, Connector, Console, Counter, ExternalKafka, Gateway, Seeder, Server, SyncClusterStatus, Topics, rules,
};

/// A server Postgres, client Postgres databases, and what keeps them the same.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "synccluster.dev",
    version = "v1alpha1",
    kind = "SyncCluster",
    namespaced,
    shortname = "sc",
    status = "SyncClusterStatus",
    derive = "PartialEq",
    doc = "A server Postgres database, client Postgres databases that may go offline, and everything that keeps them the same.",
    scale(
        spec_replicas_path = ".spec.clients",
        status_replicas_path = ".status.clients",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Clients", type_ = "integer", json_path = ".spec.clients", description = "Client databases asked for"),
    printcolumn(name = "Ready clients", type_ = "integer", json_path = ".status.readyClients", description = "Client databases whose Postgres, connector and sink are ready"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Whether everything runs"),
    printcolumn(name = "Converged", type_ = "string", json_path = ".status.conditions[?(@.type==\"Converged\")].status", description = "Whether all sites were measured to hold the same rows"),
    printcolumn(name = "Cut", type_ = "string", json_path = ".status.cut", description = "Sites that are partitioned"),
    printcolumn(name = "Gateway", type_ = "string", json_path = ".status.gateway.address", description = "Where people find the gateway", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 32 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name must have 1 to 32 lower-case letters, digits and dashes, begin with a letter and end with a letter or digit: names of pods are made from it")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rules::rule(
        "!has(self.partition) || !has(self.partition.clients) || self.partition.clients.all(c, c >= 1 && c <= self.clients)",
        "partition.clients names a client that does not exist: use ordinals from 1 to spec.clients, or raise spec.clients first; \
         before lowering spec.clients, take the clients that go out of partition.clients",
    ),
    rules::rule(
        "!has(self.partition) || !has(self.partition.counters) || self.partition.counters.all(c, c >= 0 && c < self.counter.nodes)",
        "partition.counters names a counter node that does not exist: use ordinals from 0 to spec.counter.nodes - 1, or raise spec.counter.nodes first; \
         before lowering spec.counter.nodes, take the nodes that go out of partition.counters",
    ),
    rules::rule(
        "self.counter.nodes == 0 || oldSelf.counter.nodes == 0 || self.counter.topics.partitions == oldSelf.counter.topics.partitions",
        "counter.topics.partitions cannot be changed while there are counter nodes: an id is counted in the partition its hash names; set it back",
    ),
    rules::rule(
        "self.counter.nodes == 0 || oldSelf.counter.nodes == 0 \
         || ((has(self.counter.topics.likes) ? self.counter.topics.likes : '') \
             == (has(oldSelf.counter.topics.likes) ? oldSelf.counter.topics.likes : '') \
         && (has(self.counter.topics.aggregations) ? self.counter.topics.aggregations : '') \
             == (has(oldSelf.counter.topics.aggregations) ? oldSelf.counter.topics.aggregations : ''))",
        "counter.topics.likes and aggregations cannot be changed while there are counter nodes: what was published would not be in the new topics; set them back",
    ),
]))]
pub struct SyncClusterSpec {
    /// How many client databases there are, 0 to 1000. They are numbered from 1. `kubectl scale synccluster/<name> --replicas=<n>` sets this field.
    /// Clients beyond the number are removed from the highest down; what becomes of their volumes is postgres.storage.whenScaled.
    #[serde(default = "three")]
    #[schemars(extend("x-kubernetes-validations" = [rules::rule(
        "self >= 0 && self <= 1000", "clients must be between 0 and 1000"
    )]))]
    pub clients: i32,

    /// Who is cut off. Leave it out to connect everybody. Sites that are cut keep taking writes; they catch up when this field is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<Partition>,

    /// What the databases contain.
    #[serde(default)]
    pub schema: Schema,

    /// How changes travel and are compared.
    #[serde(default)]
    pub sync: Sync,

    /// The Postgres databases, server and clients alike.
    #[serde(default)]
    pub postgres: Postgres,

    /// Where the server's database is, if not in a pod of the operator's.
    #[serde(default)]
    pub server: Server,

    /// The Kafka that carries the changes.
    #[serde(default)]
    pub kafka: Kafka,

    /// What sends the sites' changes to Kafka.
    #[serde(default)]
    pub connector: Connector,

    /// Nodes that take likes, share them and count them in windows. None unless nodes says how many.
    #[serde(default)]
    pub counter: Counter,

    /// What people look at: a page, a REST API and a live stream over all sites.
    #[serde(default)]
    pub gateway: Gateway,

    /// What keeps the server's rows for questions over all of them. Nothing unless it says what.
    #[serde(default)]
    pub analytics: Analytics,

    /// What fills the tables, keeps writing to them, and checks that nothing it was acknowledged is lost. {} for one; leave it out for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seeder: Option<Seeder>,

    /// A console for Kafka of your choice, beside the gateway's own. Leave it out for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console: Option<Console>,

    /// true stops the operator from changing anything for this resource: no object is written or removed, no cut is made or healed.
    /// What runs goes on running.
    #[serde(default)]
    pub paused: bool,
}

fn three() -> i32 {
    3
}

/// A partition: which sites cannot reach Kafka, and in which direction; and which counter nodes reach neither Kafka nor one another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [rules::rule(
    "(has(self.server) && self.server) || (has(self.clients) && self.clients.size() > 0) || (has(self.counters) && self.counters.size() > 0)",
    "partition cuts nobody: list ordinals in partition.clients or partition.counters, or set partition.server to true; \
     remove partition to connect everybody",
)]))]
pub struct Partition {
    /// Ordinals of the clients to cut: [2] cuts client-2. Each at most once, from 1 to spec.clients.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"), length(max = 1000))]
    pub clients: Vec<i32>,

    /// true cuts the server as well: then no client receives anything, whoever sends.
    #[serde(default)]
    pub server: bool,

    /// Ordinals of the counter nodes to cut: [0, 2] cuts counter-0 and counter-2 from all other nodes and from Kafka, both ways whatever link says.
    /// Each at most once, from 0 to spec.counter.nodes - 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"), length(max = 32))]
    pub counters: Vec<i32>,

    /// Which way sites are cut: Uplink (the site's changes do not leave), Downlink (others' changes do not arrive) or Both.
    #[serde(default)]
    pub link: Link,

    /// How long the partition lasts, counted from when the operator first sees it, such as 30s, 5m or 2h.
    /// When it is over the operator removes spec.partition. Leave it out to heal by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), extend("x-kubernetes-validations" = rules::duration("partition.healAfter", "30s, 5m or 2h")))]
    pub heal_after: Option<String>,
}

/// Which way between a site and Kafka.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Link {
    /// Both ways.
    #[default]
    Both,
    /// From the site to Kafka.
    Uplink,
    /// From Kafka to the site.
    Downlink,
}

/// What the databases contain.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Schema {
    /// Where the migrations are that create the tables at every site. Leave it out to create tables by hand, at every site alike.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migrations: Option<Migrations>,

    /// Which tables are kept the same. Leave it out for every table that has a primary key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 500), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub tables: Vec<Table>,
}

/// Where migrations are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Migrations {
    /// The ConfigMap that holds them.
    pub config_map: ConfigMapName,
}

/// A ConfigMap in the namespace of the SyncCluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigMapName {
    /// Its name. Its keys are file names such as V1__create_todos.sql and V2__add_votes.sql; they run in the order of their numbers, once at every
    /// site, and must not be changed afterwards: add a file instead.
    #[schemars(length(max = 253), extend("x-kubernetes-validations" = [rules::rule(
        "self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",
        "schema.migrations.configMap.name must be the name of a ConfigMap: lower-case letters, digits, dashes and dots",
    )]))]
    pub name: String,
}

/// A table that is kept the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Table {
    /// Schema and name of the table, such as public.todos. It must have a primary key.
    #[schemars(length(max = 127), extend("x-kubernetes-validations" = [
        rules::rule(
            "self.matches('^[A-Za-z_][A-Za-z0-9_$]*[.][A-Za-z_][A-Za-z0-9_$]*$')",
            "schema.tables[].name must be schema and table joined by a dot, such as public.todos",
        ),
        rules::rule(
            "!self.startsWith('sync.') && !self.startsWith('pg_')",
            "schema.tables[].name must not be in the schema sync or in a schema of Postgres itself: list your own tables only",
        ),
    ]))]
    pub name: String,
}

/// How changes travel and are compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Sync {
    /// How far the clock of a site may be ahead of another's. Changes of a site further ahead wait, and the condition ClocksAgree says so.
    #[schemars(length(max = 16), extend("x-kubernetes-validations" = rules::duration("sync.maxClockSkew", "10s or 1m")))]
    pub max_clock_skew: String,

    /// How often each site's tables are digested to compare them with the others', and how often the operator looks while nothing happens.
    #[schemars(length(max = 16), extend("x-kubernetes-validations" = rules::duration("sync.digestInterval", "10s or 5m")))]
    pub digest_interval: String,
}

impl Default for Sync {
    fn default() -> Self {
        Self {
            max_clock_skew: "10s".to_owned(),
            digest_interval: "10s".to_owned(),
        }
    }
}

/// The Postgres databases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [rules::rule(
    "!self.maxSlotWalKeepSize.matches('^[1-9][0-9]{0,8}(Mi|Gi|Ti)$') || !isQuantity(self.storage.size) \
     || quantity(self.storage.size).isLessThan(quantity('64Mi')) \
     || quantity(self.maxSlotWalKeepSize).isLessThan(quantity(self.storage.size))",
    "postgres.maxSlotWalKeepSize must be less than postgres.storage.size: the volume holds that WAL beside the data",
)]))]
pub struct Postgres {
    /// Image of Postgres 16 or later, laid out like the official image. Leave it out for the operator's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), extend("x-kubernetes-validations" = rules::image("postgres.image")))]
    pub image: Option<String>,

    /// The volume of each database.
    pub storage: PostgresStorage,

    /// How much WAL a site keeps for changes that were not sent yet, for instance while it is cut. Past it the site loses its slot
    /// (condition SlotsHealthy) rather than fill its disk, so it must be less than storage.size. In whole Mi, Gi or Ti.
    #[schemars(length(max = 16), extend("x-kubernetes-validations" = [rules::rule(
        "self.matches('^[1-9][0-9]{0,8}(Mi|Gi|Ti)$')",
        "postgres.maxSlotWalKeepSize must be a whole number of Mi, Gi or Ti such as 512Mi",
    )]))]
    pub max_slot_wal_keep_size: String,

    /// Further settings of Postgres, such as {shared_buffers: 256MB}. Changing them restarts the databases, one site at a time.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64, "x-kubernetes-validations" = rules::reserved_parameters()))]
    pub parameters: BTreeMap<String, String>,

    /// CPU and memory of each database. Leave it out for requests of 50m and 128Mi.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::resources")]
    pub resources: Option<ResourceRequirements>,
}

impl Default for Postgres {
    fn default() -> Self {
        Self {
            image: None,
            storage: PostgresStorage::default(),
            max_slot_wal_keep_size: "512Mi".to_owned(),
            parameters: BTreeMap::new(),
            resources: None,
        }
    }
}

/// The volume of each database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rules::volume_is_fixed("postgres.storage")))]
pub struct PostgresStorage {
    /// Its size, such as 1Gi. Cannot be changed.
    #[schemars(length(max = 32), extend("x-kubernetes-validations" = rules::volume_size("postgres.storage.size")))]
    pub size: String,

    /// The StorageClass. Leave it out for the cluster's default. Cannot be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub class: Option<String>,

    /// What becomes of the volumes when the SyncCluster is deleted: Retain keeps them (and the Secrets with their passwords), Delete removes them.
    pub when_deleted: Retention,

    /// What becomes of a client's volume when spec.clients is lowered: Retain keeps it, so that the client returns with its data; Delete removes it.
    pub when_scaled: Retention,
}

impl Default for PostgresStorage {
    fn default() -> Self {
        Self {
            size: "1Gi".to_owned(),
            class: None,
            when_deleted: Retention::Retain,
            when_scaled: Retention::Retain,
        }
    }
}

/// What becomes of a volume that nobody uses any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Retention {
    /// It is kept.
    #[default]
    Retain,
    /// It is deleted.
    Delete,
}

/// The Kafka that carries the changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [
    rules::rule(
        "has(self.external) || !has(self.topics.replication) || self.topics.replication <= self.brokers",
        "kafka.topics.replication must not be more than kafka.brokers: lower it, or leave it out for all brokers",
    ),
    rules::rule(
        "has(self.external) == has(oldSelf.external)",
        "kafka.external cannot be added to, or taken from, a SyncCluster that exists: the sites' progress counts in the offsets of one Kafka; set \
         it back, or make a new SyncCluster",
    ),
    rules::rule(
        "!has(self.external) || (!has(self.image) && self.brokers == 1)",
        "kafka.external is a Kafka that runs already: leave out kafka.image and kafka.brokers",
    ),
]))]
pub struct Kafka {
    /// A Kafka that exists already. Leave it out for one of the operator's; then the other fields say what that is like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalKafka>,

    /// How many brokers: 1, or 3 to survive the loss of one. Cannot be changed.
    #[schemars(extend("x-kubernetes-validations" = [
        rules::rule("self == 1 || self == 3", "kafka.brokers must be 1 or 3"),
        rules::rule("self == oldSelf", "kafka.brokers cannot be changed after creation: set it back, or make a new SyncCluster"),
    ]))]
    pub brokers: i32,

    /// Image of Kafka 4, laid out like apache/kafka. Leave it out for the operator's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), extend("x-kubernetes-validations" = rules::image("kafka.image")))]
    pub image: Option<String>,

    /// The volume of each broker. It is kept when the SyncCluster is deleted with postgres.storage.whenDeleted: Retain, because the sites'
    /// progress counts in its offsets.
    pub storage: KafkaStorage,

    /// The topics, one a site.
    pub topics: Topics,
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            external: None,
            brokers: 1,
            image: None,
            storage: KafkaStorage::default(),
            topics: Topics::default(),
        }
    }
}

/// The volume of each broker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rules::volume_is_fixed("kafka.storage")))]
pub struct KafkaStorage {
    /// Its size, such as 1Gi. Cannot be changed.
    #[schemars(length(max = 32), extend("x-kubernetes-validations" = rules::volume_size("kafka.storage.size")))]
    pub size: String,

    /// The StorageClass. Leave it out for the cluster's default. Cannot be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub class: Option<String>,
}

impl Default for KafkaStorage {
    fn default() -> Self {
        Self {
            size: "1Gi".to_owned(),
            class: None,
        }
    }
}
