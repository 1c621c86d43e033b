//! A console for Kafka, of whatever make: it is told where Kafka is in the ways that the known ones read.

use serde_json::{Value, json};

use super::access::{bootstrap_servers, credentials, way_out};
use super::{Kind, Object, network, object, pod};
use crate::names::{self, ACCESS_LABEL, Component};
use crate::validate::{Console, ValidatedCluster};

/// Nobody of the image's own, which may be root.
const USER: u32 = 65532;

/// NetworkPolicy, Service and Deployment.
pub fn console(cluster: &ValidatedCluster, wanted: &Console) -> Vec<Object> {
    let name = names::console(&cluster.name);
    let whole = |kind, rest| object(cluster, kind, name.clone(), None, Some(Component::Console), rest);
    let selector = names::selector(&cluster.name, None, Component::Console);
    let service = json!({ "spec": {
        "type": "ClusterIP",
        "selector": selector,
        "ports": [{ "name": "web", "port": 80, "targetPort": "web", "protocol": "TCP" }],
    } });
    let deployment = json!({ "spec": {
        "replicas": 1,
        "revisionHistoryLimit": 1,
        "selector": { "matchLabels": selector },
        "template": template(cluster, wanted),
    } });
    vec![
        policy(cluster, wanted),
        whole(Kind::Service, service),
        whole(Kind::Deployment, deployment),
    ]
}

/// Out: Kafka, to which no cut applies, because it is at no site. In: pods that somebody said may. Whoever reaches a console may do to topics
/// whatever it can: our own Kafka asks nobody who he is, and of one that does the console has user and password.
fn policy(cluster: &ValidatedCluster, wanted: &Console) -> Object {
    let name = names::console(&cluster.name);
    let spec = json!({
        "podSelector": network::pods(cluster, None, Component::Console),
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{ "from": [{ "podSelector": { "matchLabels": { ACCESS_LABEL: name } } }], "ports": [network::tcp(wanted.port)] }],
        "egress": [way_out(cluster)],
    });
    network::policy(cluster, name, None, spec)
}

fn template(cluster: &ValidatedCluster, wanted: &Console) -> Value {
    let servers = bootstrap_servers(cluster);
    let akhq = json!({ "akhq": { "connections": { cluster.name.as_str(): { "properties": { "bootstrap.servers": servers } } } } });
    let mut variables: Vec<(&str, String)> = wanted
        .env
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    let known = [
        ("KAFKA_BOOTSTRAP_SERVERS", servers.clone()),
        // Redpanda Console.
        ("KAFKA_BROKERS", servers.clone()),
        // Kafdrop.
        ("KAFKA_BROKERCONNECT", servers.clone()),
        // Kafbat UI.
        ("KAFKA_CLUSTERS_0_NAME", cluster.name.to_string()),
        ("KAFKA_CLUSTERS_0_BOOTSTRAPSERVERS", servers),
        // AKHQ reads YAML, of which JSON is a part.
        ("AKHQ_CONFIGURATION", akhq.to_string()),
    ];
    // A name twice is refused by server-side apply; what somebody wrote himself counts.
    variables.extend(known.into_iter().filter(|(name, _)| !wanted.env.contains_key(*name)));
    // First: the others may say $(KAFKA_PASSWORD), which Kubernetes replaces by what was said before it.
    let credentials = credentials(cluster).into_iter();
    let mut env: Vec<Value> = credentials
        .filter(|(name, _)| !wanted.env.contains_key(*name))
        .map(|(_, variable)| variable)
        .collect();
    env.extend(pod::env(&variables).as_array().cloned().unwrap_or_default());
    let resources = match &wanted.resources {
        Some(resources) => json!(resources),
        None => json!({ "requests": { "cpu": "20m", "memory": "128Mi" }, "limits": { "memory": "512Mi" } }),
    };
    let container = pod::container(
        "console",
        &wanted.image,
        json!({
            "env": env,
            "ports": [{ "name": "web", "containerPort": wanted.port, "protocol": "TCP" }],
            "readinessProbe": { "tcpSocket": { "port": "web" }, "periodSeconds": 2, "timeoutSeconds": 2, "failureThreshold": 3 },
            "resources": resources,
            "volumeMounts": [{ "name": "tmp", "mountPath": "/tmp" }],
        }),
    );
    let spec = json!({ "containers": [container], "volumes": [{ "name": "tmp", "emptyDir": {} }] });
    pod::template(cluster, None, Component::Console, USER, spec)
}
