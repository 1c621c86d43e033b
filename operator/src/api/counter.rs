//! What people write about the counter nodes.

use k8s_openapi::api::core::v1::ResourceRequirements;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Retention, rules};

/// How many counter nodes there may be: each is connected to each.
pub const MAX_COUNTER_NODES: i32 = 32;

/// The counter nodes: they take likes, share them, and count them in windows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Counter {
    /// How many nodes, 0 to 32. 0: there are none. They are numbered from 0. Nodes beyond the number are removed from the highest down; what becomes of
    /// their volumes is counter.storage.whenScaled. Heal a node before you remove it.
    #[schemars(extend("x-kubernetes-validations" = [rules::rule(
        "self >= 0 && self <= 32", "counter.nodes must be between 0 and 32; 0 for no counter nodes"
    )]))]
    pub nodes: i32,

    /// Lengths of the windows in which likes are counted, from 1s to 24h. Each has a topic <cluster>.aggregations-<length>.
    #[schemars(length(min = 1, max = 16), inner(length(max = 16)), extend(
        "x-kubernetes-list-type" = "set",
        "x-kubernetes-validations" = [
            rules::rule(
                "self.all(w, w.matches('^[1-9][0-9]{0,4}(s|m|h)$'))",
                "counter.windows must be whole numbers of seconds, minutes or hours such as [1m, 5m, 10m]",
            ),
            rules::rule(
                "self.all(w, !w.matches('^[1-9][0-9]{0,4}(s|m|h)$') || duration(w) <= duration('24h'))",
                "counter.windows must not be longer than 24h",
            ),
        ],
    ))]
    pub windows: Vec<String>,

    /// How long after its end a window waits for likes that come late, such as 30s. Later ones are counted apart.
    #[schemars(length(max = 16), extend("x-kubernetes-validations" = rules::duration("counter.grace", "30s or 5m")))]
    pub grace: String,

    /// How the nodes are reached from outside the cluster. Leave it out, and only pods with the label synccluster.dev/access: <cluster>-counter
    /// and the gateway reach them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expose: Option<CounterExpose>,

    /// How much the nodes keep in memory at most.
    pub limits: CounterLimits,

    /// The volume of each node.
    pub storage: CounterStorage,

    /// The topics.
    pub topics: CounterTopics,

    /// CPU and memory of each node. Leave it out for requests of 20m and 48Mi, and a limit of memory that grows with counter.nodes, counter.limits and
    /// the number of counter.windows, so that what they allow fits: 558Mi for three nodes by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::resources")]
    pub resources: Option<ResourceRequirements>,
}

impl Default for Counter {
    fn default() -> Self {
        Self {
            nodes: 0,
            windows: ["1m", "5m", "10m"].map(str::to_owned).to_vec(),
            grace: "30s".to_owned(),
            expose: None,
            limits: CounterLimits::default(),
            storage: CounterStorage::default(),
            topics: CounterTopics::default(),
            resources: None,
        }
    }
}

/// How much the counter nodes keep in memory at most. Beyond, likes are refused with 507 rather than something forgotten.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CounterLimits {
    /// How many ids there may be over all nodes, 1 to 10000000. Likes of other ids are refused. Every node keeps each id for every node that has taken
    /// likes of it: up to 1 KiB each, the longer it is the more.
    #[schemars(extend("x-kubernetes-validations" = [rules::rule(
        "self >= 1 && self <= 10000000", "counter.limits.ids must be between 1 and 10000000"
    )]))]
    pub ids: i32,

    /// How many clients a node remembers that number their requests, <client>/<number>, 1 to 10000000; each gap in one's numbers counts as one more.
    /// Every node keeps those of all nodes: up to 1 KiB each.
    #[schemars(extend("x-kubernetes-validations" = [rules::rule(
        "self >= 1 && self <= 10000000", "counter.limits.clients must be between 1 and 10000000"
    )]))]
    pub clients: i32,

    /// For how long such a client is remembered after its last request, such as 24h: one that is sent again within that time counts once.
    #[schemars(length(max = 16), extend("x-kubernetes-validations" = rules::duration("counter.limits.forgetClientsAfter", "24h")))]
    pub forget_clients_after: String,
}

impl Default for CounterLimits {
    fn default() -> Self {
        Self {
            ids: 50_000,
            clients: 50_000,
            forget_clients_after: "24h".to_owned(),
        }
    }
}

/// The volume of each counter node. Half of it is for the log: beyond, likes are refused until Kafka and all peers have what is in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rules::volume_is_fixed("counter.storage")))]
pub struct CounterStorage {
    /// Its size, such as 1Gi. Cannot be changed.
    #[schemars(length(max = 32), extend("x-kubernetes-validations" = rules::volume_size("counter.storage.size")))]
    pub size: String,

    /// The StorageClass. Leave it out for the cluster's default. Cannot be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub class: Option<String>,

    /// What becomes of the volumes when the SyncCluster is deleted: Retain keeps them, Delete removes them.
    pub when_deleted: Retention,

    /// What becomes of a node's volume when counter.nodes is lowered: Retain keeps it, so that the node returns with its log; Delete removes it.
    pub when_scaled: Retention,
}

impl Default for CounterStorage {
    fn default() -> Self {
        Self {
            size: "1Gi".to_owned(),
            class: None,
            when_deleted: Retention::Retain,
            when_scaled: Retention::Retain,
        }
    }
}

/// The topics of the likes and of the windows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CounterTopics {
    /// Name of the topic of the likes. Leave it out for <cluster>.likes. Cannot be changed while there are nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200), extend("x-kubernetes-validations" = rules::topic("counter.topics.likes", "shop.likes")))]
    pub likes: Option<String>,

    /// What the names of the windows' topics begin with, before the length. Leave it out for <cluster>.aggregations-. Cannot be changed while
    /// there are nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200), extend("x-kubernetes-validations" = rules::topic("counter.topics.aggregations", "shop.windows-")))]
    pub aggregations: Option<String>,

    /// Partitions of each, 1 to 100: so many nodes can count windows at once. Cannot be changed while there are nodes.
    #[schemars(extend("x-kubernetes-validations" = [rules::rule(
        "self >= 1 && self <= 100", "counter.topics.partitions must be between 1 and 100"
    )]))]
    pub partitions: i32,

    /// How long the topic of the likes keeps them. Changed while everything runs; a shorter time waits for the annotation that TopicsAsWanted names,
    /// because likes may be among what it takes away that are not counted yet.
    #[schemars(length(max = 16), extend("x-kubernetes-validations" = rules::duration("counter.topics.likesRetention", "168h")))]
    pub likes_retention: String,

    /// How long the topics of aggregations keep a window. Longer than the longest of counter.windows and counter.grace together. Changed
    /// while everything runs; a shorter time waits for the annotation that TopicsAsWanted names.
    #[schemars(length(max = 16), extend("x-kubernetes-validations" = rules::duration("counter.topics.aggregationsRetention", "720h")))]
    pub aggregations_retention: String,
}

impl Default for CounterTopics {
    fn default() -> Self {
        Self {
            likes: None,
            aggregations: None,
            partitions: 4,
            likes_retention: "168h".to_owned(),
            aggregations_retention: "720h".to_owned(),
        }
    }
}

/// How the counter nodes are reached from outside the cluster. Whoever reaches them may like, in anybody's name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CounterExpose {
    /// At ports of every node of the cluster.
    pub node_port: CounterNodePort,
}

/// Ports of every node of the cluster: one for the leader, and one for each counter node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CounterNodePort {
    /// Where clients outside find the ports: a name that leads to the nodes of the cluster, or the address of one. They are sent there, and no pod
    /// can know it.
    #[schemars(length(max = 253), extend("x-kubernetes-validations" = [rules::rule(
        "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$') || self.matches('^[0-9a-f]*:[0-9a-f]*:[0-9a-f:.]*$')",
        "counter.expose.nodePort.host must be a host name or an IP address such as likes.example.org, in lower case and without a port",
    )]))]
    pub host: String,

    /// The leader's port, 30000 to 32735; counter-0 has the next one, counter-1 the one after it, and so on. Another SyncCluster needs others.
    #[serde(default = "first_port")]
    #[schemars(extend("x-kubernetes-validations" = [rules::rule(
        "self >= 30000 && self <= 32735",
        "counter.expose.nodePort.port must be between 30000 and 32735: each counter node has a port of its own behind it",
    )]))]
    pub port: i32,
}

fn first_port() -> i32 {
    30500
}
