//! The uplink of engine Debezium: the native one's pod with another container, so that everything around it stays as it is.

use serde_json::{Value, json};
use synccluster_protocol::Site;

use super::connector::{MOUNTS, common_env};
use super::pod;
use crate::validate::ValidatedCluster;
use crate::validate::connector::{Debezium, Templates};

/// Where both containers find the program that starts and watches the worker.
const ENGINE: &str = "/engine";

/// Containers and volumes that differ from the native connector's.
pub struct Parts {
    /// To run before the connector.
    pub init: Value,
    /// The connector.
    pub container: Value,
    /// What the two need.
    pub volumes: Vec<Value>,
}

/// The parts for a site.
pub fn parts(cluster: &ValidatedCluster, site: Site, debezium: &Debezium, templates: Option<&Templates>) -> Parts {
    let mount = |volume: &str, path: String| json!({ "name": volume, "mountPath": path, "readOnly": true });
    // The image holds nothing of ours: the program comes from our own, so that all are always of one build.
    let init = pod::container(
        "engine",
        &cluster.image,
        json!({
            "command": ["cp", "/usr/local/bin/synccluster-debezium", ENGINE],
            "resources": pod::workload_resources(),
            "volumeMounts": [{ "name": "engine", "mountPath": ENGINE }],
        }),
    );
    let mut env = common_env(cluster, site);
    env.push(("CONNECT_SECRETS", format!("{MOUNTS}/secrets")));
    let mut mounts = vec![
        mount("postgres", format!("{MOUNTS}/postgres")),
        mount("engine", ENGINE.to_owned()),
        json!({ "name": "tmp", "mountPath": "/tmp" }),
    ];
    let mut volumes = vec![
        json!({ "name": "engine", "emptyDir": {} }),
        json!({ "name": "tmp", "emptyDir": {} }),
    ];
    if let Some(templates) = templates {
        env.push(("CONNECT_TEMPLATES", format!("{MOUNTS}/templates")));
        mounts.push(mount("templates", format!("{MOUNTS}/templates")));
        volumes
            .push(json!({ "name": "templates", "configMap": { "name": templates.config_map, "defaultMode": 0o444 } }));
        for (number, secret) in templates.secrets.iter().enumerate() {
            // A name of a Secret may be no name of a volume. Optional: a pod that waits for a Secret says nothing, the connector says which it lacks.
            let volume = format!("secret-{number}");
            mounts.push(mount(&volume, format!("{MOUNTS}/secrets/{secret}")));
            volumes.push(
                json!({ "name": volume, "secret": { "secretName": secret, "defaultMode": 0o440, "optional": true } }),
            );
        }
    }
    let resources = match &debezium.resources {
        Some(resources) => json!(resources),
        // 256 MiB of heap, and what Java has beside it.
        None => json!({ "requests": { "cpu": "50m", "memory": "384Mi" }, "limits": { "memory": "768Mi" } }),
    };
    let mut own = pod::served();
    own.insert(
        "command".to_owned(),
        json!([format!("{ENGINE}/synccluster-debezium"), "run"]),
    );
    own.insert("env".to_owned(), pod::env(&env));
    own.insert("resources".to_owned(), resources);
    own.insert("volumeMounts".to_owned(), mounts.into());
    Parts {
        init,
        container: pod::container("connector", &debezium.image, Value::Object(own)),
        volumes,
    }
}
