//! `/livez`, `/readyz`, `/metrics` and `/status`.

use std::{
    net::SocketAddr,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use axum::{Json, Router, http::StatusCode, response::IntoResponse, routing::get};
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::now_millis;

/// A main loop says it is alive at least this often, whatever it waits for.
const STALLED_AFTER_MILLIS: i64 = 60_000;

/// When a main loop last went round.
pub struct Pulse(AtomicI64);

impl Default for Pulse {
    fn default() -> Self {
        Self(now_millis().into())
    }
}

impl Pulse {
    /// It goes round now.
    pub fn beat(&self) {
        self.0.store(now_millis(), Ordering::Relaxed);
    }

    /// `Err` with the reason when it has stopped.
    pub fn check(&self) -> Result<(), String> {
        let silent = now_millis() - self.0.load(Ordering::Relaxed);
        if silent < STALLED_AFTER_MILLIS {
            Ok(())
        } else {
            Err(format!("the main loop has not moved for {} s", silent / 1000))
        }
    }
}

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
async fn serve<H: Health>(listen: SocketAddr, health: Arc<H>, routes: Router) -> Result<(), std::io::Error> {
    let answer = |result: Result<(), String>| match result {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    };
    let (live, ready, status) = (Arc::clone(&health), Arc::clone(&health), Arc::clone(&health));
    let app = routes
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

/// Serves `health` while `work` is done; when the process is asked to stop, ends the work through `stop` and waits for it.
pub async fn run<H: Health>(
    listen: SocketAddr,
    health: Arc<H>,
    work: JoinHandle<()>,
    stop: CancellationToken,
) -> ExitCode {
    run_with(listen, health, Router::new(), work, stop).await
}

/// The same with further routes.
pub async fn run_with<H: Health>(
    listen: SocketAddr,
    health: Arc<H>,
    routes: Router,
    work: JoinHandle<()>,
    stop: CancellationToken,
) -> ExitCode {
    tokio::select! {
        served = serve(listen, health, routes) => {
            if let Err(error) = served {
                tracing::error!(%error, %listen, "cannot serve; is the port taken?");
            }
            ExitCode::FAILURE
        }
        () = shutdown_requested() => {
            stop.cancel();
            let _ = work.await;
            ExitCode::SUCCESS
        }
    }
}

/// One number a workload tells.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: u64,
}

impl Metric {
    /// A number that goes up and down.
    pub fn gauge(name: &'static str, help: &'static str, value: u64) -> Self {
        let kind = "gauge";
        Self {
            name,
            kind,
            help,
            value,
        }
    }

    /// A number that only grows, from the start of the process.
    pub fn counter(name: &'static str, help: &'static str, value: u64) -> Self {
        let kind = "counter";
        Self {
            name,
            kind,
            help,
            value,
        }
    }

    /// In Prometheus' text format.
    pub fn text(self, labels: &str) -> String {
        let Self {
            name,
            kind,
            help,
            value,
        } = self;
        format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name}{{{labels}}} {value}\n")
    }
}
