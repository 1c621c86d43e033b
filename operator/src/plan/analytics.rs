//! What fills ClickHouse from the server's topic.

use serde_json::{Value, json};
use synccluster_protocol::Site;
use synccluster_protocol::definitions::KEY;

use super::access::way_out;
use super::connector::{MOUNTS, USER, common_env};
use super::{CLICKHOUSE_PORT, HTTP_PORT, Kind, Object, POSTGRES_PORT, network, object, pod};
use crate::names::{self, Component, Role};
use crate::validate::{Analytics, ClickHouse, ValidatedCluster};

/// Deployment and NetworkPolicy.
pub fn analytics(cluster: &ValidatedCluster, wanted: &Analytics) -> Vec<Object> {
    let deployment = json!({ "spec": {
        "replicas": 1,
        "revisionHistoryLimit": 1,
        // Two would write the same rows twice; that does no harm, and no good.
        "strategy": { "type": "Recreate" },
        "selector": { "matchLabels": names::selector(&cluster.name, None, Component::Analytics) },
        "template": template(cluster, wanted),
    } });
    let name = names::analytics(&cluster.name);
    vec![
        policy(cluster, wanted),
        object(
            cluster,
            Kind::Deployment,
            name,
            None,
            Some(Component::Analytics),
            deployment,
        ),
    ]
}

/// The Secret that says where ClickHouse is.
pub fn secret(cluster: &ValidatedCluster, wanted: &Analytics) -> String {
    match &wanted.clickhouse {
        ClickHouse::Managed { .. } => names::clickhouse(&cluster.name),
        ClickHouse::External { secret, .. } => secret.clone(),
    }
}

/// To Kafka and the server's database, to which no cut applies: it is at no site. To ClickHouse. In: the operator.
fn policy(cluster: &ValidatedCluster, wanted: &Analytics) -> Object {
    let to = |site, component| json!([{ "podSelector": network::pods(cluster, site, component) }]);
    let server = json!({ "to": to(Some(Site::Server), Component::Postgres), "ports": [network::tcp(POSTGRES_PORT)] });
    let spec = json!({
        "podSelector": network::pods(cluster, None, Component::Analytics),
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{ "from": [network::operator_pods(cluster)], "ports": [network::tcp(HTTP_PORT)] }],
        "egress": [
            way_out(cluster),
            network::external_postgres(cluster).unwrap_or(server),
            way_to_clickhouse(cluster, wanted),
        ],
    });
    network::policy(cluster, names::analytics(&cluster.name), None, spec)
}

/// Out to ClickHouse: the operator's by its label, somebody else's by its port, because no selector finds what is outside.
pub fn way_to_clickhouse(cluster: &ValidatedCluster, wanted: &Analytics) -> Value {
    match wanted.clickhouse {
        ClickHouse::Managed { .. } => {
            let to = network::pods(cluster, None, Component::ClickHouse);
            json!({ "to": [{ "podSelector": to }], "ports": [network::tcp(CLICKHOUSE_PORT)] })
        }
        ClickHouse::External { port, .. } => json!({ "ports": [network::tcp(port)] }),
    }
}

/// The Secret of ClickHouse as a folder. What is missing is said by the one who reads it; a pod that waits for a volume says nothing.
pub fn clickhouse_volume(cluster: &ValidatedCluster, wanted: &Analytics) -> Value {
    let mut volume = pod::secret_volume("clickhouse", &secret(cluster, wanted));
    volume["secret"]["optional"] = true.into();
    volume
}

fn template(cluster: &ValidatedCluster, wanted: &Analytics) -> Value {
    let mount = |volume: &str| json!({ "name": volume, "mountPath": format!("{MOUNTS}/{volume}"), "readOnly": true });
    let mut variables = common_env(cluster, Site::Server);
    variables.push(("CLICKHOUSE_SECRET", format!("{MOUNTS}/clickhouse")));
    variables.push(("CLICKHOUSE_GENERATION", wanted.generation.to_string()));
    if cluster.counter.nodes > 0 {
        variables.push(("COUNTER_AGGREGATIONS_TOPIC", cluster.counter.aggregations_topic.clone()));
    }
    let mut mounts = vec![mount("postgres"), mount("clickhouse")];
    let mut volumes = vec![
        // The role that reads every table and owns none.
        pod::site_volume(cluster, Site::Server, Role::Connector, "postgres"),
        clickhouse_volume(cluster, wanted),
    ];
    if let Some(tables) = &wanted.tables {
        variables.push(("CLICKHOUSE_DEFINITIONS", format!("{MOUNTS}/tables/{KEY}")));
        mounts.push(mount("tables"));
        let config_map = json!({ "name": tables.config_map, "defaultMode": 0o444, "optional": true });
        volumes.push(json!({ "name": "tables", "configMap": config_map }));
    }
    let mut own = pod::served();
    own.insert("command".to_owned(), json!(["synccluster-clickhouse", "run"]));
    own.insert("env".to_owned(), pod::env(&variables));
    own.insert("resources".to_owned(), resources(wanted));
    own.insert("volumeMounts".to_owned(), mounts.into());
    let spec = json!({
        "containers": [pod::container("analytics", &cluster.image, Value::Object(own))],
        "volumes": volumes,
    });
    pod::template(cluster, None, Component::Analytics, USER, spec)
}

fn resources(wanted: &Analytics) -> Value {
    match &wanted.resources {
        Some(resources) => json!(resources),
        None => json!({ "requests": { "cpu": "20m", "memory": "48Mi" }, "limits": { "memory": "192Mi" } }),
    }
}
