//! Names and labels of every object, from the names of cluster and site. `ClusterName` proves that the longest,
//! `<cluster>-client-1000-connector` and what Kubernetes adds for a pod, stays within 63 characters.

use serde_json::{Map, Value, json};
use synccluster_protocol::{ClusterName, Site};

/// Label with the cluster's name, on every object.
pub const CLUSTER_LABEL: &str = "synccluster.dev/cluster";
/// Label with the site, on what belongs to one.
pub const SITE_LABEL: &str = "synccluster.dev/site";
/// Label with what a pod is: a [`Component`].
pub const COMPONENT_LABEL: &str = "app.kubernetes.io/component";
/// Pods of applications with this label set to [`site`] reach that site's Postgres, set to [`gateway`] the gateway, set to [`counter`]
/// the counter nodes, set to [`clickhouse`], [`console`], [`superset`] or [`notebooks`] those.
pub const ACCESS_LABEL: &str = "synccluster.dev/access";
/// Label that Kubernetes gives each pod of a StatefulSet: its name.
pub const POD_NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";
/// Annotation of a pod with the hash of the template it was made from.
pub const TEMPLATE_ANNOTATION: &str = "synccluster.dev/template";
/// Annotation of a pod with the hash of the files it starts from.
pub const CONFIG_ANNOTATION: &str = "synccluster.dev/config";
/// Annotation of a database's pod and of its StatefulSet with the hash of its Secrets, from the first on that was made anew.
pub const PASSWORDS_ANNOTATION: &str = "synccluster.dev/passwords";
/// Annotation of a database's StatefulSet with the UIDs of its Secrets by name, as JSON; see [`crate::passwords`].
pub const SECRETS_ANNOTATION: &str = "synccluster.dev/secrets";
/// Annotation of a database's StatefulSet while the others wait for it; see [`crate::rollout`].
pub const UNDER_WAY_ANNOTATION: &str = "synccluster.dev/under-way";
/// Value of `app.kubernetes.io/managed-by`, and the field manager of server-side apply.
pub const MANAGER: &str = "synccluster";
/// Value of `app.kubernetes.io/name` of the operator's own pods.
pub const OPERATOR: &str = "synccluster-operator";

/// What a pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// A site's database.
    Postgres,
    /// A broker.
    Kafka,
    /// A site's uplink.
    Connector,
    /// A site's downlink.
    Sink,
    /// What people look at.
    Gateway,
    /// A node that takes likes.
    Counter,
    /// What fills ClickHouse.
    Analytics,
    /// What is filled.
    ClickHouse,
    /// What fills the tables of sites.
    Seeder,
    /// A console for Kafka.
    Console,
    /// Dashboards.
    Superset,
    /// JupyterLab.
    Notebooks,
}

impl Component {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Postgres,
        Self::Kafka,
        Self::Connector,
        Self::Sink,
        Self::Gateway,
        Self::Counter,
        Self::Analytics,
        Self::ClickHouse,
        Self::Seeder,
        Self::Console,
        Self::Superset,
        Self::Notebooks,
    ];

    /// The value of the label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Kafka => "kafka",
            Self::Connector => "connector",
            Self::Sink => "sink",
            Self::Gateway => "gateway",
            Self::Counter => "counter",
            Self::Analytics => "analytics",
            Self::ClickHouse => "clickhouse",
            Self::Seeder => "seeder",
            Self::Console => "console",
            Self::Superset => "superset",
            Self::Notebooks => "notebooks",
        }
    }

    /// The component with this label.
    pub fn parse(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|component| component.as_str() == label)
    }
}

impl std::fmt::Display for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A role in a site's database; each has a Secret with its credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Applications and the owner of their tables.
    App,
    /// Migrations and the `sync` schema.
    Admin,
    /// The uplink.
    Connector,
    /// The downlink.
    Sink,
    /// The gateway.
    Gateway,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::App, Self::Admin, Self::Connector, Self::Sink, Self::Gateway];

    /// Those that are made in a Postgres that is somebody else's. Its tables' owner, whose Secret is given, is application and administrator.
    pub const MADE_OUTSIDE: [Self; 3] = [Self::Connector, Self::Sink, Self::Gateway];

    /// What its Secret's name ends in.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Admin => "admin",
            Self::Connector => "connector",
            Self::Sink => "sink",
            Self::Gateway => "gateway",
        }
    }

    /// Its user in Postgres.
    pub fn user(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Admin => "sync_admin",
            Self::Connector => "sync_connector",
            Self::Sink => "sync_sink",
            Self::Gateway => "sync_gateway",
        }
    }
}

/// StatefulSet and Service of a site's Postgres, and value of [`ACCESS_LABEL`].
pub fn site(cluster: &ClusterName, site: Site) -> String {
    format!("{cluster}-{site}")
}

/// What belongs to a site: `<cluster>-<site>-<suffix>`.
pub fn of_site(cluster: &ClusterName, site: Site, suffix: &str) -> String {
    format!("{cluster}-{site}-{suffix}")
}

/// What belongs to the cluster: `<cluster>-<suffix>`.
pub fn of_cluster(cluster: &ClusterName, suffix: &str) -> String {
    format!("{cluster}-{suffix}")
}

/// StatefulSet of Kafka and the Service clients bootstrap from.
pub fn kafka(cluster: &ClusterName) -> String {
    of_cluster(cluster, "kafka")
}

/// Headless Service of Kafka, which gives each broker a name.
pub fn brokers(cluster: &ClusterName) -> String {
    of_cluster(cluster, "kafka-brokers")
}

/// Everything of the gateway: Deployment, Service, Secret, account and rights, route from outside; and value of [`ACCESS_LABEL`].
pub fn gateway(cluster: &ClusterName) -> String {
    of_cluster(cluster, "gateway")
}

/// The topic through which the gateway's replicas tell each other what they learn.
pub fn gateway_topic(cluster: &ClusterName) -> String {
    format!("{cluster}.gateway")
}

/// Everything the counter nodes share: StatefulSet, Service for clients, Lease, account and rights; and value of [`ACCESS_LABEL`].
pub fn counter(cluster: &ClusterName) -> String {
    of_cluster(cluster, "counter")
}

/// Everything of the seeder: StatefulSet, Service, Secret; and value of [`ACCESS_LABEL`].
pub fn seeder(cluster: &ClusterName) -> String {
    of_cluster(cluster, "seeder")
}

/// Headless Service of the counter nodes, which gives each a name.
pub fn counter_nodes(cluster: &ClusterName) -> String {
    of_cluster(cluster, "counter-nodes")
}

/// Service of a port of every node of the cluster at which clients outside ask for a counter node.
pub fn counter_leader(cluster: &ClusterName) -> String {
    of_cluster(cluster, "counter-leader")
}

/// A counter node's pod, and the Service of a port of every node of the cluster that leads to it.
pub fn counter_pod(cluster: &ClusterName, node: u16) -> String {
    format!("{cluster}-{}", counter_node(node))
}

/// A counter node, in status and messages.
pub fn counter_node(node: u16) -> String {
    format!("counter-{node}")
}

/// The ordinal in such a name.
pub fn counter_ordinal(name: &str) -> Option<u16> {
    name.strip_prefix("counter-")?.parse().ok()
}

/// Deployment and NetworkPolicy of what fills ClickHouse.
pub fn analytics(cluster: &ClusterName) -> String {
    of_cluster(cluster, "analytics")
}

/// Everything of a ClickHouse that the operator runs: StatefulSet, Service, Secret; and value of [`ACCESS_LABEL`].
pub fn clickhouse(cluster: &ClusterName) -> String {
    of_cluster(cluster, "clickhouse")
}

/// Everything of the console for Kafka: Deployment, Service, NetworkPolicy; and value of [`ACCESS_LABEL`].
pub fn console(cluster: &ClusterName) -> String {
    of_cluster(cluster, "console")
}

/// Everything of Superset: StatefulSet, Service, Secret, NetworkPolicy; and value of [`ACCESS_LABEL`].
pub fn superset(cluster: &ClusterName) -> String {
    of_cluster(cluster, "superset")
}

/// Everything of JupyterLab: StatefulSet, Service, Secret, NetworkPolicy; and value of [`ACCESS_LABEL`].
pub fn notebooks(cluster: &ClusterName) -> String {
    of_cluster(cluster, "notebooks")
}

/// Labels that select what belongs to a cluster.
pub fn cluster_selector(cluster: &ClusterName) -> String {
    format!("{CLUSTER_LABEL}={cluster}")
}

/// Labels of an object.
pub fn labels(cluster: &ClusterName, site: Option<Site>, component: Option<Component>) -> Map<String, Value> {
    let mut labels = Map::new();
    let mut set = |key: &str, value: String| labels.insert(key.to_owned(), Value::String(value));
    set(
        "app.kubernetes.io/name",
        component.map_or("synccluster", Component::as_str).to_owned(),
    );
    set("app.kubernetes.io/instance", cluster.to_string());
    set("app.kubernetes.io/managed-by", MANAGER.to_owned());
    set("app.kubernetes.io/part-of", "synccluster".to_owned());
    set(CLUSTER_LABEL, cluster.to_string());
    if let Some(component) = component {
        set(COMPONENT_LABEL, component.to_string());
    }
    if let Some(site) = site {
        set(SITE_LABEL, site.to_string());
    }
    labels
}

/// The labels that select a component's pods. Fewer than [`labels`], because a selector can never be changed.
pub fn selector(cluster: &ClusterName, site: Option<Site>, component: Component) -> Value {
    let mut selector = json!({ CLUSTER_LABEL: cluster.as_str(), COMPONENT_LABEL: component.as_str() });
    if let (Some(site), Some(labels)) = (site, selector.as_object_mut()) {
        labels.insert(SITE_LABEL.to_owned(), Value::String(site.to_string()));
    }
    selector
}
