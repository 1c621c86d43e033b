//! As much of the SyncCluster as the gateway needs. What is missing or new does not make it unreadable.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{
    core::{GroupVersionKind, Object},
    discovery::ApiResource,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use synccluster_protocol::Site;

/// The resource.
pub type SyncCluster = Object<Spec, Status>;

/// Where the API server keeps it.
pub fn api_resource() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("synccluster.dev", "v1alpha1", "SyncCluster"))
}

/// What people write.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Spec {
    /// How many clients there are.
    pub clients: i32,
    /// Whether the operator leaves everything as it is.
    pub paused: bool,
    /// Who is cut off.
    pub partition: Option<Partition>,
}

/// Who is cut off, as the API shows it; the resource writes `healAfter`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Partition {
    /// Ordinals of the clients that are cut.
    pub clients: Vec<u16>,
    /// Whether the server is cut.
    pub server: bool,
    /// Ordinals of the counter nodes that are cut.
    pub counters: Vec<u16>,
    /// Which way.
    pub link: Link,
    /// After how long the operator heals it, such as `5m`; null: by hand.
    #[serde(alias = "healAfter")]
    pub heal_after: Option<String>,
}

/// Which way between a site and Kafka.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, utoipa::ToSchema)]
pub enum Link {
    /// Both ways.
    #[default]
    Both,
    /// The site's changes do not leave.
    Uplink,
    /// Others' changes do not arrive.
    Downlink,
}

impl Partition {
    /// Whether what this site writes does not leave it.
    pub fn cuts_uplink(&self, site: Site) -> bool {
        self.link != Link::Downlink && self.cuts(site)
    }

    /// Whether what others write does not arrive there.
    pub fn cuts_downlink(&self, site: Site) -> bool {
        self.link != Link::Uplink && self.cuts(site)
    }

    fn cuts(&self, site: Site) -> bool {
        match site {
            Site::Server => self.server,
            Site::Client(ordinal) => self.clients.contains(&ordinal),
        }
    }
}

/// What the operator measured.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// The generation this is about.
    pub observed_generation: Option<i64>,
    /// Statements with reasons.
    pub conditions: Vec<Condition>,
    /// The partition as it is.
    pub partition: Option<PartitionStatus>,
    /// How and since when the sites are the same.
    pub convergence: Option<ConvergenceStatus>,
    /// One entry a site.
    pub sites: Vec<Value>,
    /// One entry a counter node.
    pub counters: Vec<Value>,
}

/// The partition as it is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PartitionStatus {
    /// When the operator first saw it.
    pub since: Option<Time>,
    /// When it was first measured to hold.
    pub enforced_at: Option<Time>,
    /// When the operator will remove it.
    pub heal_at: Option<Time>,
}

/// How and since when the sites are the same.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConvergenceStatus {
    /// The digest all sites have.
    pub digest: Option<String>,
    /// Rows it covers.
    pub rows: Option<i64>,
    /// Since when.
    pub since: Option<Time>,
    /// When the last partition ended, until the sites are the same again.
    pub healed_at: Option<Time>,
    /// How long that took the last time.
    pub last_heal_seconds: Option<i64>,
}
