//! Superset: one pod on one volume. Its init container migrates its own database and provisions connections, datasets and the dashboard.

use serde_json::{Value, json};

use super::analytics::{clickhouse_volume, way_to_clickhouse};
use super::connector::MOUNTS;
use super::postgres::claim;
use super::{Kind, Object, POSTGRES_PORT, network, object, pod};
use crate::names::{self, ACCESS_LABEL, Component, Role};
use crate::validate::{Superset, ValidatedCluster};

const PORT: u16 = 8088;
const USER: u32 = 65532;
const HOME: &str = "/var/lib/superset";

/// NetworkPolicy, Service and StatefulSet.
pub fn superset(cluster: &ValidatedCluster, wanted: &Superset) -> Vec<Object> {
    let name = names::superset(&cluster.name);
    let whole = |kind, rest| object(cluster, kind, name.clone(), None, Some(Component::Superset), rest);
    let selector = names::selector(&cluster.name, None, Component::Superset);
    let service = json!({ "spec": {
        "type": "ClusterIP",
        "selector": selector,
        "ports": [{ "name": "web", "port": 80, "targetPort": "web", "protocol": "TCP" }],
    } });
    let labels = names::labels(&cluster.name, None, Some(Component::Superset));
    let claim = claim(labels, &wanted.storage.size, wanted.storage.class.as_deref());
    let stateful_set = json!({ "spec": {
        "replicas": 1,
        "serviceName": name,
        // With OrderedReady a pod that never became ready, for a wrong image, is not replaced when the image is corrected.
        "podManagementPolicy": "Parallel",
        "selector": { "matchLabels": selector },
        "persistentVolumeClaimRetentionPolicy": { "whenDeleted": "Delete", "whenScaled": "Retain" },
        "template": template(cluster, wanted),
        "volumeClaimTemplates": [claim],
    } });
    vec![
        policy(cluster),
        whole(Kind::Service, service),
        whole(Kind::StatefulSet, stateful_set),
    ]
}

/// Out: ClickHouse, and every site's database, cut or not: like the gateway it shows each site to the people there, and carries nothing from one to another.
/// In: pods that somebody said may.
fn policy(cluster: &ValidatedCluster) -> Object {
    let name = names::superset(&cluster.name);
    let databases = json!([{ "podSelector": network::pods(cluster, None, Component::Postgres) }]);
    let mut out = vec![json!({ "to": databases, "ports": [network::tcp(POSTGRES_PORT)] })];
    out.extend(network::external_postgres(cluster));
    out.extend(
        cluster
            .analytics
            .iter()
            .map(|wanted| way_to_clickhouse(cluster, wanted)),
    );
    let spec = json!({
        "podSelector": network::pods(cluster, None, Component::Superset),
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{ "from": [{ "podSelector": { "matchLabels": { ACCESS_LABEL: name } } }], "ports": [network::tcp(PORT)] }],
        "egress": out,
    });
    network::policy(cluster, name, None, spec)
}

fn template(cluster: &ValidatedCluster, wanted: &Superset) -> Value {
    let mut variables = vec![
        ("SUPERSET_HOME", HOME.to_owned()),
        ("SUPERSET_ACCESS_DIR", format!("{MOUNTS}/access")),
        ("SUPERSET_LISTEN", format!("0.0.0.0:{PORT}")),
        ("SYNC_SITES_DIR", format!("{MOUNTS}/sites")),
        ("HOME", HOME.to_owned()),
    ];
    let read = |volume: &str| json!({ "name": volume, "mountPath": format!("{MOUNTS}/{volume}"), "readOnly": true });
    let mut mounts = vec![
        read("sites"),
        read("access"),
        json!({ "name": "data", "mountPath": HOME }),
        json!({ "name": "tmp", "mountPath": "/tmp" }),
    ];
    let mut volumes = vec![
        pod::sites_volume(cluster, Role::Gateway),
        pod::secret_volume("access", &names::superset(&cluster.name)),
        json!({ "name": "tmp", "emptyDir": {} }),
    ];
    if let Some(analytics) = &cluster.analytics {
        variables.push(("SYNC_CLICKHOUSE_DIR", format!("{MOUNTS}/clickhouse")));
        mounts.push(read("clickhouse"));
        volumes.push(clickhouse_volume(cluster, analytics));
    }
    let env = pod::env(&variables);
    let resources = match &wanted.resources {
        Some(resources) => json!(resources),
        None => json!({ "requests": { "cpu": "50m", "memory": "384Mi" }, "limits": { "memory": "1Gi" } }),
    };
    let container = |name: &str, rest: Value| {
        let mut whole = json!({
            "command": ["/opt/superset/run.sh", name],
            "env": env,
            "resources": resources,
            "volumeMounts": mounts,
        });
        if let (Value::Object(whole), Value::Object(rest)) = (&mut whole, rest) {
            whole.extend(rest);
        }
        pod::container(name, &wanted.image, whole)
    };
    let probe = |period: u32, failures: u32| json!({ "httpGet": { "path": "/health", "port": "web" }, "periodSeconds": period, "timeoutSeconds": 5, "failureThreshold": failures });
    let serve = json!({
        "ports": [{ "name": "web", "containerPort": PORT, "protocol": "TCP" }],
        "startupProbe": probe(2, 150),
        "readinessProbe": probe(5, 3),
        "livenessProbe": probe(20, 6),
    });
    let spec = json!({
        "initContainers": [container("init", json!({}))],
        "containers": [container("serve", serve)],
        "volumes": volumes,
    });
    pod::template(cluster, None, Component::Superset, USER, spec)
}
