//! A site's Postgres: one pod on one volume.

use serde_json::{Map, Value, json};
use synccluster_protocol::Site;

use super::{Kind, Object, POSTGRES_PORT, config_map, hash, object, pod};
use crate::names::{self, CONFIG_ANNOTATION, Component, PASSWORDS_ANNOTATION, Role};
use crate::passwords::Passwords;
use crate::validate::ValidatedCluster;

const USER: u32 = 999;
const DATA: &str = "/var/lib/postgresql/data/pgdata";
const CONFIG: &str = "/etc/synccluster";

/// The files every site's Postgres starts from.
fn files() -> [(&'static str, &'static str); 3] {
    [
        ("start.sh", include_str!("files/start-postgres.sh")),
        ("pg_hba.conf", include_str!("files/pg_hba.conf")),
        (
            "bootstrap.sql",
            include_str!("../../../workloads/schema/sql/bootstrap.sql"),
        ),
    ]
}

fn shared_name(cluster: &ValidatedCluster) -> String {
    names::of_cluster(&cluster.name, "postgres")
}

/// What all sites share.
pub fn shared(cluster: &ValidatedCluster) -> Vec<Object> {
    let data: Map<String, Value> = files()
        .into_iter()
        .map(|(name, text)| (name.to_owned(), text.into()))
        .collect();
    vec![config_map(cluster, shared_name(cluster), Component::Postgres, data)]
}

/// A site's Service and StatefulSet.
pub fn postgres(cluster: &ValidatedCluster, site: Site) -> Vec<Object> {
    let name = names::site(&cluster.name, site);
    let selector = names::selector(&cluster.name, Some(site), Component::Postgres);
    let whole = |kind, rest| object(cluster, kind, name.clone(), Some(site), Some(Component::Postgres), rest);
    let service = json!({ "spec": {
        "clusterIP": "None",
        // Whoever waits for the database should find its address before it is ready.
        "publishNotReadyAddresses": true,
        "selector": selector,
        "ports": [{ "name": "postgres", "port": POSTGRES_PORT, "targetPort": "postgres", "protocol": "TCP" }],
    } });
    let storage = &cluster.postgres.storage;
    let claim = claim(
        names::labels(&cluster.name, Some(site), Some(Component::Postgres)),
        &storage.size,
        storage.class.as_deref(),
    );
    let stateful_set = json!({ "spec": {
        "replicas": 1,
        "serviceName": name,
        // With OrderedReady a pod that never became ready, for a wrong image, is not replaced when the image is corrected.
        "podManagementPolicy": "Parallel",
        "selector": { "matchLabels": selector },
        // Holds when the SyncCluster is deleted. A client that is scaled away loses its StatefulSet too: `apply` sees to its volume.
        "persistentVolumeClaimRetentionPolicy": { "whenDeleted": storage.when_deleted, "whenScaled": "Retain" },
        "template": template(cluster, site),
        "volumeClaimTemplates": [claim],
    } });
    let mut stateful_set = whole(Kind::StatefulSet, stateful_set);
    let passwords = cluster.passwords.get(&site);
    for (annotation, text) in passwords.into_iter().flat_map(Passwords::annotations) {
        stateful_set.body["metadata"]["annotations"][annotation] = text.into();
    }
    vec![whole(Kind::Service, service), stateful_set]
}

/// A claim for a volume called `data`.
pub fn claim(labels: Map<String, Value>, size: &str, class: Option<&str>) -> Value {
    let mut spec = json!({ "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": size } } });
    if let Some(class) = class {
        spec["storageClassName"] = class.into();
    }
    json!({ "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "data", "labels": labels }, "spec": spec })
}

fn template(cluster: &ValidatedCluster, site: Site) -> Value {
    let ready = json!({ "exec": { "command": ["pg_isready", "-q", "-h", "127.0.0.1", "-U", "app", "-d", "app"] } });
    let listens = json!({ "tcpSocket": { "port": "postgres" } });
    let probe = |asked: &Value, period: u32, failures: u32| {
        let mut probe = asked.clone();
        probe["periodSeconds"] = period.into();
        probe["timeoutSeconds"] = 5.into();
        probe["failureThreshold"] = failures.into();
        probe
    };
    let container = pod::container(
        "postgres",
        &cluster.postgres.image,
        json!({
            "command": ["bash", format!("{CONFIG}/start.sh")],
            "args": arguments(cluster, site),
            "env": pod::env(&[("PGDATA", DATA.to_owned()), ("MAX_REPLICATION_ORIGINS", slots(site).to_string())]),
            "ports": [{ "name": "postgres", "containerPort": POSTGRES_PORT, "protocol": "TCP" }],
            "resources": resources(cluster),
            // Recovery after a crash may take minutes; only then do the other probes count.
            "startupProbe": probe(&ready, 1, 900),
            // A process in the container costs the node some hundredths of a second each time: seldom, then, and not to see that it lives.
            "readinessProbe": probe(&ready, 10, 2),
            "livenessProbe": probe(&listens, 10, 6),
            // SIGTERM alone would wait until every client has gone.
            "lifecycle": { "preStop": { "exec": { "command": ["pg_ctl", "stop", "--mode=fast", "--no-wait"] } } },
            "volumeMounts": [
                { "name": "data", "mountPath": "/var/lib/postgresql" },
                { "name": "config", "mountPath": CONFIG, "readOnly": true },
                { "name": "run", "mountPath": "/var/run/postgresql" },
                { "name": "tmp", "mountPath": "/tmp" },
            ],
        }),
    );
    let passwords = Role::ALL.map(|role| {
        let path = format!("roles/{}/password", role.suffix());
        json!({ "secret": {
            "name": names::of_site(&cluster.name, site, role.suffix()),
            "items": [{ "key": "password", "path": path }],
        } })
    });
    let mut sources = vec![json!({ "configMap": { "name": shared_name(cluster) } })];
    sources.extend(passwords);
    let spec = json!({
        "terminationGracePeriodSeconds": 60,
        "containers": [container],
        "volumes": [
            { "name": "config", "projected": { "defaultMode": 0o440, "sources": sources } },
            { "name": "run", "emptyDir": {} },
            { "name": "tmp", "emptyDir": {} },
        ],
    });
    let mut template = pod::template(cluster, Some(site), Component::Postgres, USER, spec);
    template["metadata"]["annotations"][CONFIG_ANNOTATION] = hash(&files()).into();
    let mark = cluster
        .passwords
        .get(&site)
        .and_then(|passwords| passwords.mark.as_deref());
    if let Some(mark) = mark {
        template["metadata"]["annotations"][PASSWORDS_ANNOTATION] = mark.into();
    }
    template
}

fn resources(cluster: &ValidatedCluster) -> Value {
    match &cluster.postgres.resources {
        Some(resources) => json!(resources),
        None => json!({ "requests": { "cpu": "50m", "memory": "128Mi" } }),
    }
}

/// Connections in replication mode that a site may have: its connector's, the gateway's, somebody's own.
const WAL_SENDERS: u32 = 16;

/// Replication slots and origins a site may need. The server has an origin for every client it has ever heard of: as many as there may be,
/// whatever there are now, because it does not start with room for fewer than it has.
fn slots(site: Site) -> u32 {
    match site {
        Site::Server => 1024,
        Site::Client(_) => 16,
    }
}

fn arguments(cluster: &ValidatedCluster, site: Site) -> Vec<String> {
    let slots = slots(site);
    let decided = [
        ("listen_addresses".to_owned(), "*".to_owned()),
        ("wal_level".to_owned(), "logical".to_owned()),
        ("max_replication_slots".to_owned(), slots.to_string()),
        ("max_wal_senders".to_owned(), WAL_SENDERS.to_string()),
        (
            "max_slot_wal_keep_size".to_owned(),
            format!("{}MB", cluster.postgres.max_slot_wal_keep_mb),
        ),
        // The gateway tells when a row arrived at a site.
        ("track_commit_timestamp".to_owned(), "on".to_owned()),
        ("unix_socket_directories".to_owned(), "/var/run/postgresql".to_owned()),
        ("hba_file".to_owned(), format!("{CONFIG}/pg_hba.conf")),
    ];
    let written = cluster.postgres.parameters.clone();
    written
        .into_iter()
        .chain(decided)
        .flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")])
        .collect()
}
