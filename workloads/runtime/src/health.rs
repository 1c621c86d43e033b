//! `/livez`, `/readyz`, `/metrics` and `/status`.

use std::{net::SocketAddr, sync::Arc};

use axum::{Json, Router, http::StatusCode, response::IntoResponse, routing::get};
use serde::Serialize;

/// What a workload tells of itself.
pub trait Health: Send + Sync + 'static {
    /// The document at `/status`.
    type Status: Serialize;

    /// `Err` with the reason when the process makes no progress and should be started anew.
    fn live(&self) -> Result<(), String>;
    /// `Err` with the reason while it cannot do its work. A cut link is no reason: waiting is its work then.
    fn ready(&self) -> Result<(), String>;
    /// The document at `/status`.
    fn status(&self) -> Self::Status;
    /// Prometheus text.
    fn metrics(&self) -> String;
}

/// Serves until the process ends.
pub async fn serve<H: Health>(listen: SocketAddr, health: Arc<H>) -> Result<(), std::io::Error> {
    let answer = |result: Result<(), String>| match result {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    };
    let (live, ready, status) = (Arc::clone(&health), Arc::clone(&health), Arc::clone(&health));
    let app = Router::new()
        .route("/livez", get(move || async move { answer(live.live()) }))
        .route("/readyz", get(move || async move { answer(ready.ready()) }))
        .route(
            "/status",
            get(move || async move { Json(status.status()).into_response() }),
        )
        .route(
            "/metrics",
            get(move || async move { ([("content-type", "text/plain; version=0.0.4")], health.metrics()) }),
        );
    let listener = tokio::net::TcpListener::bind(listen).await?;
    tracing::info!(%listen, "serving /livez, /readyz, /metrics and /status");
    axum::serve(listener, app).await
}

/// Ends when the process is asked to stop (SIGTERM, or Ctrl-C on a terminal).
pub async fn shutdown_requested() {
    let interrupt = tokio::signal::ctrl_c();
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! { _ = interrupt => {}, _ = terminate.recv() => {} }
        }
        Err(_) => drop(interrupt.await),
    }
}

/// One metric in Prometheus' text format.
pub fn metric(out: &mut String, name: &str, kind: &str, help: &str, labels: &str, value: impl std::fmt::Display) {
    use std::fmt::Write;
    let _ = write!(
        out,
        "# HELP {name} {help}\n# TYPE {name} {kind}\n{name}{{{labels}}} {value}\n"
    );
}
