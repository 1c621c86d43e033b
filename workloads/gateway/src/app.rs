//! Everything a request may need, and the routes.

use std::sync::Arc;

use axum::Router;
use synccluster_protocol::ClusterName;
use synccluster_runtime::clock;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;

use crate::{api, kafka::Kafka, limit::Limit, live::Live, metrics::Metrics, rows::Catalogues, sites::Sites};

/// What requests share.
pub struct App {
    /// The SyncCluster's name.
    pub cluster: ClusterName,
    /// Its sites.
    pub sites: Sites,
    /// What is enrolled at each.
    pub catalogues: Catalogues,
    /// Kafka, as host:port.
    pub bootstrap_servers: String,
    /// Its topics and groups.
    pub kafka: Kafka,
    /// What is counted.
    pub metrics: Metrics,
    /// Connections of the web port.
    pub connections: Limit,
    /// Live tails of topics.
    pub tails: Limit,
    /// Streams of server-sent events.
    pub events: Limit,
    /// What happens at the sites, as it happens.
    pub live: Live,
    /// Cancelled when the process is asked to stop: streams end then.
    pub stop: CancellationToken,
}

/// How handlers hold it.
pub type Shared = Arc<App>;

impl App {
    /// Without Kubernetes, and everybody may do everything.
    pub fn new(cluster: ClusterName, sites: Sites, bootstrap_servers: String) -> Self {
        Self {
            cluster,
            sites,
            catalogues: Catalogues::default(),
            kafka: Kafka::new(&bootstrap_servers),
            bootstrap_servers,
            metrics: Metrics::default(),
            connections: Limit::new("connections", 16_384),
            tails: Limit::new("live tails", 16),
            events: Limit::new("streams of events", 512),
            live: Live::new(clock::now_micros()),
            stop: CancellationToken::new(),
        }
    }
}

/// Every route of the REST API with its description.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .merge(api::topics::routes())
        .merge(api::rows::routes())
        .merge(api::tables::routes())
}

/// Everything the web port answers.
pub fn router(app: Shared) -> Router {
    let (router, _) = routes().split_for_parts();
    router.with_state(app)
}
