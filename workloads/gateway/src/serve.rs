//! Connections of the web port: many that say nothing cost little and are closed, and at the end of the process every one is ended in order.

use std::{io, net::SocketAddr, time::Duration};

use axum::{Router, extract::ConnectInfo};
use hyper::{
    Request,
    body::Incoming,
    header::CONNECTION,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rustix::{
    net::sockopt::set_tcp_user_timeout,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    access::Holder,
    app::{self, Shared},
    limit::{Place, Shares},
    linger::Lingering,
    problem::Problem,
};

/// Connections that may wait to be accepted: thousands come at once when a replica ends. One too many would be tried again a second later.
const WAITING: u32 = 4096;
/// How long a connection may take for the head of a request, or say nothing between two.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest head of a request, and what is kept of an answer that is not taken.
const BUFFER: usize = 16 * 1024;
/// How long somebody may take to acknowledge what was sent to him: who has vanished without a word is noticed by it.
const UNACKNOWLEDGED_MILLIS: u32 = 30_000;
/// What requests that are under way get when the process is asked to stop.
const GRACE: Duration = Duration::from_secs(5);
/// Connections beyond the limit that are told so; what is beyond these, too, is closed without a word, which costs nothing.
const TURNED_AWAY: usize = 256;
/// Of these, from one address.
const TURNED_AWAY_OF_ONE: usize = 192;
/// How often the tokens are looked at. Kubernetes takes up to a minute to bring a changed Secret here.
const REFRESH: Duration = Duration::from_secs(2);

/// What HTTP is spoken on, and so what it gives away to a websocket.
pub type Connection = TokioIo<Lingering>;

/// Binds the web port.
pub fn bind(listen: SocketAddr) -> io::Result<TcpListener> {
    let socket = if listen.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(listen)?;
    socket.listen(WAITING)
}

/// Serves until `app.stop` is cancelled and the connections have ended.
pub async fn serve(app: Shared, listener: TcpListener) {
    let router = app::router(app.clone());
    let turned_away = Shares::new("connections beyond the limit", TURNED_AWAY, TURNED_AWAY_OF_ONE);
    let tasks = TaskTracker::new();
    tasks.spawn(refresh(app.clone()));
    loop {
        let accepted = tokio::select! {
            () = app.stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let holder = Holder::of(None, Some(peer));
                let admitted = match app.connections.enter(holder.clone()) {
                    Ok(place) => Some((router.clone(), place)),
                    Err(problem) => {
                        let place = turned_away.enter(holder).ok();
                        place.map(|place| (refusing(problem), place))
                    }
                };
                if let Some((router, place)) = admitted {
                    tasks.spawn(connection(router, stream, peer, app.stop.clone(), place));
                }
            }
            Err(error) => {
                // Mostly no file descriptor is free; one will be when a connection ends.
                tracing::warn!(%error, "cannot accept a connection");
                time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// Answers whatever is asked with this problem, and ends the connection.
fn refusing(problem: Problem) -> Router {
    Router::new().fallback(async || ([(CONNECTION, "close")], problem))
}

async fn connection(router: Router, stream: TcpStream, peer: SocketAddr, stop: CancellationToken, place: Place) {
    let _place = place;
    let _ = stream.set_nodelay(true);
    let _ = set_tcp_user_timeout(&stream, UNACKNOWLEDGED_MILLIS);
    // Until its first byte a connection has neither a buffer nor what it takes to serve it: thousands of silent ones are cheap.
    let mut first = [0];
    tokio::select! {
        () = stop.cancelled() => return,
        spoke = time::timeout(HEAD_TIMEOUT, stream.peek(&mut first)) => if !matches!(spoke, Ok(Ok(1))) { return },
    }
    Box::pin(requests(router, stream, peer, stop)).await;
}

/// Answers the requests of a connection, one after another.
async fn requests(router: Router, stream: TcpStream, peer: SocketAddr, stop: CancellationToken) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.call(request)
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER)
        .serve_connection(Connection::new(Lingering::new(stream)), service)
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

async fn refresh(app: Shared) {
    let mut tick = time::interval(REFRESH);
    while app.stop.run_until_cancelled(tick.tick()).await.is_some() {
        app.access.refresh();
    }
}

/// Each connection is a file descriptor, and where nothing else was said a process may have 1024.
pub fn allow_many_connections() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, current = ?limit.current, "cannot raise the limit of open files");
    }
}
