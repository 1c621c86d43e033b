//! Everything a request may need, and the routes.

use std::sync::Arc;

use synccluster_protocol::ClusterName;
use utoipa_axum::router::OpenApiRouter;

use crate::sites::Sites;

/// What requests share.
pub struct App {
    /// The SyncCluster's name.
    pub cluster: ClusterName,
    /// Its sites.
    pub sites: Sites,
    /// Kafka, as host:port.
    pub bootstrap_servers: String,
}

/// How handlers hold it.
pub type Shared = Arc<App>;

/// Every route of the REST API with its description.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
}
