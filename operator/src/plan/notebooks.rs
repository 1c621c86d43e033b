//! JupyterLab with notebooks: it looks at every site and into the topics, and writes at sites where somebody said it may.

use serde_json::{Value, json};

use super::access::{bootstrap_servers, way_out};
use super::connector::MOUNTS;
use super::{Object, looks, pod};
use crate::names::{self, Component};
use crate::validate::{Notebooks, ValidatedCluster};

/// Where its image serves.
const PORT: u16 = 8888;
const HOME: &str = "/var/lib/notebooks";

/// NetworkPolicy, Service and StatefulSet. It reaches Kafka, beside the sites.
pub fn notebooks(cluster: &ValidatedCluster, wanted: &Notebooks) -> Vec<Object> {
    looks::one_pod(
        cluster,
        Component::Notebooks,
        (names::notebooks(&cluster.name), PORT),
        &wanted.storage,
        template(cluster, wanted),
        [way_out(cluster)],
    )
}

fn template(cluster: &ValidatedCluster, wanted: &Notebooks) -> Value {
    let mut variables = vec![
        ("SYNC_CLUSTER", cluster.name.to_string()),
        ("SYNC_SITES_DIR", format!("{MOUNTS}/sites")),
        ("KAFKA_BOOTSTRAP_SERVERS", bootstrap_servers(cluster)),
        ("JUPYTER_TOKEN_FILE", format!("{MOUNTS}/access/token")),
        ("HOME", HOME.to_owned()),
    ];
    if !wanted.writes {
        // libpq's; whoever opens a session may still say otherwise.
        variables.push(("PGOPTIONS", "-c default_transaction_read_only=on".to_owned()));
    }
    let (volumes, mounts) = looks::places(cluster, &names::notebooks(&cluster.name), HOME);
    let mut own = looks::serving("/api", PORT);
    own["command"] = json!(["/opt/notebooks/run.sh", "serve"]);
    own["env"] = pod::env(&variables);
    own["volumeMounts"] = mounts.into();
    own["resources"] = match &wanted.resources {
        Some(resources) => json!(resources),
        None => json!({ "requests": { "cpu": "50m", "memory": "256Mi" }, "limits": { "memory": "1Gi" } }),
    };
    let spec = json!({ "containers": [pod::container("jupyter", &wanted.image, own)], "volumes": volumes });
    pod::template(cluster, None, Component::Notebooks, looks::USER, spec)
}
