//! Who may talk to whom: nobody, and one policy for every edge that exists. A NetworkPolicy cannot forbid, so a cut is the absence of an
//! edge, at both ends: the egress policy of the workload is gone, and the ingress policy of Kafka leaves the site out. Somebody else's
//! policy must open both to void a cut.

use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use serde_json::{Value, json};
use synccluster_protocol::Site;

use super::access::way_out;
use super::{
    COUNTER_CLIENT_PORT, COUNTER_LEADER_PORT, HTTP_PORT, KAFKA_PORT, Kind, Object, POSTGRES_PORT, WEB_PORT, mesh,
    object,
};
use crate::names::{self, ACCESS_LABEL, CLUSTER_LABEL, COMPONENT_LABEL, Component, OPERATOR, SITE_LABEL};
use crate::validate::{Expose, Gateway, ValidatedCluster};

const CONTROLLER_PORT: u16 = 9093;
/// Where API servers listen: behind their Service, and at it.
pub const API_SERVER_PORTS: [u16; 2] = [6443, 443];

/// All policies of the cluster but those of the counter nodes.
pub fn policies(cluster: &ValidatedCluster) -> Vec<Object> {
    let mut policies = vec![default_deny(cluster), dns(cluster), operator(cluster)];
    if cluster.kafka.external.is_none() {
        policies.push(kafka(cluster));
    }
    policies.extend(cluster.gateway.as_ref().map(|wanted| gateway(cluster, wanted)));
    for site in cluster.sites() {
        policies.push(database(cluster, site));
        if cluster.external_postgres(site).is_none() {
            policies.push(postgres(cluster, site));
        }
        if !cluster.cut.uplink(site) {
            policies.push(edge(cluster, site, Component::Connector, "uplink"));
        }
        if !cluster.cut.downlink(site) {
            policies.push(edge(cluster, site, Component::Sink, "downlink"));
        }
    }
    policies
}

pub fn policy(cluster: &ValidatedCluster, name: String, site: Option<Site>, spec: Value) -> Object {
    object(cluster, Kind::NetworkPolicy, name, site, None, json!({ "spec": spec }))
}

fn every_pod(cluster: &ValidatedCluster) -> Value {
    json!({ "matchLabels": { CLUSTER_LABEL: cluster.name.as_str() } })
}

pub fn pods(cluster: &ValidatedCluster, site: Option<Site>, component: Component) -> Value {
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

pub fn tcp(port: u16) -> Value {
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
        "egress": [way_out(cluster)],
    });
    policy(cluster, names::of_site(&cluster.name, site, name), Some(site), spec)
}

/// A site's workloads to its own database, cut or not.
fn database(cluster: &ValidatedCluster, site: Site) -> Object {
    let own = || json!({ "to": [{ "podSelector": pods(cluster, Some(site), Component::Postgres) }], "ports": [tcp(POSTGRES_PORT)] });
    let external = external_postgres(cluster).filter(|_| site == Site::Server);
    let spec = json!({
        "podSelector": workloads(cluster, Some(site)),
        "policyTypes": ["Egress"],
        "egress": [external.unwrap_or_else(own)],
    });
    policy(
        cluster,
        names::of_site(&cluster.name, site, "database"),
        Some(site),
        spec,
    )
}

/// The way out to a server's database that is somebody else's, where there is one.
pub fn external_postgres(cluster: &ValidatedCluster) -> Option<Value> {
    let external = cluster.server.as_ref()?;
    Some(json!({ "to": outside(&external.peers), "ports": [tcp(external.port)] }))
}

/// Who is meant by a list of peers: nobody listed is anybody, inside and outside of Kubernetes.
pub fn outside(peers: &[NetworkPolicyPeer]) -> Value {
    if peers.is_empty() {
        json!([{ "ipBlock": { "cidr": "0.0.0.0/0" } }, { "ipBlock": { "cidr": "::/0" } }])
    } else {
        json!(peers)
    }
}

/// Into a site's database: its own workloads, applications that carry the label, the seeder, and the gateway.
fn postgres(cluster: &ValidatedCluster, site: Site) -> Object {
    let applications = json!({ "matchLabels": { ACCESS_LABEL: names::site(&cluster.name, site) } });
    let mut from = vec![
        json!({ "podSelector": workloads(cluster, Some(site)) }),
        json!({ "podSelector": applications }),
    ];
    if cluster.seeder.is_some() {
        from.push(json!({ "podSelector": pods(cluster, None, Component::Seeder) }));
    }
    from.extend(gateway_pods(cluster));
    if cluster.superset.is_some() {
        from.push(json!({ "podSelector": pods(cluster, None, Component::Superset) }));
    }
    from.extend(notebooks_pods(cluster));
    if site == Site::Server {
        from.extend(analytics_pods(cluster));
    }
    let spec = json!({
        "podSelector": pods(cluster, Some(site), Component::Postgres),
        "policyTypes": ["Ingress"],
        "ingress": [{ "from": from, "ports": [tcp(POSTGRES_PORT)] }],
    });
    policy(
        cluster,
        names::of_site(&cluster.name, site, "postgres"),
        Some(site),
        spec,
    )
}

/// Into Kafka: the workloads of sites and the counter nodes that are not cut, the other brokers, the operator, whose dial is the control of every cut, and the gateway.
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
    let mut clients = vec![connectors, sinks, operator_pods(cluster)];
    clients.extend(mesh::let_in(cluster));
    clients.extend(gateway_pods(cluster));
    clients.extend(analytics_pods(cluster));
    if cluster.console.is_some() {
        clients.push(json!({ "podSelector": pods(cluster, None, Component::Console) }));
    }
    clients.extend(notebooks_pods(cluster));
    let spec = json!({
        "podSelector": pods(cluster, None, Component::Kafka),
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [
            { "from": clients, "ports": [tcp(KAFKA_PORT)] },
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

/// The gateway reaches every site's database, every counter node and Kafka, cut or not: it stands for the people at each site, and carries nothing from one to
/// another. Who reaches it is what `expose` says; but where a proxy's header is believed, only pods that somebody called a proxy.
fn gateway(cluster: &ValidatedCluster, wanted: &Gateway) -> Object {
    let proxies = json!({ "matchLabels": { ACCESS_LABEL: names::gateway(&cluster.name) } });
    let mut web = json!({ "ports": [tcp(WEB_PORT)] });
    if wanted.identity.is_some() || wanted.expose == Expose::Inside {
        web["from"] = json!([{ "podSelector": proxies }]);
    }
    let to = |component| json!([{ "podSelector": pods(cluster, None, component) }]);
    let mut egress = vec![
        json!({ "to": to(Component::Postgres), "ports": [tcp(POSTGRES_PORT)] }),
        way_out(cluster),
        // The API server is no pod: no selector finds it, and its addresses are the provider's. So these ports, to anybody.
        json!({ "ports": API_SERVER_PORTS.map(tcp) }),
    ];
    egress.extend(external_postgres(cluster));
    if cluster.counter.nodes > 0 {
        let ports = [COUNTER_LEADER_PORT, COUNTER_CLIENT_PORT].map(tcp);
        egress.push(json!({ "to": to(Component::Counter), "ports": ports }));
    }
    let spec = json!({
        "podSelector": pods(cluster, None, Component::Gateway),
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [web, { "from": [operator_pods(cluster)], "ports": [tcp(HTTP_PORT)] }],
        "egress": egress,
    });
    policy(cluster, names::gateway(&cluster.name), None, spec)
}

pub fn gateway_pods(cluster: &ValidatedCluster) -> Option<Value> {
    cluster.gateway.as_ref()?;
    Some(json!({ "podSelector": pods(cluster, None, Component::Gateway) }))
}

fn analytics_pods(cluster: &ValidatedCluster) -> Option<Value> {
    cluster.analytics.as_ref()?;
    Some(json!({ "podSelector": pods(cluster, None, Component::Analytics) }))
}

fn notebooks_pods(cluster: &ValidatedCluster) -> Option<Value> {
    cluster.notebooks.as_ref()?;
    Some(json!({ "podSelector": pods(cluster, None, Component::Notebooks) }))
}

pub fn operator_pods(cluster: &ValidatedCluster) -> Value {
    json!({
        "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": cluster.operator_namespace } },
        "podSelector": { "matchLabels": { "app.kubernetes.io/name": OPERATOR } },
    })
}
