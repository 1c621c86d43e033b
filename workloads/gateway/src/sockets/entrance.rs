//! The way in: `/socket.io/`. Polling is the Socket.IO server's own; a websocket is taken over from HTTP here, so that its connection is a
//! [`Line`].

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::Arc,
    time::Duration,
};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, request},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use hyper::{service::Service, upgrade::OnUpgrade};
use socketioxide::{service::SocketIoService, socket::Sid};
use tokio::time;
use tokio_util::sync::CancellationToken;
use tungstenite::handshake::derive_accept_key;

use super::{
    line::{Line, Wire},
    seats::Seats,
    session::Sessions,
};
use crate::{
    access::{self, Caller},
    metrics::Value,
    problem::Problem,
    serve::Connection,
};

/// How long HTTP may take to give a connection away after its answer.
const HANDOVER: Duration = Duration::from_secs(10);

/// What the route needs.
#[derive(Clone)]
pub struct Entrance {
    /// The Socket.IO server.
    pub service: SocketIoService<Nowhere>,
    /// The places of sessions.
    pub seats: Seats,
    /// Those that began by polling.
    pub sessions: Arc<Sessions>,
    /// Counts the clients that were too slow.
    pub dropped: Value,
    /// Cancelled when the process is asked to stop.
    pub stop: CancellationToken,
}

/// What the Socket.IO server gives other paths to; the route has none.
#[derive(Clone)]
pub struct Nowhere;

impl Service<Request> for Nowhere {
    type Response = Response;
    type Error = Infallible;
    type Future = Ready<Result<Response, Infallible>>;

    fn call(&self, _: Request) -> Self::Future {
        ready(Ok(StatusCode::NOT_FOUND.into_response()))
    }
}

/// What the request asks for.
struct Wish {
    websocket: bool,
    /// The session it belongs to, if it does not open one.
    session: Option<Sid>,
    /// There is a session in the query, be it one or not.
    opens: bool,
}

impl Wish {
    fn of(uri: &Uri) -> Self {
        let parameters = || {
            uri.query()
                .unwrap_or_default()
                .split('&')
                .filter_map(|pair| pair.split_once('='))
        };
        let find = |wanted: &str| parameters().find(|(name, _)| *name == wanted).map(|(_, value)| value);
        let session = find("sid");
        Self {
            websocket: find("transport") == Some("websocket"),
            session: session.and_then(|sid| sid.parse().ok()),
            opens: session.is_none(),
        }
    }
}

/// Answers every request below the path.
pub async fn enter(State(entrance): State<Entrance>, mut request: Request) -> Response {
    let wish = Wish::of(request.uri());
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let peer = access::peer(request.extensions());
    let mut request = slim(request);
    if wish.opens && request.method() == Method::GET {
        // The session keeps the request that opened it, and with it its place.
        match entrance.seats.enter(request.extensions().get(), peer) {
            Ok(seat) => request.extensions_mut().insert(Arc::new(seat)),
            Err(problem) => return problem.into_response(),
        };
    }
    if wish.websocket {
        return match (accept(request.method(), request.headers()), upgrade) {
            (Some(answer), Some(upgrade)) => {
                *request.headers_mut() = HeaderMap::new();
                tokio::spawn(take_over(entrance, upgrade, request.map(drop), wish.session));
                answer
            }
            _ => no_websocket().into_response(),
        };
    }
    if let Some(sid) = wish.session
        && request.method() == Method::GET
    {
        entrance.sessions.polled(sid);
    }
    tokio::select! {
        answer = Service::call(&entrance.service, request) => match answer {
            Ok(answer) => answer.map(Body::new),
            Err(never) => match never {},
        },
        // A poll that waits would hold the process; clients connect again, to another replica or to the next process.
        () = entrance.stop.cancelled() => stopping().into_response(),
    }
}

fn stopping() -> Problem {
    Problem::unavailable(
        "stopping",
        "Stopping",
        "this replica of the gateway is being stopped; connect again",
    )
}

/// The request with no more than the Socket.IO server needs, in memory of its own: it is kept as long as its session, and with it would be
/// the buffer it was read into. No secret is kept either.
fn slim(request: Request) -> Request {
    let (parts, body) = request.into_parts();
    let (mut slim, ()) = request::Request::default().into_parts();
    slim.method = parts.method;
    slim.uri = parts.uri.to_string().parse().unwrap_or_default();
    for name in [
        header::CONTENT_TYPE,
        header::SEC_WEBSOCKET_KEY,
        header::SEC_WEBSOCKET_VERSION,
        header::UPGRADE,
    ] {
        let copy = parts
            .headers
            .get(&name)
            .and_then(|value| HeaderValue::from_bytes(value.as_bytes()).ok());
        if let Some(copy) = copy {
            slim.headers.insert(name, copy);
        }
    }
    if let Some(caller) = parts.extensions.get::<Caller>() {
        slim.extensions.insert(caller.clone());
    }
    Request::from_parts(slim, body)
}

/// The answer to a websocket's handshake (RFC 6455, section 4.2.2), if it is one.
fn accept(method: &Method, headers: &HeaderMap) -> Option<Response> {
    let is = |name, wanted: &str| {
        headers
            .get(name)
            .is_some_and(|value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(wanted.as_bytes()))
    };
    if *method != Method::GET || !is(header::UPGRADE, "websocket") || !is(header::SEC_WEBSOCKET_VERSION, "13") {
        return None;
    }
    let key = derive_accept_key(headers.get(header::SEC_WEBSOCKET_KEY)?.as_bytes());
    let answer = [
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::CONNECTION, HeaderValue::from_static("Upgrade")),
        (header::SEC_WEBSOCKET_ACCEPT, HeaderValue::from_str(&key).ok()?),
    ];
    Some((StatusCode::SWITCHING_PROTOCOLS, answer).into_response())
}

fn no_websocket() -> Problem {
    let detail = "the query asks for a websocket and the request is no handshake of one (version 13)";
    Problem::bad_request("bad-handshake", "Bad handshake", detail)
}

/// Gives the connection to the Socket.IO server as soon as HTTP has let go of it.
async fn take_over(entrance: Entrance, upgrade: OnUpgrade, mut request: request::Request<()>, session: Option<Sid>) {
    let upgraded = match time::timeout(HANDOVER, upgrade).await {
        Ok(Ok(upgraded)) => upgraded,
        Ok(Err(error)) => return tracing::debug!(%error, "a websocket did not come about"),
        Err(_) => return,
    };
    let Ok(parts) = upgraded.downcast::<Connection>() else {
        return tracing::error!("a websocket came on something else than serve.rs serves");
    };
    let line = Line::new(parts.io.into_inner().into_inner(), session.is_some(), entrance.dropped);
    // Held until the connection ends: while it is probed nobody else may know of this session's line.
    let session = session.map(|sid| entrance.sessions.of(sid));
    match &session {
        Some(session) if !session.upgrade(&line) => return tracing::debug!("a session wants a second websocket"),
        Some(_) => {}
        None => {
            request.extensions_mut().insert(Arc::clone(&line));
        }
    }
    // What is wrong with the request ends the connection.
    // Copied, mostly nothing: the buffer it is a part of would be kept with it.
    let early = Bytes::copy_from_slice(&parts.read_buf);
    let wire = Wire::new(line, early, session, entrance.stop);
    if let Err(error) = Service::call(&entrance.service, (wire, request)).await {
        tracing::debug!(%error, "a websocket was refused");
    }
}
