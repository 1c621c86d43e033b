//! What people write about a Kafka that they bring themselves, and what they are told of what was made in it.

use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{external::peers, rules};

/// A Kafka that exists already: Strimzi's, a cloud's, one of your own. It is never deleted; the topics made in it are listed in status.external,
/// and deleted only where the annotation synccluster.dev/remove-external says kafka when the SyncCluster is deleted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalKafka {
    /// Brokers to begin with, as host:port, several with commas. The names must be those in the brokers' certificates.
    #[schemars(length(max = 1024), extend("x-kubernetes-validations" = [rules::rule(
        "self.matches('^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\\\\[[0-9A-Fa-f:.]+\\\\]):[1-9][0-9]{0,4}(,([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\\\\[[0-9A-Fa-f:.]+\\\\]):[1-9][0-9]{0,4})*$')",
        "kafka.external.bootstrapServers must be host:port, several with commas and no blanks, such as kafka-0.example.com:9093,kafka-1.example.com:9093",
    )]))]
    pub bootstrap_servers: String,

    /// The Secret that says how the brokers are spoken to. ca.crt: TLS, with brokers whose certificates this authority signed. username and
    /// password: SASL, by the mechanism in the key mechanism: SCRAM-SHA-512 unless it says SCRAM-SHA-256 or PLAIN. tls.crt and tls.key: a
    /// certificate of our own, where the brokers ask for one. Leave secret out for brokers that ask for nothing. What changes in it is taken
    /// over by what runs, without a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-kubernetes-validations" = rules::dns_name("kafka.external.secret", "the name of a Secret", "shop-kafka")))]
    pub secret: Option<String>,

    /// Ports at which the brokers say they are, where they are others than those in bootstrapServers. Pods that are not cut are let out to these
    /// and those.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-validations" = [rules::rule(
        "self.all(port, port >= 1 && port <= 65535)", "kafka.external.ports must be between 1 and 65535"
    )]))]
    pub ports: Vec<i32>,

    /// Where the brokers are, as the `to` of a NetworkPolicy has it: ipBlock for what is outside of Kubernetes, namespaceSelector and podSelector
    /// for what is inside. Leave it out for anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "peers")]
    pub peers: Vec<NetworkPolicyPeer>,
}

/// What was made in the Kafka of spec.kafka.external.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalKafkaStatus {
    /// Its bootstrapServers.
    pub address: String,
    /// Topics of sites, of the gateway and of counter nodes; those of clients that were scaled away too.
    pub topics: Vec<String>,
}
