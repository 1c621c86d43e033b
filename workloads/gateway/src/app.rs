//! Everything a request may need, and the routes.

use std::sync::Arc;

use axum::{Router, extract::DefaultBodyLimit, middleware};
use synccluster_protocol::ClusterName;
use synccluster_runtime::kafka::Kafka as Brokers;
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::{
    access::{Access, guard::guard},
    api, assets,
    counters::{self, Counters},
    extract::MAX_BODY,
    kafka::{Kafka, Known},
    kubernetes::{self, Kubernetes},
    limit::Shares,
    live::Live,
    metrics::Metrics,
    problem::Problem,
    rows::Catalogues,
    sites::Sites,
    sockets::{self, seats::Seats},
};

/// Connections from one address. All who come by a proxy have its address, so it is more than all sessions of Socket.IO need.
const ONE_ADDRESS: usize = 12_288;

/// What requests share.
pub struct App {
    /// The SyncCluster's name.
    pub cluster: ClusterName,
    /// Its sites.
    pub sites: Sites,
    /// What is enrolled at each.
    pub catalogues: Catalogues,
    /// The brokers, and how they are spoken to.
    pub brokers: Brokers,
    /// Its topics and groups.
    pub kafka: Kafka,
    /// Who may do what.
    pub access: Access,
    /// The SyncCluster and its pods, if the process runs in Kubernetes.
    pub kubernetes: Option<Kubernetes>,
    /// What is counted.
    pub metrics: Metrics,
    /// Connections of the web port, by the address they come from.
    pub connections: Shares,
    /// Live tails of topics.
    pub tails: Shares,
    /// Streams of server-sent events.
    pub events: Shares,
    /// Socket.IO sessions.
    pub sockets: Seats,
    /// The counter nodes, if the cluster has some.
    pub counters: Option<Counters>,
    /// What happens at the sites, as it happens.
    pub live: Live,
    /// Cancelled when the process is asked to stop: streams end then.
    pub stop: CancellationToken,
}

/// How handlers hold it.
pub type Shared = Arc<App>;

impl App {
    /// Without Kubernetes, and everybody may do everything.
    pub fn new(cluster: ClusterName, sites: Sites, brokers: impl Into<Brokers>) -> Self {
        let brokers = brokers.into();
        Self {
            access: Access::open(cluster.clone()),
            kubernetes: None,
            cluster,
            sites,
            catalogues: Catalogues::default(),
            kafka: Kafka::new(brokers.clone()),
            brokers,
            metrics: Metrics::default(),
            connections: Shares::new("connections", 16_384, ONE_ADDRESS),
            tails: Shares::new("live tails", 16, 8),
            events: Shares::new("streams of events", 512, 64),
            sockets: Seats::new(&sockets::MOST),
            counters: None,
            live: Live::new(rand::random()),
            stop: CancellationToken::new(),
        }
    }

    /// The enrolled tables, for who shows their rows.
    pub fn known_tables(self: &Arc<Self>) -> Arc<Known> {
        let app = Arc::clone(self);
        Arc::new(move |name: &str| app.live.table(name))
    }

    /// The way to Kubernetes; 501 without one.
    pub fn kubernetes(&self) -> Result<&Kubernetes, Problem> {
        self.kubernetes.as_ref().ok_or_else(kubernetes::absent)
    }

    /// The counter nodes; 404 without them.
    pub fn counters(&self) -> Result<&Counters, Problem> {
        self.counters.as_ref().ok_or_else(counters::off)
    }
}

/// Every route of the REST API with its description.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(api::openapi::Document::openapi())
        .merge(api::openapi::routes())
        .merge(api::session::routes())
        .merge(api::cluster::routes())
        .merge(api::partition::routes())
        .merge(api::components::routes())
        .merge(api::topics::routes())
        .merge(api::tail::routes())
        .merge(api::groups::routes())
        .merge(api::tables::routes())
        .merge(api::rows::routes())
        .merge(api::parked::routes())
        .merge(api::conflicts::routes())
        .merge(api::difference::routes())
        .merge(api::way::routes())
        .merge(api::events::routes())
        .merge(api::likes::routes())
        .merge(api::counters::routes())
        .merge(api::aggregations::routes())
}

/// Everything the web port answers.
pub fn router(app: Shared) -> Router {
    let (router, _) = routes().split_for_parts();
    router
        .merge(sockets::router(&app))
        .fallback(assets::serve)
        .method_not_allowed_fallback(assets::method_not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(app.clone(), guard))
        .with_state(app)
}
