//! A site's downlink. The server's sink finds the clients' topics by itself, so that scaling restarts nothing.

use serde_json::{Value, json};
use synccluster_protocol::Site;

use super::connector::{USER, common_env, deployment};
use super::{Object, pod};
use crate::names::{Component, Role};
use crate::validate::ValidatedCluster;

/// The Deployment.
pub fn sink(cluster: &ValidatedCluster, site: Site) -> Object {
    let mut variables = common_env(cluster, site);
    variables.push(("SYNC_MAX_CLOCK_SKEW", format!("{}s", cluster.max_clock_skew.as_secs())));
    variables.push((
        "SYNC_DIGEST_INTERVAL",
        format!("{}s", cluster.digest_interval.as_secs()),
    ));
    let mut own = pod::served();
    own.insert("command".to_owned(), json!(["synccluster-sink", "run"]));
    own.insert("env".to_owned(), pod::env(&variables));
    own.insert("resources".to_owned(), pod::workload_resources());
    own.insert(
        "volumeMounts".to_owned(),
        json!([{ "name": "postgres", "mountPath": "/etc/synccluster/postgres", "readOnly": true }]),
    );
    let spec = json!({
        "containers": [pod::container("sink", &cluster.image, Value::Object(own))],
        "volumes": [pod::site_volume(cluster, site, Role::Sink, "postgres")],
    });
    deployment(
        cluster,
        site,
        Component::Sink,
        pod::template(cluster, Some(site), Component::Sink, USER, spec),
    )
}
