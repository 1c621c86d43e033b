//! The seeder: one pod with a volume for its journals. To each site it is what an application is, and reaches it cut or not: it stands for the
//! people at that site, and carries nothing from one to another.

use serde_json::{Value, json};

use super::connector::{MOUNTS, USER};
use super::network::{external_postgres, pods, policy, tcp};
use super::postgres::claim;
use super::{HTTP_PORT, Kind, Object, POSTGRES_PORT, WEB_PORT, object, pod};
use crate::api::Seeder;
use crate::names::{self, ACCESS_LABEL, Component, Role};
use crate::validate::ValidatedCluster;

const DATA: &str = "/var/lib/synccluster";
/// Port of the Service.
const PORT: u16 = 80;

/// Who reaches it, Service and StatefulSet.
pub fn seeder(cluster: &ValidatedCluster, wanted: &Seeder) -> Vec<Object> {
    let name = names::seeder(&cluster.name);
    let whole = |kind, rest| object(cluster, kind, name.clone(), None, Some(Component::Seeder), rest);
    let selector = names::selector(&cluster.name, None, Component::Seeder);
    let labels = names::labels(&cluster.name, None, Some(Component::Seeder));
    vec![
        network(cluster),
        whole(
            Kind::Service,
            json!({ "spec": {
                "type": "ClusterIP",
                "selector": selector,
                "ports": [{ "name": "web", "port": PORT, "targetPort": "web", "protocol": "TCP" }],
            } }),
        ),
        // One that moves to another node takes its journals with it.
        whole(
            Kind::StatefulSet,
            json!({ "spec": {
                "replicas": 1,
                "serviceName": name,
                "selector": { "matchLabels": selector },
                "persistentVolumeClaimRetentionPolicy": { "whenDeleted": "Delete", "whenScaled": "Delete" },
                "template": template(cluster, wanted),
                "volumeClaimTemplates": [claim(labels, &wanted.storage.size, wanted.storage.class.as_deref())],
            } }),
        ),
    ]
}

/// In: pods that carry its label. Out: every site's database.
fn network(cluster: &ValidatedCluster) -> Object {
    let mut out = vec![
        json!({ "to": [{ "podSelector": pods(cluster, None, Component::Postgres) }], "ports": [tcp(POSTGRES_PORT)] }),
    ];
    out.extend(external_postgres(cluster));
    let callers = json!({ "matchLabels": { ACCESS_LABEL: names::seeder(&cluster.name) } });
    let spec = json!({
        "podSelector": pods(cluster, None, Component::Seeder),
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{ "from": [{ "podSelector": callers }], "ports": [tcp(WEB_PORT)] }],
        "egress": out,
    });
    policy(cluster, names::seeder(&cluster.name), None, spec)
}

fn template(cluster: &ValidatedCluster, wanted: &Seeder) -> Value {
    let mut own = pod::served();
    if let Some(ports) = own.get_mut("ports").and_then(Value::as_array_mut) {
        ports.push(json!({ "name": "web", "containerPort": WEB_PORT, "protocol": "TCP" }));
    }
    let variables = [
        ("SYNC_SITES_DIR", format!("{MOUNTS}/sites")),
        ("SYNC_ACCESS_DIR", format!("{MOUNTS}/access")),
        // Below the volume's root, where some file systems have a lost+found.
        ("SEEDER_JOURNAL", format!("{DATA}/seeder")),
        ("SYNC_LISTEN", format!("0.0.0.0:{HTTP_PORT}")),
        ("SYNC_WEB_LISTEN", format!("0.0.0.0:{WEB_PORT}")),
    ];
    own.insert("command".to_owned(), json!(["synccluster-seeder", "serve"]));
    own.insert("env".to_owned(), pod::env(&variables));
    own.insert("resources".to_owned(), resources(wanted));
    own.insert(
        "volumeMounts".to_owned(),
        json!([
            { "name": "sites", "mountPath": format!("{MOUNTS}/sites"), "readOnly": true },
            { "name": "access", "mountPath": format!("{MOUNTS}/access"), "readOnly": true },
            { "name": "data", "mountPath": DATA },
        ]),
    );
    let spec = json!({
        "containers": [pod::container("seeder", &cluster.image, Value::Object(own))],
        "volumes": [
            pod::sites_volume(cluster, Role::App),
            pod::secret_volume("access", &names::seeder(&cluster.name)),
        ],
    });
    pod::template(cluster, None, Component::Seeder, USER, spec)
}

fn resources(wanted: &Seeder) -> Value {
    match &wanted.resources {
        Some(resources) => json!(resources),
        None => json!({ "requests": { "cpu": "20m", "memory": "64Mi" }, "limits": { "memory": "512Mi" } }),
    }
}
