//! What all pods have in common: restricted pod security, a read-only root, labels, spreading over nodes.

use serde_json::{Map, Value, json};
use synccluster_protocol::Site;

use super::{HTTP_PORT, hash};
use crate::names::{self, Component, Role, TEMPLATE_ANNOTATION};
use crate::validate::ValidatedCluster;

/// Keys of a role's Secret that tell where a site is and how to come in.
const SITE_KEYS: [&str; 5] = ["username", "password", "host", "port", "dbname"];

/// A pod template from its spec. `user` is user and group of its processes and of its files.
pub fn template(cluster: &ValidatedCluster, site: Option<Site>, component: Component, user: u32, spec: Value) -> Value {
    let mut whole = json!({
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": user,
            "runAsGroup": user,
            "fsGroup": user,
            // A recursive chmod at every start would make Postgres refuse its own directory.
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        // Preferred, not required: everything fits on one node too.
        "topologySpreadConstraints": [{
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": { "matchLabels": names::selector(&cluster.name, None, component) },
        }],
    });
    if let (Value::Object(whole), Value::Object(spec)) = (&mut whole, spec) {
        whole.extend(spec);
    }
    let labels = names::labels(&cluster.name, site, Some(component));
    let hash = hash(&(&labels, &whole));
    json!({ "metadata": { "labels": labels, "annotations": { TEMPLATE_ANNOTATION: hash } }, "spec": whole })
}

/// A container; `rest` is what it has of its own.
pub fn container(name: &str, image: &str, rest: Value) -> Value {
    let mut container = json!({
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        // The last lines of a container that failed end up in the status of the resource.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        },
    });
    if let (Value::Object(container), Value::Object(rest)) = (&mut container, rest) {
        container.extend(rest);
    }
    container
}

/// Environment variables, in the order given.
pub fn env(variables: &[(&str, String)]) -> Value {
    variables
        .iter()
        .map(|(name, value)| json!({ "name": name, "value": value }))
        .collect()
}

/// A Secret as files only its group can read.
pub fn secret_volume(volume: &str, secret: &str) -> Value {
    json!({ "name": volume, "secret": { "secretName": secret, "defaultMode": 0o440 } })
}

/// Every site as this role comes in: a folder each, with what tells where it is.
pub fn sites_volume(cluster: &ValidatedCluster, role: Role) -> Value {
    let sites: Vec<Value> = cluster
        .sites()
        .map(|site| {
            let items = SITE_KEYS.map(|key| json!({ "key": key, "path": format!("{site}/{key}") }));
            json!({ "secret": { "name": names::of_site(&cluster.name, site, role.suffix()), "items": items } })
        })
        .collect();
    json!({ "name": "sites", "projected": { "defaultMode": 0o440, "sources": sites } })
}

/// Ports and probes of a workload that serves `/livez` and `/readyz`.
pub fn served() -> Map<String, Value> {
    let get = |path: &str| json!({ "path": path, "port": "http" });
    let mut served = Map::new();
    served.insert(
        "ports".to_owned(),
        json!([{ "name": "http", "containerPort": HTTP_PORT, "protocol": "TCP" }]),
    );
    served.insert(
        "readinessProbe".to_owned(),
        json!({ "httpGet": get("/readyz"), "periodSeconds": 2, "timeoutSeconds": 2, "failureThreshold": 3 }),
    );
    served.insert(
        "livenessProbe".to_owned(),
        json!({ "httpGet": get("/livez"), "periodSeconds": 10, "timeoutSeconds": 3, "failureThreshold": 6 }),
    );
    served
}

/// What connector, sink and migrations ask for and may use. At rest they hold about 10 MB; a sink holds a transaction's records until it ends.
pub fn workload_resources() -> Value {
    json!({ "requests": { "cpu": "10m", "memory": "32Mi" }, "limits": { "memory": "192Mi" } })
}
