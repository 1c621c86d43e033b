//! What people write about the gateway.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;

/// The gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [rules::rule(
    "!has(self.access.identity) || !has(self.expose) || !has(self.expose.nodePort)",
    "gateway.expose.nodePort does not go with gateway.access.identity: whoever reaches a node port could write the header too; \
     leave expose out and give the proxy that sets the header a node port of its own",
)]))]
pub struct Gateway {
    /// How many pods, 0 to 100. 0: there is no gateway. With more than one, what one learns reaches the people of all.
    #[schemars(extend("x-kubernetes-validations" = [rules::rule(
        "self >= 0 && self <= 100", "gateway.replicas must be between 0 and 100; 0 for no gateway"
    )]))]
    pub replicas: i32,

    /// How it is reached from outside the cluster: exactly one of nodePort, ingress, gatewayApi. Leave it out, and only pods with the label
    /// synccluster.dev/access: <cluster>-gateway reach it, and whoever may use kubectl port-forward.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expose: Option<Expose>,

    /// Who may do what. The two tokens of Secret <cluster>-gateway are always good: token may change things, viewer-token may look.
    pub access: Access,

    /// CPU and memory of each pod. Leave it out for requests of 20m and 64Mi, and a limit of 256Mi.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::resources")]
    pub resources: Option<ResourceRequirements>,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            replicas: 1,
            expose: None,
            access: Access::default(),
            resources: None,
        }
    }
}

impl Gateway {
    /// Whether it takes an HTTPRoute.
    pub fn wants_route(&self) -> bool {
        self.replicas > 0 && self.expose.as_ref().is_some_and(|expose| expose.gateway_api.is_some())
    }
}

/// How the gateway is reached from outside the cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [rules::rule(
    "[has(self.nodePort), has(self.ingress), has(self.gatewayApi)].filter(way, way).size() == 1",
    "gateway.expose must have exactly one of nodePort, ingress and gatewayApi; remove expose to keep the gateway inside the cluster",
)]))]
pub struct Expose {
    /// At a port of every node. nodePort: {} takes any free port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_port: Option<NodePort>,

    /// At a host name, by the cluster's ingress controller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Ingress>,

    /// By a Gateway of the Gateway API that exists already: an HTTPRoute is attached to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway_api: Option<GatewayApi>,
}

/// A port of every node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NodePort {
    /// The port, 30000 to 32767. Leave it out for any free one; status.gateway.address shows which.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [rules::rule(
        "self >= 30000 && self <= 32767",
        "gateway.expose.nodePort.port must be between 30000 and 32767; leave it out for any free one",
    )]))]
    pub port: Option<i32>,
}

/// A host name of the cluster's ingress controller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ingress {
    /// The host name people open, such as todo.example.com.
    #[schemars(length(max = 253), extend("x-kubernetes-validations" = rules::dns_name("gateway.expose.ingress.host", "a host name", "todo.example.com")))]
    pub host: String,

    /// The IngressClass. Leave it out for the cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-kubernetes-validations" = rules::dns_name("gateway.expose.ingress.className", "the name of an IngressClass", "nginx")))]
    pub class_name: Option<String>,

    /// Secret of type kubernetes.io/tls with the certificate of the host. Leave it out for plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-kubernetes-validations" = rules::dns_name("gateway.expose.ingress.tlsSecret", "the name of a Secret", "todo-tls")))]
    pub tls_secret: Option<String>,

    /// Annotations of the Ingress, added to those that make ingress-nginx keep a session at one pod and a stream open; yours win.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub annotations: BTreeMap<String, String>,
}

/// A route at a Gateway of the Gateway API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayApi {
    /// The host name people open, such as todo.example.com. Leave it out for every host of the listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-kubernetes-validations" = rules::dns_name("gateway.expose.gatewayApi.host", "a host name", "todo.example.com")))]
    pub host: Option<String>,

    /// The Gateway.
    pub parent: Parent,
}

/// A Gateway of the Gateway API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Parent {
    /// Its name.
    #[schemars(length(max = 253), extend("x-kubernetes-validations" = rules::dns_name("gateway.expose.gatewayApi.parent.name", "the name of a Gateway", "public")))]
    pub name: String,

    /// Its namespace. Leave it out for the SyncCluster's. The Gateway must allow routes from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), extend("x-kubernetes-validations" = rules::dns_name("gateway.expose.gatewayApi.parent.namespace", "the name of a namespace", "gateways")))]
    pub namespace: Option<String>,

    /// One listener of it. Leave it out for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-kubernetes-validations" = rules::dns_name("gateway.expose.gatewayApi.parent.sectionName", "the name of a listener", "https")))]
    pub section_name: Option<String>,
}

/// Who may do what at the gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Access {
    /// Believe a header of an authenticating proxy in front. Then only pods with the label synccluster.dev/access: <cluster>-gateway reach the
    /// gateway, whatever expose says: give the label to the proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,

    /// Who may read the totals of counter nodes and their windows, and be told windows by Socket.IO. Anyone: whoever reaches the gateway, without a
    /// token, as clients of the first aggregation service do. Likes, and everything else, need a token or an identity all the same.
    pub counters: CountersAccess,
}

/// Who may read what counter nodes count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CountersAccess {
    /// Who may look at everything else.
    #[default]
    SignedIn,
    /// Whoever reaches the gateway.
    Anyone,
}

/// People as a proxy names them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Identity {
    /// The header in which the proxy puts the name of who is signed in. The proxy must remove what a client sent under it.
    #[schemars(length(max = 64), extend("x-kubernetes-validations" = [rules::rule(
        "self.matches('^[A-Za-z0-9-]+$') && !(self.lowerAscii() in ['authorization', 'cookie', 'host', 'origin'])",
        "gateway.access.identity.header must be a header that only the proxy sets, such as X-Forwarded-User; not Authorization, Cookie, Host or Origin",
    )]))]
    pub header: String,

    /// Who may change things. Everybody else the proxy lets through may look.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200), inner(length(max = 256)), extend(
        "x-kubernetes-list-type" = "set",
        "x-kubernetes-validations" = [rules::rule(
            "self.all(name, name.matches('^[^, ]([^,]*[^, ])?$'))",
            "gateway.access.identity.editors must be names as the proxy writes them, one an entry, without commas and without spaces around them",
        )],
    ))]
    pub editors: Vec<String>,
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            header: "X-Forwarded-User".to_owned(),
            editors: Vec::new(),
        }
    }
}
