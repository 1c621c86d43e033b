//! How workloads come to Kafka: where it is, the way through the network, and what its Secret says if it is somebody else's.

use serde_json::{Value, json};
use synccluster_runtime::kafka::security::{PASSWORD, USERNAME};

use super::connector::MOUNTS;
use super::network::{outside, pods, tcp};
use super::{KAFKA_PORT, Kind, Object};
use crate::names::{self, Component};
use crate::validate::{ValidatedCluster, kafka::External};

/// The volume with the Secret.
const VOLUME: &str = "kafka";
/// Who speaks to Kafka.
pub const SPEAKERS: [Component; 7] = [
    Component::Connector,
    Component::Sink,
    Component::Gateway,
    Component::Counter,
    Component::Analytics,
    Component::Console,
    Component::Notebooks,
];

/// `host:port` clients bootstrap from.
pub fn bootstrap_servers(cluster: &ValidatedCluster) -> String {
    match &cluster.kafka.external {
        Some(external) => external.bootstrap_servers.clone(),
        None => format!("{}:{KAFKA_PORT}", names::kafka(&cluster.name)),
    }
}

/// The same of the operator's own Kafka for who is not in the namespace.
pub fn bootstrap_servers_from_afar(cluster: &ValidatedCluster) -> String {
    format!("{}.{}.svc:{KAFKA_PORT}", names::kafka(&cluster.name), cluster.namespace)
}

/// On how many brokers a topic is made that workloads make themselves; -1: on as many as the brokers do by default.
pub fn copies(cluster: &ValidatedCluster) -> String {
    match (&cluster.kafka.external, cluster.kafka.topics.replication) {
        (None, _) => cluster.kafka.brokers.to_string(),
        (Some(_), copies) => copies.map_or(-1, i32::from).to_string(),
    }
}

/// The rule of a policy that lets out to Kafka.
pub fn way_out(cluster: &ValidatedCluster) -> Value {
    match &cluster.kafka.external {
        Some(external) => {
            let ports: Vec<Value> = external.ports.iter().copied().map(tcp).collect();
            json!({ "to": outside(&external.peers), "ports": ports })
        }
        None => json!({ "to": [{ "podSelector": pods(cluster, None, Component::Kafka) }], "ports": [tcp(KAFKA_PORT)] }),
    }
}

/// Adds to the first container of a pod what the Secret needs.
pub fn add_secret(cluster: &ValidatedCluster, component: Component, pod: &mut Value) {
    let Some(external) = cluster
        .kafka
        .external
        .as_ref()
        .filter(|_| SPEAKERS.contains(&component))
    else {
        return;
    };
    let push = |list: &mut Value, item: Value| match list {
        Value::Array(list) => list.push(item),
        none => *none = json!([item]),
    };
    // A name twice is refused by server-side apply; a console may have it from the user, whose word counts.
    let say = |env: &mut Value, name: &str, value: String| {
        let is_said = env
            .as_array()
            .is_some_and(|said| said.iter().any(|variable| variable["name"] == name));
        if !is_said {
            push(env, json!({ "name": name, "value": value }));
        }
    };
    if !external.more_ports.is_empty() {
        let ports: Vec<String> = external.more_ports.iter().map(ToString::to_string).collect();
        say(&mut pod["containers"][0]["env"], "KAFKA_PORTS", ports.join(","));
    }
    if let Some((secret, _)) = &external.secret {
        let path = format!("{MOUNTS}/{VOLUME}");
        // Not optional: what is mounted stays as it is when somebody deletes the Secret.
        let volume = super::pod::secret_volume(VOLUME, secret);
        say(&mut pod["containers"][0]["env"], "KAFKA_SECRET", path.clone());
        push(
            &mut pod["containers"][0]["volumeMounts"],
            json!({ "name": VOLUME, "mountPath": path, "readOnly": true }),
        );
        push(&mut pod["volumes"], volume);
    }
}

/// As whom Kafka is spoken to, for a program that reads no files of ours: variables by name, which Kubernetes fills from the Secret.
pub fn credentials(cluster: &ValidatedCluster) -> Vec<(&'static str, Value)> {
    let external = cluster.kafka.external.as_ref();
    let Some((secret, _)) = external.and_then(|external| external.secret.as_ref()) else {
        return Vec::new();
    };
    let variable = |(name, key): (&'static str, &str)| {
        let from = json!({ "secretKeyRef": { "name": secret, "key": key, "optional": true } });
        (name, json!({ "name": name, "valueFrom": from }))
    };
    [("KAFKA_USERNAME", USERNAME), ("KAFKA_PASSWORD", PASSWORD)]
        .map(variable)
        .into()
}

/// Whether the object's pods would wait for a Secret that does not exist.
pub fn waits(cluster: &ValidatedCluster, object: &Object) -> bool {
    let missing = cluster.kafka.external.as_ref().is_some_and(External::secret_is_missing);
    let volumes = || {
        object
            .body
            .pointer("/spec/template/spec/volumes")
            .and_then(Value::as_array)
    };
    missing
        && [Kind::Deployment, Kind::StatefulSet].contains(&object.kind)
        && volumes().is_some_and(|volumes| volumes.iter().any(|volume| volume["name"] == VOLUME))
}
