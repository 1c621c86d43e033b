//! What people write about parts that they bring themselves, and what they are told of what was made there.

use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{ExternalKafkaStatus, rules};

/// The annotation that asks for what was made in an external part to be taken out again, when the SyncCluster is deleted: `postgres`, `kafka`,
/// or both with a comma between them.
pub const REMOVE_EXTERNAL_ANNOTATION: &str = "synccluster.dev/remove-external";

/// The Postgres of the server site.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [rules::rule(
    "has(self.external) == has(oldSelf.external)",
    "server.external cannot be added to, or taken from, a SyncCluster that exists: the server's rows and positions would stay behind; set it \
     back, or make a new SyncCluster",
)]))]
pub struct Server {
    /// A Postgres that exists already. Leave it out for one of the operator's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalServer>,
}

/// A Postgres that exists already, 16 or later with wal_level = logical. It is never deleted; what is made in it is listed in status.external,
/// and taken out only where the annotation synccluster.dev/remove-external says postgres when the SyncCluster is deleted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalServer {
    /// The Secret that says where it is and as whom to come: host, port, dbname, username, password; ca.crt for the authority that signed its
    /// certificate. Without ca.crt the certificate must be from an authority the image knows, unless sslmode says require (any
    /// certificate), prefer or disable. It is read anew for every connection, so what changes in it holds without a restart.
    #[schemars(length(max = 253), extend("x-kubernetes-validations" = rules::dns_name("server.external.secret", "the name of a Secret", "shop-postgres")))]
    pub secret: String,

    /// The port in the Secret: pods are let out to this port only.
    #[serde(default = "postgres_port")]
    #[schemars(extend("x-kubernetes-validations" = [rules::rule(
        "self >= 1 && self <= 65535", "server.external.port must be between 1 and 65535"
    )]))]
    pub port: i32,

    /// Where it is, as the `to` of a NetworkPolicy has it: ipBlock for what is outside of Kubernetes, namespaceSelector and podSelector for what
    /// is inside. Leave it out for anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "peers")]
    pub peers: Vec<NetworkPolicyPeer>,
}

fn postgres_port() -> i32 {
    5432
}

/// A list of NetworkPolicyPeer. What is in one is for Kubernetes to judge, which refuses the policy otherwise.
pub(super) fn peers(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 32,
        "items": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
    })
}

/// What was made in parts that are somebody else's. It stays when the SyncCluster is deleted, unless its removal is asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ExternalStatus {
    /// In the Postgres of spec.server.external.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postgres: Option<ExternalPostgres>,
    /// In the Kafka of spec.kafka.external.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka: Option<ExternalKafkaStatus>,
}

/// What was made in the Postgres of spec.server.external.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalPostgres {
    /// host:port/dbname.
    pub address: String,
    /// Slot, publication, schema, roles, origins, and what enrolling added to tables.
    pub made: Vec<String>,
}
