//! Superset: its init container migrates its own database and provisions connections, datasets and the dashboard.

use serde_json::{Value, json};

use super::analytics::{clickhouse_volume, way_to_clickhouse};
use super::connector::MOUNTS;
use super::{Object, looks, pod};
use crate::names::{self, Component};
use crate::validate::{Superset, ValidatedCluster};

const PORT: u16 = 8088;
const HOME: &str = "/var/lib/superset";

/// NetworkPolicy, Service and StatefulSet. It reaches ClickHouse, beside the sites.
pub fn superset(cluster: &ValidatedCluster, wanted: &Superset) -> Vec<Object> {
    let clickhouse = cluster
        .analytics
        .iter()
        .map(|wanted| way_to_clickhouse(cluster, wanted));
    looks::one_pod(
        cluster,
        Component::Superset,
        (names::superset(&cluster.name), PORT),
        &wanted.storage,
        template(cluster, wanted),
        clickhouse,
    )
}

fn template(cluster: &ValidatedCluster, wanted: &Superset) -> Value {
    let mut variables = vec![
        ("SUPERSET_HOME", HOME.to_owned()),
        ("SUPERSET_ACCESS_DIR", format!("{MOUNTS}/access")),
        ("SUPERSET_LISTEN", format!("0.0.0.0:{PORT}")),
        ("SYNC_SITES_DIR", format!("{MOUNTS}/sites")),
        ("HOME", HOME.to_owned()),
    ];
    let (mut volumes, mut mounts) = looks::places(cluster, &names::superset(&cluster.name), HOME);
    if let Some(analytics) = &cluster.analytics {
        variables.push(("SYNC_CLICKHOUSE_DIR", format!("{MOUNTS}/clickhouse")));
        mounts.push(looks::read("clickhouse"));
        volumes.push(clickhouse_volume(cluster, analytics));
    }
    let env = pod::env(&variables);
    let resources = match &wanted.resources {
        Some(resources) => json!(resources),
        None => json!({ "requests": { "cpu": "50m", "memory": "384Mi" }, "limits": { "memory": "1Gi" } }),
    };
    let container = |name: &str, mut rest: Value| {
        rest["command"] = json!(["/opt/superset/run.sh", name]);
        rest["env"] = env.clone();
        rest["resources"] = resources.clone();
        rest["volumeMounts"] = mounts.clone().into();
        pod::container(name, &wanted.image, rest)
    };
    let spec = json!({
        "initContainers": [container("init", json!({}))],
        "containers": [container("serve", looks::serving("/health", PORT))],
        "volumes": volumes,
    });
    pod::template(cluster, None, Component::Superset, looks::USER, spec)
}
