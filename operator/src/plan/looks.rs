//! What Superset and JupyterLab have in common: one pod on one volume, a Service, and people who carry its label.

use serde_json::{Value, json};

use super::connector::MOUNTS;
use super::network::{external_postgres, pods, policy, tcp};
use super::postgres::claim;
use super::{Kind, Object, POSTGRES_PORT, object, pod};
use crate::api::LooksStorage;
use crate::names::{self, ACCESS_LABEL, Component, Role};
use crate::validate::ValidatedCluster;

/// User and group of their processes.
pub const USER: u32 = 65532;

/// Service and StatefulSet of one pod, and who talks to it: in come pods that somebody said may; out it goes to every site's database, cut or not, since like the
/// gateway it shows each site to the people there and carries nothing from one to another; and wherever else `out` says.
pub fn one_pod(
    cluster: &ValidatedCluster,
    component: Component,
    (name, port): (String, u16),
    storage: &LooksStorage,
    template: Value,
    out: impl IntoIterator<Item = Value>,
) -> Vec<Object> {
    let databases = json!([{ "podSelector": pods(cluster, None, Component::Postgres) }]);
    let mut egress = vec![json!({ "to": databases, "ports": [tcp(POSTGRES_PORT)] })];
    egress.extend(external_postgres(cluster));
    egress.extend(out);
    let network = json!({
        "podSelector": pods(cluster, None, component),
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{ "from": [{ "podSelector": { "matchLabels": { ACCESS_LABEL: name } } }], "ports": [tcp(port)] }],
        "egress": egress,
    });
    let selector = names::selector(&cluster.name, None, component);
    let service = json!({ "spec": {
        "type": "ClusterIP",
        "selector": selector,
        "ports": [{ "name": "web", "port": 80, "targetPort": "web", "protocol": "TCP" }],
    } });
    let labels = names::labels(&cluster.name, None, Some(component));
    let stateful_set = json!({ "spec": {
        "replicas": 1,
        "serviceName": name,
        // With OrderedReady a pod that never became ready, for a wrong image, is not replaced when the image is corrected.
        "podManagementPolicy": "Parallel",
        "selector": { "matchLabels": selector },
        "persistentVolumeClaimRetentionPolicy": { "whenDeleted": "Delete", "whenScaled": "Retain" },
        "template": template,
        "volumeClaimTemplates": [claim(labels, &storage.size, storage.class.as_deref())],
    } });
    let whole = |kind, rest| object(cluster, kind, name.clone(), None, Some(component), rest);
    vec![
        policy(cluster, name.clone(), None, network),
        whole(Kind::Service, service),
        whole(Kind::StatefulSet, stateful_set),
    ]
}

/// A Secret's or a site's folder, for a container.
pub fn read(volume: &str) -> Value {
    json!({ "name": volume, "mountPath": format!("{MOUNTS}/{volume}"), "readOnly": true })
}

/// Volumes and mounts of every one of them: the sites in the gateway's role, who may come in, its own data at `home`, and room for files that do not stay.
pub fn places(cluster: &ValidatedCluster, secret: &str, home: &str) -> (Vec<Value>, Vec<Value>) {
    let volumes = vec![
        pod::sites_volume(cluster, Role::Gateway),
        pod::secret_volume("access", secret),
        json!({ "name": "tmp", "emptyDir": {} }),
    ];
    let mounts = vec![
        read("sites"),
        read("access"),
        json!({ "name": "data", "mountPath": home }),
        json!({ "name": "tmp", "mountPath": "/tmp" }),
    ];
    (volumes, mounts)
}

/// Port and probes of who answers at this path. Half of PyPI is imported before that.
pub fn serving(path: &str, port: u16) -> Value {
    let probe = |period: u32, failures: u32| json!({ "httpGet": { "path": path, "port": "web" }, "periodSeconds": period, "timeoutSeconds": 5, "failureThreshold": failures });
    json!({
        "ports": [{ "name": "web", "containerPort": port, "protocol": "TCP" }],
        "startupProbe": probe(2, 150),
        "readinessProbe": probe(5, 3),
        "livenessProbe": probe(20, 6),
    })
}
