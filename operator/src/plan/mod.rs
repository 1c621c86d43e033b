//! Step 3: which objects there should be. Pure: the same cluster gives the same objects, down to the byte.

mod access;
mod analytics;
mod clickhouse;
mod connector;
mod console;
mod counter;
mod debezium;
mod exposure;
mod gateway;
mod kafka;
mod looks;
mod mesh;
mod network;
mod notebooks;
mod pod;
mod postgres;
pub mod secrets;
mod seeder;
mod sink;
mod superset;

pub use analytics::secret as analytics_secret;
pub use counter::leader as counter_leader;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use synccluster_protocol::Site;

use crate::names::{self, COMPONENT_LABEL, Component, SITE_LABEL, TEMPLATE_ANNOTATION};
use crate::validate::ValidatedCluster;
pub use access::{SPEAKERS, bootstrap_servers_from_afar};

/// Port of Postgres.
pub const POSTGRES_PORT: u16 = 5432;
/// Port of Kafka for clients.
pub const KAFKA_PORT: u16 = 9092;
/// Port of a workload's `/status`, probes and metrics.
pub const HTTP_PORT: u16 = 8080;
/// Port of the gateway's page and API.
pub const WEB_PORT: u16 = 8000;
/// Port of a counter node that says which node a client goes to.
pub const COUNTER_LEADER_PORT: u16 = 5001;
/// Port of a counter node for clients.
pub const COUNTER_CLIENT_PORT: u16 = 5002;
/// Port of a counter node for other nodes.
pub const COUNTER_MESH_PORT: u16 = 5003;
/// Port of a counter node that says to clients outside the cluster which node they go to.
pub const COUNTER_OUTSIDE_PORT: u16 = 5004;

/// Port of ClickHouse's HTTP interface.
pub const CLICKHOUSE_PORT: u16 = 8123;

/// Kinds of objects the operator owns, in the order they are applied: a cut is in force before anything else is looked at,
/// and what pods mount or act as exists before they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// networking.k8s.io/v1
    NetworkPolicy,
    /// v1
    ServiceAccount,
    /// rbac.authorization.k8s.io/v1
    Role,
    /// rbac.authorization.k8s.io/v1
    RoleBinding,
    /// coordination.k8s.io/v1
    Lease,
    /// v1
    ConfigMap,
    /// v1
    Service,
    /// apps/v1
    StatefulSet,
    /// apps/v1
    Deployment,
    /// networking.k8s.io/v1
    Ingress,
    /// gateway.networking.k8s.io/v1, which a cluster may not have
    HttpRoute,
}

impl Kind {
    /// All of them, in order.
    pub const ALL: [Self; 11] = [
        Self::NetworkPolicy,
        Self::ServiceAccount,
        Self::Role,
        Self::RoleBinding,
        Self::Lease,
        Self::ConfigMap,
        Self::Service,
        Self::StatefulSet,
        Self::Deployment,
        Self::Ingress,
        Self::HttpRoute,
    ];

    /// The API version objects of this kind are written in.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::NetworkPolicy | Self::Ingress => "networking.k8s.io/v1",
            Self::ServiceAccount | Self::ConfigMap | Self::Service => "v1",
            Self::Role | Self::RoleBinding => "rbac.authorization.k8s.io/v1",
            Self::Lease => "coordination.k8s.io/v1",
            Self::StatefulSet | Self::Deployment => "apps/v1",
            Self::HttpRoute => "gateway.networking.k8s.io/v1",
        }
    }

    /// The kind as Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NetworkPolicy => "NetworkPolicy",
            Self::ServiceAccount => "ServiceAccount",
            Self::Role => "Role",
            Self::RoleBinding => "RoleBinding",
            Self::Lease => "Lease",
            Self::ConfigMap => "ConfigMap",
            Self::Service => "Service",
            Self::StatefulSet => "StatefulSet",
            Self::Deployment => "Deployment",
            Self::Ingress => "Ingress",
            Self::HttpRoute => "HTTPRoute",
        }
    }
}

/// An object as it is applied: every field the operator decides, and no other.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// The whole of it.
    pub body: Value,
}

/// Kind and name: what an object is known by within a namespace.
pub type Key = (Kind, String);

impl Object {
    /// What it is known by.
    pub fn key(&self) -> Key {
        (self.kind, self.name.clone())
    }
}

/// What there should be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Objects {
    /// To apply, in the order of [`Kind`].
    pub apply: Vec<Object>,
    /// To leave as they are, if they exist: what is made from something that is missing at the moment.
    pub keep: BTreeSet<Key>,
    /// To create if they do not exist, never to change.
    pub secrets: Vec<secrets::Wanted>,
}

impl Objects {
    /// The template hash each pod should have that carries one.
    pub fn templates(&self) -> BTreeMap<(Component, Option<Site>), String> {
        let of = |object: &'_ Object| {
            let template = object.body.pointer("/spec/template/metadata")?;
            let component = Component::parse(template["labels"][COMPONENT_LABEL].as_str()?)?;
            let site = template["labels"][SITE_LABEL]
                .as_str()
                .and_then(|site| site.parse().ok());
            Some((
                (component, site),
                template["annotations"][TEMPLATE_ANNOTATION].as_str()?.to_owned(),
            ))
        };
        self.apply.iter().filter_map(of).collect()
    }
}

/// The objects of a cluster.
pub fn plan(cluster: &ValidatedCluster) -> Objects {
    let mut objects = network::policies(cluster);
    objects.extend(postgres::shared(cluster));
    if cluster.kafka.external.is_none() {
        objects.extend(kafka::kafka(cluster));
    }
    objects.extend(mesh::policies(cluster));
    if cluster.counter.nodes > 0 {
        objects.extend(counter::counter(cluster));
    }
    if let Some(wanted) = &cluster.gateway {
        objects.extend(gateway::gateway(cluster, wanted));
        objects.extend(exposure::exposure(cluster, wanted));
    }
    if let Some(wanted) = &cluster.analytics {
        objects.extend(clickhouse::clickhouse(cluster));
        objects.extend(analytics::analytics(cluster, wanted));
    }
    if let Some(wanted) = &cluster.seeder {
        objects.extend(seeder::seeder(cluster, wanted));
    }
    if let Some(wanted) = &cluster.console {
        objects.extend(console::console(cluster, wanted));
    }
    if let Some(wanted) = &cluster.superset {
        objects.extend(superset::superset(cluster, wanted));
    }
    if let Some(wanted) = &cluster.notebooks {
        objects.extend(notebooks::notebooks(cluster, wanted));
    }
    let mut keep = BTreeSet::new();
    for site in cluster.sites() {
        if cluster.external_postgres(site).is_none() {
            objects.extend(postgres::postgres(cluster, site));
        }
        objects.push(sink::sink(cluster, site));
        let name = names::of_site(&cluster.name, site, "connector");
        // A connector without its migrations or its settings could not start; one that runs should not be stopped by a ConfigMap that is deleted or spoilt.
        match connector::connector(cluster, site) {
            Some(connector) => objects.push(connector),
            None => drop(keep.insert((Kind::Deployment, name))),
        }
    }
    // The same of a Secret of Kafka's that does not exist: a pod that waits for it would be slow to see that it does.
    objects.retain(|object| {
        let waits = access::waits(cluster, object);
        if waits {
            keep.insert(object.key());
        }
        !waits
    });
    objects.sort_by_key(|object| object.kind);
    Objects {
        apply: objects,
        keep,
        secrets: secrets::missing(cluster),
    }
}

/// An object of the cluster with its metadata; `rest` is everything below it.
fn object(
    cluster: &ValidatedCluster,
    kind: Kind,
    name: String,
    site: Option<Site>,
    component: Option<Component>,
    rest: Value,
) -> Object {
    let mut body = json!({
        "apiVersion": kind.api_version(),
        "kind": kind.as_str(),
        "metadata": {
            "name": name,
            "namespace": cluster.namespace,
            "labels": names::labels(&cluster.name, site, component),
            "ownerReferences": [cluster.owner],
        },
    });
    if let (Value::Object(body), Value::Object(rest)) = (&mut body, rest) {
        body.extend(rest);
    }
    Object { kind, name, body }
}

/// A ConfigMap of the cluster.
fn config_map(cluster: &ValidatedCluster, name: String, component: Component, data: Map<String, Value>) -> Object {
    object(
        cluster,
        Kind::ConfigMap,
        name,
        None,
        Some(component),
        json!({ "data": data }),
    )
}

/// Hash of anything that can be written as JSON: 16 hexadecimal digits.
pub fn hash(value: &impl Serialize) -> String {
    let text = serde_json::to_vec(value).unwrap_or_default();
    let digest = Sha256::digest(text)
        .iter()
        .take(8)
        .fold(0, |number: u64, &byte| number << 8 | u64::from(byte));
    format!("{digest:016x}")
}

#[cfg(test)]
mod tests;
