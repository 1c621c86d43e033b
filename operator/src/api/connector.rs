//! What people write about uplinks, and what they are told of them.

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;

/// What sends a site's changes to Kafka.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [
    rules::rule(
        "self.engine == 'Debezium' || !has(self.templates)",
        "connector.templates goes with engine Debezium: set connector.engine to Debezium, or remove the templates",
    ),
    rules::rule(
        "self.engine == 'Debezium' || !has(self.image)",
        "connector.image goes with engine Debezium: set connector.engine to Debezium, or remove the image",
    ),
    rules::rule(
        "self.engine == 'Debezium' || !has(self.resources)",
        "connector.resources goes with engine Debezium: set connector.engine to Debezium, or remove the resources",
    ),
]))]
pub struct Connector {
    /// Native is a small program of our own; Debezium is a Kafka Connect worker with Debezium's Postgres connector at every site, with the same topics,
    /// keys and envelopes. It can be changed at any time: one goes on where the other stopped, nothing is lost or sent as new.
    pub engine: Engine,

    /// Image of the worker, for engine Debezium: Java 17 or newer, Kafka Connect's jars in /opt/kafka/libs, Debezium's in a folder of
    /// /opt/kafka/plugins. Leave it out for the operator's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), extend("x-kubernetes-validations" = rules::image("connector.image")))]
    pub image: Option<String>,

    /// Settings of Debezium's connector that are to be otherwise, for engine Debezium. Leave it out for ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub templates: Option<Templates>,

    /// CPU and memory of each worker, for engine Debezium.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::resources")]
    pub resources: Option<ResourceRequirements>,
}

/// What sends a site's changes to Kafka.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Engine {
    /// Our own connector.
    #[default]
    Native,
    /// Kafka Connect with Debezium.
    Debezium,
}

/// Where templates are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Templates {
    /// The ConfigMap that holds them.
    pub config_map: TemplatesConfigMap,
}

/// A ConfigMap in the namespace of the SyncCluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TemplatesConfigMap {
    /// Its name. Its key connector.properties holds settings, one name=value a line, with variables such as ${site} and ${secret:name/key};
    /// docs/engines.md lists them.
    #[schemars(length(max = 253), extend("x-kubernetes-validations" = rules::dns_name("connector.templates.configMap.name", "the name of a ConfigMap", "demo-connector")))]
    pub name: String,
}

/// Annotations that ask something of connectors of engine Debezium; the value lists sites: `client-2`, or `server,client-1`. The operator removes an
/// annotation when it was done at each.
pub const CONNECTOR_ANNOTATIONS: [&str; 4] = [
    "synccluster.dev/connector-restart",
    "synccluster.dev/connector-pause",
    "synccluster.dev/connector-resume",
    "synccluster.dev/connector-reset",
];

/// What an annotation asks of connectors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectorRequest {
    /// restart, pause, resume or reset.
    pub what: String,
    /// The annotation's value.
    pub requested: String,
    /// What the request is known by.
    pub id: String,
    /// When the operator first saw it.
    pub since: Option<Time>,
    /// How far it is.
    pub state: ConnectorRequestState,
    /// How far it is, in words, or why it goes no further, with what to do.
    pub message: String,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConnectorRequestState {
    /// Not every connector has done it.
    #[default]
    Waiting,
    /// It cannot be done as it is written.
    Refused,
    /// Every connector has done it. The annotation goes.
    Done,
}

/// What Kafka Connect says of a site's connector.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectorState {
    /// RUNNING, PAUSED, FAILED, …; empty while the worker does not run.
    pub state: String,
    /// Version of Debezium; empty until it is known.
    pub version: String,
    /// Its tasks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskState>,
    /// Restarts of what had failed, since its pod was started.
    pub restarts: i64,
}

/// A task of a connector.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskState {
    /// Its number.
    pub id: i64,
    /// RUNNING, PAUSED, FAILED, …
    pub state: String,
    /// What it failed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
