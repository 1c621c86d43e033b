//! The gateway's pods, and what they may do.

use serde_json::{Value, json};

use super::access::{bootstrap_servers, copies};
use super::connector::{MOUNTS, USER};
use super::counter::address;
use super::{HTTP_PORT, Kind, Object, WEB_PORT, object, pod};
use crate::api::{CountersAccess, GROUP};
use crate::names::{self, Component, Role};
use crate::validate::{Gateway, ValidatedCluster};

/// Account, rights and Deployment.
pub fn gateway(cluster: &ValidatedCluster, wanted: &Gateway) -> Vec<Object> {
    let name = names::gateway(&cluster.name);
    let whole = |kind, rest| object(cluster, kind, name.clone(), None, Some(Component::Gateway), rest);
    let group = "rbac.authorization.k8s.io";
    vec![
        // The pods ask for the token themselves.
        whole(Kind::ServiceAccount, json!({ "automountServiceAccountToken": false })),
        whole(Kind::Role, json!({ "rules": rules(cluster) })),
        whole(
            Kind::RoleBinding,
            json!({
                "roleRef": { "apiGroup": group, "kind": "Role", "name": name },
                "subjects": [{ "kind": "ServiceAccount", "name": name, "namespace": cluster.namespace }],
            }),
        ),
        whole(
            Kind::Deployment,
            json!({ "spec": {
                "replicas": wanted.replicas,
                "revisionHistoryLimit": 1,
                // People stay connected while a new one starts.
                "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } },
                "selector": { "matchLabels": names::selector(&cluster.name, None, Component::Gateway) },
                "template": template(cluster, wanted),
            } }),
        ),
    ]
}

/// Of SyncClusters this one only (list and watch of one name work with a field selector), and of it, by the chart's admission policy, only
/// the partition. The pods and logs it shows cannot be told apart by RBAC: they are those of the namespace.
fn rules(cluster: &ValidatedCluster) -> Value {
    json!([
        {
            "apiGroups": [GROUP],
            "resources": ["syncclusters"],
            "resourceNames": [cluster.name],
            "verbs": ["get", "list", "watch", "patch"],
        },
        { "apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"] },
        { "apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"] },
    ])
}

fn template(cluster: &ValidatedCluster, wanted: &Gateway) -> Value {
    let mut own = pod::served();
    if let Some(ports) = own.get_mut("ports").and_then(Value::as_array_mut) {
        ports.push(json!({ "name": "web", "containerPort": WEB_PORT, "protocol": "TCP" }));
    }
    own.insert("command".to_owned(), json!(["synccluster-gateway", "run"]));
    own.insert("env".to_owned(), env(cluster, wanted));
    own.insert("resources".to_owned(), resources(wanted));
    own.insert(
        "volumeMounts".to_owned(),
        ["sites", "access"]
            .map(|volume| json!({ "name": volume, "mountPath": format!("{MOUNTS}/{volume}"), "readOnly": true }))
            .into(),
    );
    let spec = json!({
        "serviceAccountName": names::gateway(&cluster.name),
        // The one pod that asks Kubernetes something.
        "automountServiceAccountToken": true,
        "containers": [pod::container("gateway", &cluster.image, Value::Object(own))],
        "volumes": [
            pod::sites_volume(cluster, Role::Gateway),
            pod::secret_volume("access", &names::gateway(&cluster.name)),
        ],
    });
    pod::template(cluster, None, Component::Gateway, USER, spec)
}

fn env(cluster: &ValidatedCluster, wanted: &Gateway) -> Value {
    let mut variables = vec![
        ("SYNC_CLUSTER", cluster.name.to_string()),
        ("SYNC_NAMESPACE", cluster.namespace.clone()),
        ("SYNC_SITES_DIR", format!("{MOUNTS}/sites")),
        ("SYNC_ACCESS_DIR", format!("{MOUNTS}/access")),
        ("KAFKA_BOOTSTRAP_SERVERS", bootstrap_servers(cluster)),
        ("SYNC_TOPIC_REPLICATION", copies(cluster)),
        ("SYNC_LISTEN", format!("0.0.0.0:{HTTP_PORT}")),
        ("SYNC_WEB_LISTEN", format!("0.0.0.0:{WEB_PORT}")),
    ];
    if cluster.counter.nodes > 0 {
        variables.push(("COUNTER_ADDRESS", address(cluster)));
        variables.push(("COUNTER_AGGREGATIONS_TOPIC", cluster.counter.aggregations_topic.clone()));
        variables.push(("COUNTER_WINDOWS", cluster.counter.windows.join(",")));
        if wanted.counters == CountersAccess::Anyone {
            variables.push(("SYNC_COUNTERS_ACCESS", "Anyone".to_owned()));
        }
    }
    if let Some(identity) = &wanted.identity {
        variables.push(("SYNC_IDENTITY_HEADER", identity.header.clone()));
        // Nothing listed is nobody, and not somebody without a name.
        if !identity.editors.is_empty() {
            variables.push(("SYNC_EDITORS", identity.editors.join(",")));
        }
    }
    pod::env(&variables)
}

fn resources(wanted: &Gateway) -> Value {
    match &wanted.resources {
        Some(resources) => json!(resources),
        None => json!({ "requests": { "cpu": "20m", "memory": "64Mi" }, "limits": { "memory": "256Mi" } }),
    }
}
