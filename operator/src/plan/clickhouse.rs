//! The ClickHouse that the operator runs: one pod on one volume. Its configuration is the operator's own, so that any image with
//! `clickhouse-server` will do, whatever its entrypoint makes of its environment.

use serde_json::{Map, Value, json};

use super::postgres::claim;
use super::{CLICKHOUSE_PORT, Kind, Object, config_map, hash, network, object, pod};
use crate::names::{self, ACCESS_LABEL, CONFIG_ANNOTATION, Component};
use crate::validate::{ClickHouse, ValidatedCluster};

/// The user of the official image.
const USER: u32 = 101;
const CONFIG: &str = "/etc/synccluster";
/// The database of a managed ClickHouse.
pub const DATABASE: &str = "analytics";
/// Its only user, who may do everything in it.
pub const ADMIN: &str = "sync";

fn files() -> [(&'static str, &'static str); 2] {
    [
        ("config.xml", include_str!("files/clickhouse-config.xml")),
        ("users.xml", include_str!("files/clickhouse-users.xml")),
    ]
}

/// ConfigMap, Service, StatefulSet and NetworkPolicy; nothing where ClickHouse is somebody else's.
pub fn clickhouse(cluster: &ValidatedCluster) -> Vec<Object> {
    let Some(ClickHouse::Managed {
        image,
        storage,
        resources,
    }) = cluster.analytics.as_ref().map(|analytics| &analytics.clickhouse)
    else {
        return Vec::new();
    };
    let name = names::clickhouse(&cluster.name);
    let selector = names::selector(&cluster.name, None, Component::ClickHouse);
    let whole = |kind, rest| object(cluster, kind, name.clone(), None, Some(Component::ClickHouse), rest);
    let data: Map<String, Value> = files()
        .into_iter()
        .map(|(name, text)| (name.to_owned(), text.into()))
        .collect();
    let port = json!({ "name": "http", "port": CLICKHOUSE_PORT, "targetPort": "http", "protocol": "TCP" });
    let claim = claim(
        names::labels(&cluster.name, None, Some(Component::ClickHouse)),
        &storage.size,
        storage.class.as_deref(),
    );
    let resources = match resources {
        Some(resources) => json!(resources),
        None => json!({ "requests": { "cpu": "100m", "memory": "256Mi" }, "limits": { "memory": "2Gi" } }),
    };
    let stateful_set = json!({ "spec": {
        "replicas": 1,
        "serviceName": name,
        // With OrderedReady a pod that never became ready, for a wrong image, is not replaced when the image is corrected.
        "podManagementPolicy": "Parallel",
        "selector": { "matchLabels": selector },
        "persistentVolumeClaimRetentionPolicy": { "whenDeleted": storage.when_deleted, "whenScaled": "Retain" },
        "template": template(cluster, image, &resources),
        "volumeClaimTemplates": [claim],
    } });
    vec![
        policy(cluster),
        config_map(cluster, name.clone(), Component::ClickHouse, data),
        whole(
            Kind::Service,
            json!({ "spec": { "type": "ClusterIP", "selector": selector, "ports": [port] } }),
        ),
        whole(Kind::StatefulSet, stateful_set),
    ]
}

/// In: what fills it, pods that somebody said may ask it, and Superset. Out: nothing.
fn policy(cluster: &ValidatedCluster) -> Object {
    let name = names::clickhouse(&cluster.name);
    let askers = json!({ "matchLabels": { ACCESS_LABEL: name } });
    let from = json!([
        { "podSelector": network::pods(cluster, None, Component::Analytics) },
        { "podSelector": askers },
        { "podSelector": network::pods(cluster, None, Component::Superset) },
    ]);
    let spec = json!({
        "podSelector": network::pods(cluster, None, Component::ClickHouse),
        "policyTypes": ["Ingress"],
        "ingress": [{ "from": from, "ports": [network::tcp(CLICKHOUSE_PORT)] }],
    });
    network::policy(cluster, name, None, spec)
}

fn template(cluster: &ValidatedCluster, image: &str, resources: &Value) -> Value {
    let name = names::clickhouse(&cluster.name);
    let probe = |period: u32, failures: u32| json!({ "httpGet": { "path": "/ping", "port": "http" }, "periodSeconds": period, "timeoutSeconds": 5, "failureThreshold": failures });
    let password =
        json!({ "name": "CLICKHOUSE_PASSWORD", "valueFrom": { "secretKeyRef": { "name": name, "key": "password" } } });
    let container = pod::container(
        "clickhouse",
        image,
        json!({
            "command": ["clickhouse-server", format!("--config-file={CONFIG}/config.xml")],
            "env": [password],
            "ports": [{ "name": "http", "containerPort": CLICKHOUSE_PORT, "protocol": "TCP" }],
            "resources": resources,
            // Loading many parts takes a while.
            "startupProbe": probe(1, 300),
            "readinessProbe": probe(5, 3),
            "livenessProbe": probe(10, 6),
            "volumeMounts": [
                { "name": "data", "mountPath": "/var/lib/clickhouse" },
                { "name": "config", "mountPath": CONFIG, "readOnly": true },
                { "name": "tmp", "mountPath": "/tmp" },
            ],
        }),
    );
    let spec = json!({
        "terminationGracePeriodSeconds": 60,
        "containers": [container],
        "volumes": [
            { "name": "config", "configMap": { "name": name, "defaultMode": 0o440 } },
            { "name": "tmp", "emptyDir": {} },
        ],
    });
    let mut template = pod::template(cluster, None, Component::ClickHouse, USER, spec);
    template["metadata"]["annotations"][CONFIG_ANNOTATION] = hash(&files()).into();
    template
}
