//! Connections of the web port: many that say nothing cost little and are closed, and at the end of the process every one is ended in order.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, extract::ConnectInfo};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    app::{self, Shared},
    limit::Pass,
};

/// How long a connection may take for the head of a request, or say nothing between two.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// The largest head of a request.
const MAX_HEAD: usize = 32 * 1024;
/// What requests that are under way get when the process is asked to stop.
const GRACE: Duration = Duration::from_secs(5);

/// Serves until `app.stop` is cancelled and the connections have ended.
pub async fn serve(app: Shared, listener: TcpListener) {
    let router = app::router(app.clone());
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = app.stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            // Beyond the limit a connection is closed at once: answering it would cost what there is no more of.
            Ok((stream, peer)) => {
                if let Ok(pass) = app.connections.enter() {
                    connections.spawn(connection(router.clone(), stream, peer, app.stop.clone(), pass));
                }
            }
            Err(error) => {
                // Mostly no file descriptor is free; one will be when a connection ends.
                tracing::warn!(%error, "cannot accept a connection");
                time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    connections.close();
    connections.wait().await;
}

async fn connection(router: Router, stream: TcpStream, peer: SocketAddr, stop: CancellationToken, pass: Pass) {
    let _pass = pass;
    let _ = stream.set_nodelay(true);
    // Until its first byte a connection has no buffer: thousands of silent ones are cheap.
    let speaks = async { time::timeout(HEAD_TIMEOUT, stream.readable()).await };
    tokio::select! {
        () = stop.cancelled() => return,
        spoke = speaks => if !matches!(spoke, Ok(Ok(()))) { return },
    }
    let service = TowerToHyperService::new(router.layer(axum::Extension(ConnectInfo(peer))));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            match time::timeout(GRACE, serving).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, %peer, "connection ended");
    }
}
