//! The port for clients: `POST /likes`, `POST /unlikes`, `GET /totals`, and the WebSocket `/ws`.

mod like;
mod problem;
mod socket;
mod totals;
mod watch;

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequest, Request, State},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{net::TcpListener, sync::oneshot};
use tokio_util::sync::CancellationToken;

use crate::node::{Node, Refused};
use like::Direction;

pub use problem::Problem;
pub use totals::{Total, Totals};

/// The largest body.
const BODY: usize = 1024 * 1024;

/// What requests share.
#[derive(Clone)]
pub struct Shared {
    /// The node.
    pub node: Arc<Node>,
    /// Ends the WebSockets.
    pub stop: CancellationToken,
}

/// Serves clients until `stop`. From `leaves` on there are no WebSockets, and the others are told to go elsewhere.
pub async fn run(
    node: Arc<Node>,
    listener: TcpListener,
    leaves: CancellationToken,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let shared = Shared { node, stop: leaves };
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, router(shared))
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

/// All there is.
pub fn router(shared: Shared) -> Router {
    Router::new()
        .route("/likes", post(likes))
        .route("/unlikes", post(unlikes))
        .route("/totals", get(totals::totals))
        .route("/ws", get(socket::upgrade))
        .fallback(nothing_there)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(shared)
}

async fn likes(shared: State<Shared>, headers: HeaderMap, request: Request) -> Result<Response, Problem> {
    count(shared, headers, request, Direction::Up).await
}

async fn unlikes(shared: State<Shared>, headers: HeaderMap, request: Request) -> Result<Response, Problem> {
    count(shared, headers, request, Direction::Down).await
}

async fn count(
    State(shared): State<Shared>,
    headers: HeaderMap,
    request: Request,
    direction: Direction,
) -> Result<Response, Problem> {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    // A page of another site may send anything but this without being asked.
    if kind.split(';').next().map(str::trim) != Some("application/json") {
        let detail = "the body must be JSON; say so with the header `Content-Type: application/json`";
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not-json",
            "Not JSON",
            detail,
        ));
    }
    let body = Bytes::from_request(request, &())
        .await
        .map_err(|error| match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large(format!("the body may have {BODY} bytes at most")),
            _ => Problem::unreadable(error.body_text()),
        })?;
    let (adds, many) = like::read(&body, direction)?;
    if adds.is_empty() {
        return Ok(Json(serde_json::json!([])).into_response());
    }
    let (reply, answers) = oneshot::channel();
    // Who asked may be gone when the answer comes; his likes count all the same.
    shared.node.like(adds, Box::new(|answers| drop(reply.send(answers))));
    let answers = answers.await.map_err(|_| Refused::Stopping)??;
    Ok(match answers.first() {
        Some(answer) if !many => Json(answer).into_response(),
        _ => Json(answers).into_response(),
    })
}

async fn nothing_there() -> Problem {
    let detail = "there are POST /likes, POST /unlikes, GET /totals and the WebSocket /ws";
    Problem::new(StatusCode::NOT_FOUND, "not-found", "Nothing there", detail)
}

async fn wrong_method() -> Problem {
    let detail = "likes and unlikes are POSTed, totals and ws are GET";
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "Wrong method",
        detail,
    )
}

/// Each client is a file descriptor, and where nothing else was said a process may have 1024.
pub fn allow_many_clients() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}
