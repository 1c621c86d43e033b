//! Who may talk to counter nodes, and they to whom. As for sites a cut is the absence of an edge at both ends: a node that is cut has neither
//! the policy that leads to the other nodes nor the one that leads to Kafka, and theirs leave it out. A node that is on its way out keeps
//! its edges until its pod is gone: what it has acknowledged goes to Kafka and the others first.

use serde_json::{Value, json};

use super::access::way_out;
use super::network::{API_SERVER_PORTS, gateway_pods, operator_pods, pods, policy, tcp};
use super::{COUNTER_CLIENT_PORT, COUNTER_LEADER_PORT, COUNTER_MESH_PORT, COUNTER_OUTSIDE_PORT, HTTP_PORT, Object};
use crate::names::{self, ACCESS_LABEL, Component, POD_NAME_LABEL};
use crate::validate::ValidatedCluster;

/// All policies of the counter nodes.
pub fn policies(cluster: &ValidatedCluster) -> Vec<Object> {
    if cluster.all_counters().is_empty() {
        return Vec::new();
    }
    let mut policies = vec![shared(cluster)];
    for node in cluster
        .all_counters()
        .filter(|node| !cluster.cut.counters.contains(node))
    {
        policies.push(to_kafka(cluster, node));
        policies.extend(to_others(cluster, node));
    }
    policies
}

/// What every node has, cut or not: its clients reach it, those outside where `expose` lets them in, the operator asks it, and it reads and writes
/// the Lease, so that one that leads can give it back. Whoever is let in by a node port has any address; a counter node that is cut has no way out to
/// these ports all the same.
fn shared(cluster: &ValidatedCluster) -> Object {
    let clients = json!({ "matchLabels": { ACCESS_LABEL: names::counter(&cluster.name) } });
    let mut from = vec![json!({ "podSelector": clients })];
    from.extend(gateway_pods(cluster));
    let mut ingress = vec![
        json!({ "from": from, "ports": [tcp(COUNTER_LEADER_PORT), tcp(COUNTER_CLIENT_PORT)] }),
        json!({ "from": [operator_pods(cluster)], "ports": [tcp(HTTP_PORT)] }),
    ];
    if cluster.counter.outside.is_some() {
        ingress.push(json!({ "ports": [tcp(COUNTER_OUTSIDE_PORT), tcp(COUNTER_CLIENT_PORT)] }));
    }
    let spec = json!({
        "podSelector": pods(cluster, None, Component::Counter),
        "policyTypes": ["Ingress", "Egress"],
        "ingress": ingress,
        // The API server is no pod: see the gateway's policy.
        "egress": [{ "ports": API_SERVER_PORTS.map(tcp) }],
    });
    policy(cluster, names::counter(&cluster.name), None, spec)
}

/// A node to all others that are not cut, and they to it: what they tell each other, questions for the leader, and who likes from a terminal in
/// one pod and is sent to another.
fn to_others(cluster: &ValidatedCluster, node: u16) -> Option<Object> {
    let others: Vec<String> = cluster
        .all_counters()
        .filter(|other| *other != node && !cluster.cut.counters.contains(other))
        .map(|other| names::counter_pod(&cluster.name, other))
        .collect();
    if others.is_empty() {
        return None;
    }
    let mut peers = pods(cluster, None, Component::Counter);
    peers["matchExpressions"] = json!([{ "key": POD_NAME_LABEL, "operator": "In", "values": others }]);
    let (peers, ports) = (
        json!([{ "podSelector": peers }]),
        json!([
            tcp(COUNTER_MESH_PORT),
            tcp(COUNTER_LEADER_PORT),
            tcp(COUNTER_CLIENT_PORT)
        ]),
    );
    let spec = json!({
        "podSelector": pod(cluster, node),
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{ "from": peers, "ports": ports }],
        "egress": [{ "to": peers, "ports": ports }],
    });
    Some(edge(cluster, node, "mesh", spec))
}

fn to_kafka(cluster: &ValidatedCluster, node: u16) -> Object {
    let spec = json!({
        "podSelector": pod(cluster, node),
        "policyTypes": ["Egress"],
        "egress": [way_out(cluster)],
    });
    edge(cluster, node, "kafka", spec)
}

fn edge(cluster: &ValidatedCluster, node: u16, name: &str, spec: Value) -> Object {
    policy(
        cluster,
        format!("{}-{name}", names::counter_pod(&cluster.name, node)),
        None,
        spec,
    )
}

fn pod(cluster: &ValidatedCluster, node: u16) -> Value {
    let mut selector = pods(cluster, None, Component::Counter);
    selector["matchLabels"][POD_NAME_LABEL] = names::counter_pod(&cluster.name, node).into();
    selector
}

/// The counter nodes that Kafka lets in; none if there are no nodes.
pub fn let_in(cluster: &ValidatedCluster) -> Option<Value> {
    if cluster.all_counters().is_empty() {
        return None;
    }
    let mut selector = pods(cluster, None, Component::Counter);
    let cut: Vec<String> = cluster
        .cut
        .counters
        .iter()
        .map(|node| names::counter_pod(&cluster.name, *node))
        .collect();
    if !cut.is_empty() {
        selector["matchExpressions"] = json!([{ "key": POD_NAME_LABEL, "operator": "NotIn", "values": cut }]);
    }
    Some(json!({ "podSelector": selector }))
}
