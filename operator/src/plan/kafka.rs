//! Kafka in KRaft mode: every broker is a controller too.

use serde_json::{Map, Value, json};

use super::postgres::claim;
use super::{KAFKA_PORT, Kind, Object, config_map, hash, object, pod};
use crate::names::{self, CONFIG_ANNOTATION, Component};
use crate::validate::ValidatedCluster;

const USER: u32 = 1000;
const CONTROLLER_PORT: u16 = 9093;

fn files() -> [(&'static str, &'static str); 2] {
    [
        ("start.sh", include_str!("files/start-kafka.sh")),
        ("log4j2.properties", include_str!("files/log4j2.properties")),
    ]
}

/// ConfigMap, both Services and the StatefulSet.
pub fn kafka(cluster: &ValidatedCluster) -> Vec<Object> {
    let name = names::kafka(&cluster.name);
    let brokers = names::brokers(&cluster.name);
    let selector = names::selector(&cluster.name, None, Component::Kafka);
    let whole = |kind, name: &str, rest| object(cluster, kind, name.to_owned(), None, Some(Component::Kafka), rest);
    let data: Map<String, Value> = files()
        .into_iter()
        .map(|(name, text)| (name.to_owned(), text.into()))
        .collect();
    let clients = json!({ "name": "kafka", "port": KAFKA_PORT, "targetPort": "kafka", "protocol": "TCP" });
    let controllers =
        json!({ "name": "controller", "port": CONTROLLER_PORT, "targetPort": "controller", "protocol": "TCP" });
    let bootstrap = json!({ "spec": { "type": "ClusterIP", "selector": selector, "ports": [clients] } });
    let headless = json!({ "spec": {
        "clusterIP": "None",
        // Controllers elect a leader before any of them is ready.
        "publishNotReadyAddresses": true,
        "selector": selector,
        "ports": [clients, controllers],
    } });
    let storage = &cluster.kafka.storage;
    let claim = claim(
        names::labels(&cluster.name, None, Some(Component::Kafka)),
        &storage.size,
        storage.class.as_deref(),
    );
    let stateful_set = json!({ "spec": {
        "replicas": cluster.kafka.brokers,
        "serviceName": brokers,
        "podManagementPolicy": "Parallel",
        "selector": { "matchLabels": selector },
        // Databases that are kept count their progress in the offsets of these topics.
        "persistentVolumeClaimRetentionPolicy": { "whenDeleted": cluster.postgres.storage.when_deleted, "whenScaled": "Retain" },
        "template": template(cluster),
        "volumeClaimTemplates": [claim],
    } });
    vec![
        config_map(cluster, name.clone(), Component::Kafka, data),
        whole(Kind::Service, &name, bootstrap),
        whole(Kind::Service, &brokers, headless),
        whole(Kind::StatefulSet, &name, stateful_set),
    ]
}

fn template(cluster: &ValidatedCluster) -> Value {
    let brokers = cluster.kafka.brokers;
    let (set, domain) = (
        names::kafka(&cluster.name),
        format!("{}.{}.svc", names::brokers(&cluster.name), cluster.namespace),
    );
    let voters: Vec<String> = (0..brokers)
        .map(|id| format!("{id}@{set}-{id}.{domain}:{CONTROLLER_PORT}"))
        .collect();
    let probe = |period: u32, failures: u32| json!({ "tcpSocket": { "port": "kafka" }, "periodSeconds": period, "timeoutSeconds": 3, "failureThreshold": failures });
    let container = pod::container(
        "kafka",
        &cluster.kafka.image,
        json!({
            "command": ["bash", "/etc/synccluster/start.sh"],
            "env": pod::env(&[
                ("CLUSTER_ID", cluster_id(&cluster.uid)),
                ("DOMAIN", domain),
                ("VOTERS", voters.join(",")),
                ("REPLICAS", brokers.to_string()),
                ("MIN_IN_SYNC", if brokers >= 3 { 2 } else { 1 }.to_string()),
                ("KAFKA_HEAP_OPTS", "-Xms128m -Xmx384m".to_owned()),
                ("KAFKA_LOG4J_OPTS", "-Dlog4j2.configurationFile=/etc/synccluster/log4j2.properties".to_owned()),
                // Without `-loggc`, which would write beside the image's read-only files.
                ("EXTRA_ARGS", "-name kafkaServer".to_owned()),
                ("LOG_DIR", "/tmp".to_owned()),
            ]),
            "ports": [
                { "name": "kafka", "containerPort": KAFKA_PORT, "protocol": "TCP" },
                { "name": "controller", "containerPort": CONTROLLER_PORT, "protocol": "TCP" },
            ],
            "resources": { "requests": { "cpu": "100m", "memory": "400Mi" }, "limits": { "memory": "1Gi" } },
            "startupProbe": probe(1, 600),
            "readinessProbe": probe(5, 3),
            "livenessProbe": probe(10, 6),
            "volumeMounts": [
                { "name": "data", "mountPath": "/var/lib/kafka" },
                { "name": "config", "mountPath": "/etc/synccluster", "readOnly": true },
                { "name": "tmp", "mountPath": "/tmp" },
            ],
        }),
    );
    let spec = json!({
        "terminationGracePeriodSeconds": 60,
        "containers": [container],
        "volumes": [
            { "name": "config", "configMap": { "name": set, "defaultMode": 0o440 } },
            { "name": "tmp", "emptyDir": {} },
        ],
    });
    let mut template = pod::template(cluster, None, Component::Kafka, USER, spec);
    template["metadata"]["annotations"][CONFIG_ANNOTATION] = hash(&files()).into();
    template
}

/// Kafka's cluster id: the 16 bytes of the resource's UID in base64url without padding.
fn cluster_id(uid: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let hex: String = uid.chars().filter(char::is_ascii_hexdigit).collect();
    let number = u128::from_str_radix(&hex, 16).unwrap_or_default();
    // 22 digits of 6 bits hold 132 bits: the last 4 are padding.
    let digit = |i: u32| if i < 21 { number >> (128 - 6 * (i + 1)) } else { number << 4 } & 63;
    (0..22)
        .filter_map(|i| ALPHABET.get(usize::try_from(digit(i)).ok()?))
        .map(|&c| char::from(c))
        .collect()
}
