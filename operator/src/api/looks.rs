//! What people write about programs of others to look with: a console for Kafka, Superset, and JupyterLab.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;

/// A console for Kafka, of whatever make.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Console {
    /// Its image. It is told where Kafka is by the variables that Kafbat UI, AKHQ, Redpanda Console, Kafdrop and others read:
    /// KAFKA_BOOTSTRAP_SERVERS, KAFKA_BROKERS, KAFKA_BROKERCONNECT, KAFKA_CLUSTERS_0_NAME and KAFKA_CLUSTERS_0_BOOTSTRAPSERVERS, AKHQ_CONFIGURATION.
    #[schemars(length(max = 512), extend("x-kubernetes-validations" = [rules::rule(
        "self.matches('^[^ ]+$')", "console.image must be an image reference such as registry.example.com/console:1.0; leave console out for none"
    )]))]
    pub image: String,

    /// The port it serves at.
    #[serde(default = "eighty_eighty")]
    #[schemars(extend("x-kubernetes-validations" = [rules::rule(
        "self >= 1024 && self <= 65535", "console.port must be between 1024 and 65535: the port the image serves at; lower ones take a right it does not get"
    )]))]
    pub port: i32,

    /// Further variables, such as {SERVER_SERVLET_CONTEXTPATH: /console}. They go before those the operator sets. No passwords: everybody who may
    /// read the SyncCluster reads them. With kafka.external.secret they may say $(KAFKA_USERNAME) and $(KAFKA_PASSWORD), which Kubernetes fills in
    /// from it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64, "x-kubernetes-validations" = [rules::rule(
        "self.all(name, name.matches('^[A-Za-z_][A-Za-z0-9_.-]*$'))",
        "console.env must have names of variables: letters, digits, underscores, dots and dashes, not a digit first",
    )]))]
    pub env: BTreeMap<String, String>,

    /// CPU and memory. Leave it out for requests of 20m and 128Mi, and a limit of 512Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::resources")]
    pub resources: Option<ResourceRequirements>,
}

fn eighty_eighty() -> i32 {
    8080
}

/// A Superset with a connection to each site, two datasets and a dashboard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Superset {
    /// Its image, made of kind/images/superset: Superset, and what provisions it.
    #[schemars(length(max = 512), extend("x-kubernetes-validations" = [rules::rule(
        "self.matches('^[^ ]+$')", "analytics.superset.image must be an image reference such as registry.example.com/synccluster-superset:6.1; leave superset out for none"
    )]))]
    pub image: String,

    /// The volume of its own database: people, charts and dashboards. It is deleted with the SyncCluster.
    #[serde(default)]
    pub storage: LooksStorage,

    /// CPU and memory. Leave it out for requests of 50m and 384Mi, and a limit of 1Gi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::resources")]
    pub resources: Option<ResourceRequirements>,
}

/// JupyterLab with notebooks on the sites and their topics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Notebooks {
    /// Its image, made of kind/images/notebooks: JupyterLab, and the notebooks.
    #[schemars(length(max = 512), extend("x-kubernetes-validations" = [rules::rule(
        "self.matches('^[^ ]+$')", "analytics.notebooks.image must be an image reference such as registry.example.com/synccluster-notebooks:4.6; leave notebooks out for none"
    )]))]
    pub image: String,

    /// Whether its sessions at sites may write. Without it they start read-only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub writes: bool,

    /// The volume of what people write in it. It is deleted with the SyncCluster.
    #[serde(default)]
    pub storage: LooksStorage,

    /// CPU and memory. Leave it out for requests of 50m and 256Mi, and a limit of 1Gi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::resources")]
    pub resources: Option<ResourceRequirements>,
}

/// The volume of Superset or of the notebooks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rules::volume_is_fixed("storage")))]
pub struct LooksStorage {
    /// Its size, such as 1Gi. Cannot be changed.
    #[schemars(length(max = 32), extend("x-kubernetes-validations" = rules::volume_size("storage.size")))]
    pub size: String,

    /// The StorageClass. Leave it out for the cluster's default. Cannot be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub class: Option<String>,
}

impl Default for LooksStorage {
    fn default() -> Self {
        Self {
            size: "1Gi".to_owned(),
            class: None,
        }
    }
}
