//! Health and metrics of the operator itself.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Router, routing::get};

use crate::metrics::Metrics;

/// Serves `/livez`, `/readyz` and `/metrics` until the process ends.
pub async fn serve(listen: SocketAddr, metrics: Arc<Metrics>) -> std::io::Result<()> {
    let ready = |State(metrics): State<Arc<Metrics>>| async move {
        if metrics.is_ready() {
            (StatusCode::OK, "ready")
        } else {
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "SyncClusters are not listed yet: is the CRD installed, and may the operator list it?",
            )
        }
    };
    let router = Router::new()
        .route("/livez", get(|| async { "alive" }))
        .route("/readyz", get(ready))
        .route(
            "/metrics",
            get(|State(metrics): State<Arc<Metrics>>| async move { metrics.render() }),
        )
        .with_state(metrics);
    axum::serve(tokio::net::TcpListener::bind(listen).await?, router).await
}
