//! The counter nodes: identical pods, each with a volume of its own, that know one another by name.

use serde_json::{Value, json};

use super::access::{bootstrap_servers, copies};
use super::connector::USER;
use super::postgres::claim;
use super::{
    COUNTER_CLIENT_PORT, COUNTER_LEADER_PORT, COUNTER_MESH_PORT, COUNTER_OUTSIDE_PORT, HTTP_PORT, Kind, Object, object,
    pod,
};
use crate::names::{self, Component, POD_NAME_LABEL};
use crate::validate::{Counter, Outside, ValidatedCluster};

const DATA: &str = "/var/lib/synccluster";
const MIB: u64 = 1 << 20;
/// The least a node's memory is limited to.
const MEMORY: u64 = 256 * MIB;
/// What a process takes that keeps nothing: its buffers, and those of Kafka's client.
const PROCESS: u64 = 96 * MIB;
/// The most an id (256 bytes) or a client (126 bytes) takes in one node's log, and every node keeps those of all: its name, its places in maps, and
/// its name twice more while a snapshot is written.
const NAME_IN_LOG: u64 = 1 << 10;
/// The most the requests take in one log that are not numbered: 200,000 of 180 bytes, with the snapshot, and maps that grow by half.
const REQUESTS_IN_LOG: u64 = 40 * MIB;
/// The most an id takes for the windows of one size, and so much again for its name there.
const ID_IN_WINDOWS: u64 = 256;
/// A node that is asked to stop brings to Kafka and the others what it has, for 20 s at most, and then writes a snapshot.
const TERMINATION_GRACE_SECONDS: u32 = 60;

/// Account and right to the Lease, Services and StatefulSet.
pub fn counter(cluster: &ValidatedCluster) -> Vec<Object> {
    let (name, nodes) = (names::counter(&cluster.name), names::counter_nodes(&cluster.name));
    let whole = |kind, name: &str, rest| object(cluster, kind, name.to_owned(), None, Some(Component::Counter), rest);
    let selector = names::selector(&cluster.name, None, Component::Counter);
    let port = |name: &str, port: u16| json!({ "name": name, "port": port, "targetPort": name, "protocol": "TCP" });
    let clients = json!({ "spec": {
        "type": "ClusterIP",
        "selector": selector,
        "ports": [port("leader", COUNTER_LEADER_PORT), port("clients", COUNTER_CLIENT_PORT)],
    } });
    let headless = json!({ "spec": {
        "clusterIP": "None",
        // Nodes find each other before any of them is ready.
        "publishNotReadyAddresses": true,
        "selector": selector,
        "ports": [
            port("leader", COUNTER_LEADER_PORT), port("clients", COUNTER_CLIENT_PORT), port("mesh", COUNTER_MESH_PORT),
        ],
    } });
    let storage = &cluster.counter.storage;
    let claim = claim(
        names::labels(&cluster.name, None, Some(Component::Counter)),
        &storage.size,
        storage.class.as_deref(),
    );
    let stateful_set = json!({ "spec": {
        "replicas": cluster.counter.nodes,
        "serviceName": nodes,
        // A node waits for no other.
        "podManagementPolicy": "Parallel",
        "selector": { "matchLabels": selector },
        "persistentVolumeClaimRetentionPolicy": { "whenDeleted": storage.when_deleted, "whenScaled": storage.when_scaled },
        "template": template(cluster),
        "volumeClaimTemplates": [claim],
    } });
    let mut objects = lease(cluster, &name);
    objects.extend([
        whole(Kind::Service, &name, clients),
        whole(Kind::Service, &nodes, headless),
        whole(Kind::StatefulSet, &name, stateful_set),
    ]);
    if let Some(outside) = &cluster.counter.outside {
        objects.extend(node_ports(cluster, outside));
    }
    objects
}

/// What leads to the nodes from outside: to any of them for the leader's word, and to each by itself.
fn node_ports(cluster: &ValidatedCluster, outside: &Outside) -> Vec<Object> {
    let selector = || names::selector(&cluster.name, None, Component::Counter);
    let service = |name: String, spec: Value| {
        let rest = json!({ "spec": spec });
        object(cluster, Kind::Service, name, None, Some(Component::Counter), rest)
    };
    let leader = json!({
        "type": "NodePort",
        "selector": selector(),
        "ports": [{
            "name": "leader", "port": COUNTER_LEADER_PORT, "targetPort": "outside", "nodePort": outside.port, "protocol": "TCP",
        }],
    });
    let mut services = vec![service(names::counter_leader(&cluster.name), leader)];
    services.extend(cluster.counters().map(|node| {
        let (name, mut selector) = (names::counter_pod(&cluster.name, node), selector());
        selector[POD_NAME_LABEL] = name.as_str().into();
        let spec = json!({
            "type": "NodePort",
            // As inside: whom the leader hears, it sends clients to.
            "publishNotReadyAddresses": true,
            "selector": selector,
            "ports": [{
                "name": "clients", "port": COUNTER_CLIENT_PORT, "targetPort": "clients", "nodePort": outside.port_of(node), "protocol": "TCP",
            }],
        });
        service(name, spec)
    }));
    services
}

/// The Lease is made here and not by the nodes: RBAC cannot limit `create` to a name, and so they may only read and write this one.
fn lease(cluster: &ValidatedCluster, name: &str) -> Vec<Object> {
    let group = "rbac.authorization.k8s.io";
    let whole = |kind, rest| object(cluster, kind, name.to_owned(), None, Some(Component::Counter), rest);
    let rule = json!({
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "resourceNames": [name],
        "verbs": ["get", "update"],
    });
    vec![
        // The pods ask for the token themselves.
        whole(Kind::ServiceAccount, json!({ "automountServiceAccountToken": false })),
        whole(Kind::Role, json!({ "rules": [rule] })),
        whole(
            Kind::RoleBinding,
            json!({
                "roleRef": { "apiGroup": group, "kind": "Role", "name": name },
                "subjects": [{ "kind": "ServiceAccount", "name": name, "namespace": cluster.namespace }],
            }),
        ),
        // Who holds it is the nodes' to say.
        whole(Kind::Lease, json!({})),
    ]
}

/// `host:port` at which clients find a node.
pub fn address(cluster: &ValidatedCluster) -> String {
    format!("{}:{COUNTER_CLIENT_PORT}", names::counter(&cluster.name))
}

/// `host:port` at which clients ask for a node, from as far away as they are let in.
pub fn leader(cluster: &ValidatedCluster) -> String {
    match &cluster.counter.outside {
        Some(outside) => format!("{}:{}", outside.host, outside.port),
        None => format!(
            "{}.{}.svc:{COUNTER_LEADER_PORT}",
            names::counter(&cluster.name),
            cluster.namespace
        ),
    }
}

fn template(cluster: &ValidatedCluster) -> Value {
    let mut own = pod::served();
    if let Some(ports) = own.get_mut("ports").and_then(Value::as_array_mut) {
        let port = |(name, port): (&str, u16)| json!({ "name": name, "containerPort": port, "protocol": "TCP" });
        ports.extend(
            [
                ("leader", COUNTER_LEADER_PORT),
                ("clients", COUNTER_CLIENT_PORT),
                ("mesh", COUNTER_MESH_PORT),
            ]
            .map(port),
        );
        ports.extend(
            cluster
                .counter
                .outside
                .iter()
                .map(|_| port(("outside", COUNTER_OUTSIDE_PORT))),
        );
    }
    own.insert("command".to_owned(), json!(["synccluster-counter", "run"]));
    own.insert("env".to_owned(), env(cluster));
    own.insert("resources".to_owned(), resources(cluster));
    own.insert(
        "volumeMounts".to_owned(),
        json!([{ "name": "data", "mountPath": DATA }]),
    );
    let spec = json!({
        "serviceAccountName": names::counter(&cluster.name),
        "terminationGracePeriodSeconds": TERMINATION_GRACE_SECONDS,
        // For the Lease.
        "automountServiceAccountToken": true,
        "containers": [pod::container("counter", &cluster.image, Value::Object(own))],
    });
    pod::template(cluster, None, Component::Counter, USER, spec)
}

fn env(cluster: &ValidatedCluster) -> Value {
    let wanted = &cluster.counter;
    let seconds = |time: std::time::Duration| format!("{}s", time.as_secs());
    let domain = format!("{}.{}.svc", names::counter_nodes(&cluster.name), cluster.namespace);
    let nodes: Vec<String> = cluster
        .counters()
        .map(|node| {
            format!(
                "{node}={}.{domain}:{COUNTER_MESH_PORT}",
                names::counter_pod(&cluster.name, node)
            )
        })
        .collect();
    // The other half of the volume is for two snapshots, and for what the file system needs.
    let log_bytes = wanted.volume / 2;
    let segment_bytes = (log_bytes / 16).clamp(MIB, 16 * MIB);
    let mut told = vec![
        ("SYNC_CLUSTER", cluster.name.to_string()),
        ("COUNTER_NODES", nodes.join(",")),
        // Below the volume's root, where some file systems have a lost+found.
        ("COUNTER_DATA", format!("{DATA}/counter")),
        ("COUNTER_LEASE", names::counter(&cluster.name)),
        ("COUNTER_MAX_IDS", wanted.limits.ids.to_string()),
        ("COUNTER_MAX_CLIENTS", wanted.limits.clients.to_string()),
        ("COUNTER_REMEMBER_CLIENTS", seconds(wanted.limits.forget_clients_after)),
        ("COUNTER_LOG_BYTES", log_bytes.to_string()),
        ("COUNTER_SEGMENT_BYTES", segment_bytes.to_string()),
        ("COUNTER_WINDOWS", wanted.windows.join(",")),
        ("COUNTER_GRACE", seconds(wanted.grace)),
        ("COUNTER_LIKES_TOPIC", wanted.likes_topic.clone()),
        ("COUNTER_AGGREGATIONS_TOPIC", wanted.aggregations_topic.clone()),
        ("COUNTER_TOPIC_PARTITIONS", wanted.partitions.to_string()),
        // How long they keep what is in them is not told: a change of it would restart the nodes, and `topics` sees to it.
        ("COUNTER_TOPIC_REPLICATION", copies(cluster)),
        ("SYNC_MAX_CLOCK_SKEW", seconds(cluster.max_clock_skew)),
        ("KAFKA_BOOTSTRAP_SERVERS", bootstrap_servers(cluster)),
        ("SYNC_LISTEN", format!("0.0.0.0:{HTTP_PORT}")),
        // As for the other workloads: what was freed after a flood is the machine's again.
        ("MALLOC_ARENA_MAX", "1".to_owned()),
        ("MALLOC_TRIM_THRESHOLD_", "131072".to_owned()),
    ];
    if let Some(outside) = &wanted.outside {
        told.push(("COUNTER_OUTSIDE", format!("{}:{}", outside.host, outside.port_of(0))));
    }
    let mut env = pod::env(&told);
    let field = |name: &str, path: &str| json!({ "name": name, "valueFrom": { "fieldRef": { "apiVersion": "v1", "fieldPath": path } } });
    if let Some(env) = env.as_array_mut() {
        env.push(field("COUNTER_NODE", "metadata.name"));
        env.push(field("POD_NAMESPACE", "metadata.namespace"));
    }
    env
}

fn resources(cluster: &ValidatedCluster) -> Value {
    if let Some(resources) = &cluster.counter.resources {
        return json!(resources);
    }
    let memory = format!("{}Mi", memory(&cluster.counter).div_ceil(MIB));
    json!({ "requests": { "cpu": "20m", "memory": "48Mi" }, "limits": { "memory": memory } })
}

/// Bytes that what is allowed fits into: a flood of names is to end in refusals, and not in nodes that are killed one after the other.
fn memory(wanted: &Counter) -> u64 {
    let (ids, clients) = (u64::from(wanted.limits.ids), u64::from(wanted.limits.clients));
    let logs = u64::from(wanted.nodes) * (NAME_IN_LOG * (ids + clients) + REQUESTS_IN_LOG);
    let windows = ids * ID_IN_WINDOWS * (wanted.windows.len() as u64 + 1);
    (PROCESS + logs + windows).max(MEMORY)
}
