//! Who may talk to whom: nobody, and one policy for every edge that exists. A NetworkPolicy cannot forbid, so a cut is the absence of an
//! edge, at both ends: the egress policy of the workload is gone, and the ingress policy of Kafka leaves the site out. Somebody else's
//! policy must open both to void a cut.

use serde_json::{Value, json};
use synccluster_protocol::Site;

use super::{HTTP_PORT, KAFKA_PORT, Kind, Object, POSTGRES_PORT, object};
use crate::names::{self, ACCESS_LABEL, CLUSTER_LABEL, COMPONENT_LABEL, Component, OPERATOR, SITE_LABEL};
use crate::validate::ValidatedCluster;

const CONTROLLER_PORT: u16 = 9093;

/// All policies of the cluster.
pub fn policies(cluster: &ValidatedCluster) -> Vec<Object> {
    let mut policies = vec![default_deny(cluster), dns(cluster), kafka(cluster), operator(cluster)];
    for site in cluster.sites() {
        policies.push(database(cluster, site));
        policies.push(postgres(cluster, site));
        if !cluster.cut.uplink(site) {
            policies.push(edge(cluster, site, Component::Connector, "uplink"));
        }
        if !cluster.cut.downlink(site) {
            policies.push(edge(cluster, site, Component::Sink, "downlink"));
        }
    }
    policies
}

fn policy(cluster: &ValidatedCluster, name: String, site: Option<Site>, spec: Value) -> Object {
    object(cluster, Kind::NetworkPolicy, name, site, None, json!({ "spec": spec }))
}

fn every_pod(cluster: &ValidatedCluster) -> Value {
    json!({ "matchLabels": { CLUSTER_LABEL: cluster.name.as_str() } })
}

fn pods(cluster: &ValidatedCluster, site: Option<Site>, component: Component) -> Value {
    json!({ "matchLabels": names::selector(&cluster.name, site, component) })
}

/// A site's connector and sink.
fn workloads(cluster: &ValidatedCluster, site: Option<Site>) -> Value {
    let mut labels = json!({ CLUSTER_LABEL: cluster.name.as_str() });
    if let Some(site) = site {
        labels[SITE_LABEL] = site.to_string().into();
    }
    let both = [Component::Connector.as_str(), Component::Sink.as_str()];
    json!({ "matchLabels": labels, "matchExpressions": [{ "key": COMPONENT_LABEL, "operator": "In", "values": both }] })
}

fn tcp(port: u16) -> Value {
    json!({ "protocol": "TCP", "port": port })
}

/// Nothing goes in or out unless another policy says so.
fn default_deny(cluster: &ValidatedCluster) -> Object {
    let spec = json!({ "podSelector": every_pod(cluster), "policyTypes": ["Ingress", "Egress"] });
    policy(cluster, names::of_cluster(&cluster.name, "default-deny"), None, spec)
}

/// Names are found even while cut, so that a cut looks like a network that is away and not like one that is misconfigured.
fn dns(cluster: &ValidatedCluster) -> Object {
    let servers = json!({ "namespaceSelector": {}, "podSelector": { "matchLabels": { "k8s-app": "kube-dns" } } });
    let ports = json!([{ "protocol": "UDP", "port": 53 }, { "protocol": "TCP", "port": 53 }]);
    let spec = json!({
        "podSelector": every_pod(cluster),
        "policyTypes": ["Egress"],
        "egress": [{ "to": [servers], "ports": ports }],
    });
    policy(cluster, names::of_cluster(&cluster.name, "dns"), None, spec)
}

/// An uplink or a downlink: a workload of one site to Kafka.
fn edge(cluster: &ValidatedCluster, site: Site, from: Component, name: &str) -> Object {
    let spec = json!({
        "podSelector": pods(cluster, Some(site), from),
        "policyTypes": ["Egress"],
        "egress": [{ "to": [{ "podSelector": pods(cluster, None, Component::Kafka) }], "ports": [tcp(KAFKA_PORT)] }],
    });
    policy(cluster, names::of_site(&cluster.name, site, name), Some(site), spec)
}

/// A site's workloads to its own database, cut or not.
fn database(cluster: &ValidatedCluster, site: Site) -> Object {
    let to = json!({ "podSelector": pods(cluster, Some(site), Component::Postgres) });
    let spec = json!({
        "podSelector": workloads(cluster, Some(site)),
        "policyTypes": ["Egress"],
        "egress": [{ "to": [to], "ports": [tcp(POSTGRES_PORT)] }],
    });
    policy(
        cluster,
        names::of_site(&cluster.name, site, "database"),
        Some(site),
        spec,
    )
}

/// Into a site's database: its own workloads, and applications that carry the label.
fn postgres(cluster: &ValidatedCluster, site: Site) -> Object {
    let applications = json!({ "matchLabels": { ACCESS_LABEL: names::site(&cluster.name, site) } });
    let spec = json!({
        "podSelector": pods(cluster, Some(site), Component::Postgres),
        "policyTypes": ["Ingress"],
        "ingress": [{
            "from": [{ "podSelector": workloads(cluster, Some(site)) }, { "podSelector": applications }],
            "ports": [tcp(POSTGRES_PORT)],
        }],
    });
    policy(
        cluster,
        names::of_site(&cluster.name, site, "postgres"),
        Some(site),
        spec,
    )
}

/// Into Kafka: the workloads of sites that are not cut, the other brokers, and the operator, whose dial is the control of every cut.
fn kafka(cluster: &ValidatedCluster) -> Object {
    let brokers = json!({ "podSelector": pods(cluster, None, Component::Kafka) });
    let cut = |is_cut: &dyn Fn(Site) -> bool| -> Vec<String> {
        cluster
            .sites()
            .filter(|&site| is_cut(site))
            .map(|site| site.to_string())
            .collect()
    };
    let among = |component, left_out: Vec<String>| {
        let mut selector = pods(cluster, None, component);
        if !left_out.is_empty() {
            selector["matchExpressions"] = json!([{ "key": SITE_LABEL, "operator": "NotIn", "values": left_out }]);
        }
        json!({ "podSelector": selector })
    };
    let connectors = among(Component::Connector, cut(&|site| cluster.cut.uplink(site)));
    let sinks = among(Component::Sink, cut(&|site| cluster.cut.downlink(site)));
    let spec = json!({
        "podSelector": pods(cluster, None, Component::Kafka),
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [
            { "from": [connectors, sinks, operator_pods(cluster)], "ports": [tcp(KAFKA_PORT)] },
            { "from": [brokers], "ports": [tcp(KAFKA_PORT), tcp(CONTROLLER_PORT)] },
        ],
        "egress": [{ "to": [brokers], "ports": [tcp(KAFKA_PORT), tcp(CONTROLLER_PORT)] }],
    });
    policy(cluster, names::of_cluster(&cluster.name, "kafka"), None, spec)
}

/// The operator asks workloads for their status, cut or not: it stands for the people at that site.
fn operator(cluster: &ValidatedCluster) -> Object {
    let spec = json!({
        "podSelector": workloads(cluster, None),
        "policyTypes": ["Ingress"],
        "ingress": [{ "from": [operator_pods(cluster)], "ports": [tcp(HTTP_PORT)] }],
    });
    policy(cluster, names::of_cluster(&cluster.name, "operator"), None, spec)
}

fn operator_pods(cluster: &ValidatedCluster) -> Value {
    json!({
        "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": cluster.operator_namespace } },
        "podSelector": { "matchLabels": { "app.kubernetes.io/name": OPERATOR } },
    })
}
