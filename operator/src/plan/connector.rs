//! A site's uplink: migrations first, then the connector.

use serde_json::{Value, json};
use synccluster_protocol::Site;

use super::access::bootstrap_servers;
use super::{HTTP_PORT, Kind, Object, debezium, object, pod};
use crate::names::{self, Component, Role};
use crate::validate::connector::Engine;
use crate::validate::{Migrations, ValidatedCluster};

/// User of the image.
pub const USER: u32 = 65532;
/// Where a Deployment's mounts are.
pub const MOUNTS: &str = "/etc/synccluster";

/// The Deployment; `None` where a ConfigMap it needs is not there, or cannot be used.
pub fn connector(cluster: &ValidatedCluster, site: Site) -> Option<Object> {
    let (files, hash) = match &cluster.migrations {
        Migrations::Missing { .. } => return None,
        Migrations::None => (json!({ "name": "migrations", "emptyDir": {} }), None),
        Migrations::Found { config_map, hash } => {
            let files = json!({ "name": "migrations", "configMap": { "name": config_map, "defaultMode": 0o444 } });
            (files, Some(hash))
        }
    };
    let secret = |volume: &str, role: Role| pod::site_volume(cluster, site, role, volume);
    let mount = |volume: &str| json!({ "name": volume, "mountPath": format!("{MOUNTS}/{volume}"), "readOnly": true });
    let mut volumes = vec![
        secret("admin", Role::Admin),
        secret("app", Role::App),
        secret("postgres", Role::Connector),
        files,
    ];
    let mut mounts = vec![mount("admin"), mount("app"), mount("migrations")];
    if cluster.external_postgres(site).is_some() {
        mounts.push(mount("roles"));
        volumes.push(pod::made_roles_volume(cluster, site));
    }
    let schema = pod::container(
        "schema",
        &cluster.image,
        json!({
            "command": ["synccluster-schema", "migrate"],
            "env": schema_env(cluster, site),
            "resources": pod::workload_resources(),
            "volumeMounts": mounts,
        }),
    );
    let mut init = vec![schema];
    let mut settings = None;
    let container = match &cluster.engine {
        Engine::Native => native(cluster, site, mount("postgres")),
        Engine::Debezium(debezium) => {
            let templates = debezium.templates.as_ref().ok()?.as_ref();
            settings = templates.map(|templates| &templates.hash);
            let parts = debezium::parts(cluster, site, debezium, templates);
            init.push(parts.init);
            volumes.extend(parts.volumes);
            parts.container
        }
    };
    let spec = json!({ "initContainers": init, "containers": [container], "volumes": volumes });
    let mut template = pod::template(cluster, Some(site), Component::Connector, USER, spec);
    // Changed migrations run, and changed settings hold, because their pods are made anew.
    for (annotation, hash) in [
        ("synccluster.dev/migrations", hash),
        ("synccluster.dev/connector-settings", settings),
    ] {
        if let Some(hash) = hash {
            template["metadata"]["annotations"][annotation] = hash.clone().into();
        }
    }
    Some(deployment(cluster, site, Component::Connector, template))
}

fn native(cluster: &ValidatedCluster, site: Site, secret: Value) -> Value {
    let mut own = pod::served();
    own.insert("command".to_owned(), json!(["synccluster-connector", "run"]));
    own.insert("env".to_owned(), pod::env(&common_env(cluster, site)));
    own.insert("resources".to_owned(), pod::workload_resources());
    own.insert("volumeMounts".to_owned(), json!([secret]));
    pod::container("connector", &cluster.image, Value::Object(own))
}

/// A Deployment of one pod that is never there twice: a slot has one reader, a target one writer.
pub fn deployment(cluster: &ValidatedCluster, site: Site, component: Component, template: Value) -> Object {
    let rest = json!({ "spec": {
        "replicas": 1,
        "revisionHistoryLimit": 1,
        "strategy": { "type": "Recreate" },
        "selector": { "matchLabels": names::selector(&cluster.name, Some(site), component) },
        "template": template,
    } });
    let name = names::of_site(&cluster.name, site, component.as_str());
    object(cluster, Kind::Deployment, name, Some(site), Some(component), rest)
}

fn schema_env(cluster: &ValidatedCluster, site: Site) -> Value {
    let mut variables = vec![
        ("SYNC_CLUSTER", cluster.name.to_string()),
        ("SYNC_SITE", site.to_string()),
        ("SYNC_ADMIN_SECRET", format!("{MOUNTS}/admin")),
        ("SYNC_APP_SECRET", format!("{MOUNTS}/app")),
        ("SYNC_MIGRATIONS", format!("{MOUNTS}/migrations")),
    ];
    if !cluster.tables.is_empty() {
        let tables: Vec<String> = cluster.tables.iter().map(ToString::to_string).collect();
        variables.push(("SYNC_TABLES", tables.join(",")));
    }
    if cluster.external_postgres(site).is_some() {
        variables.push(("SYNC_EXTERNAL_ROLES", format!("{MOUNTS}/roles")));
        variables.push(("SYNC_OWNER", format!("{}/{}", cluster.namespace, cluster.name)));
    }
    pod::env(&variables)
}

/// What every workload is told.
pub fn common_env(cluster: &ValidatedCluster, site: Site) -> Vec<(&'static str, String)> {
    vec![
        ("SYNC_CLUSTER", cluster.name.to_string()),
        ("SYNC_SITE", site.to_string()),
        ("SYNC_POSTGRES_SECRET", format!("{MOUNTS}/postgres")),
        ("KAFKA_BOOTSTRAP_SERVERS", bootstrap_servers(cluster)),
        ("SYNC_LISTEN", format!("0.0.0.0:{HTTP_PORT}")),
        // glibc keeps an arena for each thread, and what was freed: after one large transaction a workload would hold its peak for ever.
        ("MALLOC_ARENA_MAX", "1".to_owned()),
        ("MALLOC_TRIM_THRESHOLD_", "262144".to_owned()),
    ]
}
