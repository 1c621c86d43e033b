//! What all pods have in common: restricted pod security, a read-only root, labels, spreading over nodes.

use serde_json::{Map, Value, json};
use synccluster_protocol::Site;
use synccluster_runtime::postgres::secret::{AUTHORITY_KEY, EXTERNAL, MODE_KEY, PLACE_KEYS, USER_KEYS};

use super::{HTTP_PORT, access, hash};
use crate::names::{self, Component, Role, TEMPLATE_ANNOTATION};
use crate::validate::{ValidatedCluster, server::External};

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
    access::add_secret(cluster, component, &mut whole);
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
    let of_site = |site: Site| {
        if let Some(external) = cluster.external_postgres(site) {
            external_sources(cluster, external, site, role, &format!("{site}/"))
        } else {
            let secret = names::of_site(&cluster.name, site, role.suffix());
            vec![items(&secret, &SITE_KEYS, &format!("{site}/"))]
        }
    };
    let sites: Vec<Value> = cluster.sites().flat_map(of_site).collect();
    projected("sites", sites)
}

/// A site as this role comes in.
pub fn site_volume(cluster: &ValidatedCluster, site: Site, role: Role, volume: &str) -> Value {
    match cluster.external_postgres(site) {
        Some(external) => projected(volume, external_sources(cluster, external, site, role, "")),
        None => secret_volume(volume, &names::of_site(&cluster.name, site, role.suffix())),
    }
}

/// The roles that are made in an external Postgres, a folder each, for who makes them.
pub fn made_roles_volume(cluster: &ValidatedCluster, site: Site) -> Value {
    let of_role = |role: Role| {
        let secret = names::of_site(&cluster.name, site, role.suffix());
        items(&secret, &USER_KEYS, &format!("{}/", role.suffix()))
    };
    projected("roles", Role::MADE_OUTSIDE.map(of_role).into())
}

/// Of an external Postgres: as whom, and below `external` where it is. Somebody else writes that Secret, so a pod does not wait for it: who connects says what it lacks.
fn external_sources(
    cluster: &ValidatedCluster,
    external: &External,
    site: Site,
    role: Role,
    folder: &str,
) -> Vec<Value> {
    let user = if Role::MADE_OUTSIDE.contains(&role) {
        items(&names::of_site(&cluster.name, site, role.suffix()), &USER_KEYS, folder)
    } else {
        optional(items(&external.secret, &USER_KEYS, folder))
    };
    let mut keys = PLACE_KEYS.to_vec();
    keys.extend([AUTHORITY_KEY, MODE_KEY]);
    vec![
        user,
        optional(items(&external.secret, &keys, &format!("{folder}{EXTERNAL}/"))),
    ]
}

fn items(secret: &str, keys: &[&str], folder: &str) -> Value {
    let items: Vec<Value> = keys
        .iter()
        .map(|key| json!({ "key": key, "path": format!("{folder}{key}") }))
        .collect();
    json!({ "secret": { "name": secret, "items": items } })
}

fn optional(mut source: Value) -> Value {
    source["secret"]["optional"] = true.into();
    source
}

fn projected(volume: &str, sources: Vec<Value>) -> Value {
    json!({ "name": volume, "projected": { "defaultMode": 0o440, "sources": sources } })
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
