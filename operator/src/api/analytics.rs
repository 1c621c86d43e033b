//! What people write about analytics, and what they are told of it.

use k8s_openapi::api::core::v1::ResourceRequirements;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Notebooks, Retention, Superset, rules};

/// What keeps the server's rows for questions over all of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Analytics {
    /// A ClickHouse with one table per enrolled table, filled from the server's topic. Leave it out for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clickhouse: Option<ClickHouse>,

    /// A Superset with a connection to each site, two datasets and a dashboard of rows, changes and conflicts. Leave it out for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub superset: Option<Superset>,

    /// A JupyterLab with notebooks that explore topics, compare sites and replay a conflict. Leave it out for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notebooks: Option<Notebooks>,
}

/// A ClickHouse, and what fills it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [rules::rule(
    "has(self.managed) != has(self.external)",
    "analytics.clickhouse must have exactly one of managed and external: managed: {} for a ClickHouse of the operator's, external with a secret for your own",
)]))]
pub struct ClickHouse {
    /// A ClickHouse that the operator runs. managed: {} takes the defaults. How to reach it is in the Secret <cluster>-clickhouse.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedClickHouse>,

    /// A ClickHouse that exists already. Its tables are made in the database the secret names; they are never removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalClickHouse>,

    /// Where the definitions of tables are, for other names, types or columns than the mapping gives. Leave it out to take the mapping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tables: Option<TableDefinitions>,

    /// Another number empties the tables and fills them again from the topic. Raise it to rebuild.
    #[schemars(extend("x-kubernetes-validations" = [rules::rule(
        "self >= 0", "analytics.clickhouse.generation must not be negative: raise it by one to rebuild"
    )]))]
    pub generation: i64,

    /// CPU and memory of what fills it. Leave it out for requests of 20m and 48Mi.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::resources")]
    pub resources: Option<ResourceRequirements>,
}

/// A ClickHouse that the operator runs: one pod with one volume.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ManagedClickHouse {
    /// Image of ClickHouse, laid out like clickhouse/clickhouse-server. Leave it out for the operator's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), extend("x-kubernetes-validations" = rules::image("analytics.clickhouse.managed.image")))]
    pub image: Option<String>,

    /// Its volume.
    pub storage: ClickHouseStorage,

    /// CPU and memory. Leave it out for requests of 100m and 256Mi and a limit of 2Gi.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::resources")]
    pub resources: Option<ResourceRequirements>,
}

/// The volume of ClickHouse. What is on it can be filled again from the topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rules::volume_is_fixed("analytics.clickhouse.managed.storage")))]
pub struct ClickHouseStorage {
    /// Its size, such as 10Gi. Cannot be changed.
    #[schemars(length(max = 32), extend("x-kubernetes-validations" = rules::volume_size("analytics.clickhouse.managed.storage.size")))]
    pub size: String,

    /// The StorageClass. Leave it out for the cluster's default. Cannot be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub class: Option<String>,

    /// What becomes of the volume when the SyncCluster is deleted, or ClickHouse is taken out of it: Delete removes it, Retain keeps it (and
    /// the Secret with its password).
    pub when_deleted: Retention,
}

impl Default for ClickHouseStorage {
    fn default() -> Self {
        Self {
            size: "5Gi".to_owned(),
            class: None,
            when_deleted: Retention::Delete,
        }
    }
}

/// A ClickHouse that exists already.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalClickHouse {
    /// The Secret that says where it is: url (http://… or https://…, of its HTTP interface), username, password, database, and for a
    /// certificate that is not publicly trusted ca (PEM). It is read again at every reconnect.
    #[schemars(length(max = 253), extend("x-kubernetes-validations" = rules::dns_name("analytics.clickhouse.external.secret", "the name of a Secret", "clickhouse")))]
    pub secret: String,

    /// The port of url: what fills ClickHouse is let out to this port only.
    #[serde(default = "https")]
    #[schemars(extend("x-kubernetes-validations" = [rules::rule(
        "self >= 1 && self <= 65535", "analytics.clickhouse.external.port must be between 1 and 65535: the port of the secret's url"
    )]))]
    pub port: i32,
}

fn https() -> i32 {
    8443
}

/// Definitions of tables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TableDefinitions {
    /// The ConfigMap that holds them, under the key tables.yaml.
    pub config_map: TableDefinitionsName,
}

/// A ConfigMap in the namespace of the SyncCluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TableDefinitionsName {
    /// Its name. A change is followed without a restart.
    #[schemars(length(max = 253), extend("x-kubernetes-validations" = rules::dns_name("analytics.clickhouse.tables.configMap.name", "the name of a ConfigMap", "demo-tables")))]
    pub name: String,
}

/// What fills ClickHouse, and how far it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AnalyticsStatus {
    /// The Secret that says how to reach ClickHouse.
    pub secret: String,
    /// What ClickHouse says it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The generation of what it holds.
    pub generation: i64,
    /// How many records of the server's topic are not in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_records: Option<i64>,
    /// Age of the oldest change that was received and is not in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_seconds: Option<i64>,
    /// How far a rebuild is, in percent; absent while none runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rebuild_percent: Option<i64>,
    /// Rows written since what fills it was started, deletes included.
    pub rows_written: i64,
    /// Rows that ClickHouse cannot hold: see its table sync_parked.
    pub parked: i64,
    /// One entry a table.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["source"]))]
    pub tables: Vec<AnalyticsTable>,
}

/// A table in ClickHouse.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AnalyticsTable {
    /// The table in Postgres, such as public.todos.
    pub source: String,
    /// The table in ClickHouse; <table>_current is the view of its current rows.
    pub table: String,
    /// Why it is not written, with what to do; absent while it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}
