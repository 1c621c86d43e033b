//! Port 5001: `GET /assign?client=` and `GET /nodes`, at every node. One that does not lead asks the one that does.

use std::{fmt::Write as _, sync::Arc, time::Instant};

use axum::{
    Json, Router,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Leader, ask, assign::Who};
use crate::serve::Problem;

/// The header that says in which term something was answered.
pub const TERM: &str = "counter-term";
/// The header of a question that another node has passed on; it is not passed on again.
pub const FORWARDED: &str = "counter-forwarded";
/// Bytes of a client's name at most.
const CLIENT: usize = 128;

/// Serves until `stop`.
pub async fn run(leader: Arc<Leader>, listener: TcpListener, stop: CancellationToken) -> std::io::Result<()> {
    axum::serve(listener, router(leader))
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

fn router(leader: Arc<Leader>) -> Router {
    Router::new()
        .route("/assign", get(assign))
        .route("/nodes", get(nodes))
        .fallback(nothing_there)
        .with_state(leader)
}

async fn assign(
    State(leader): State<Arc<Leader>>,
    headers: HeaderMap,
    who: Result<Query<Who>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(who) =
        who.map_err(|error| Problem::bad_parameter(format!("{}; write /assign?client=NAME", error.body_text())))?;
    let client = who.client.as_str();
    if !(1..=CLIENT).contains(&client.len()) || client.chars().any(char::is_control) {
        let detail = format!("client is a name of 1 to {CLIENT} bytes without control characters");
        return Err(Problem::bad_parameter(detail));
    }
    if let Some(assignment) = leader.assign(&who) {
        if !leader.heard(assignment.term) {
            return Err(no_leader("this node led in an earlier term"));
        }
        return Ok(with_term(assignment.term, Json(assignment)));
    }
    let mut path = "/assign?client=".to_owned();
    let _ = write!(path, "{}", utf8_percent_encode(client, NON_ALPHANUMERIC));
    if let Some(except) = who.except {
        let _ = write!(path, "&except={except}");
    }
    forward(&leader, &headers, &path).await
}

async fn nodes(State(leader): State<Arc<Leader>>, headers: HeaderMap) -> Response {
    let (nodes, term) = leader.nodes();
    if let Some(term) = term {
        return with_term(term, Json(nodes));
    }
    // Without a leader it is better to say what this node sees than nothing.
    let forwarded = forward(&leader, &headers, "/nodes").await;
    forwarded.unwrap_or_else(|_| Json(nodes).into_response())
}

async fn forward(leader: &Leader, headers: &HeaderMap, path: &str) -> Result<Response, Problem> {
    if headers.contains_key(FORWARDED) {
        return Err(no_leader("this node does not lead"));
    }
    let Some(claim) = leader.known().filter(|claim| claim.leader != leader.members.own()) else {
        return Err(no_leader("no node leads just now"));
    };
    let members = leader.members.all(Instant::now());
    let member = members.into_iter().find(|member| member.ordinal == claim.leader);
    let Some(heartbeat) = member.and_then(|member| member.heartbeat) else {
        return Err(no_leader(format!(
            "node {} leads, and this node has not heard it yet",
            claim.leader
        )));
    };
    let answer = ask::get(&heartbeat.leader_api, path, true).await;
    let answer = answer.map_err(|error| no_leader(format!("node {} leads, and {error}", claim.leader)))?;
    let Some(term) = answer.term.filter(|_| answer.status == StatusCode::OK) else {
        return Err(no_leader(format!(
            "node {} does not lead yet, or any more",
            claim.leader
        )));
    };
    if !leader.heard(term) {
        return Err(no_leader(format!(
            "node {} answers for term {term}, which is over",
            claim.leader
        )));
    }
    let json = [(header::CONTENT_TYPE, "application/json")];
    Ok(with_term(term, (json, answer.body)))
}

fn with_term(term: u64, answer: impl IntoResponse) -> Response {
    let mut answer = answer.into_response();
    answer.headers_mut().insert(TERM, HeaderValue::from(term));
    answer
}

fn no_leader(detail: impl Into<String>) -> Problem {
    let detail = format!("{}: ask again in a moment, or ask another node", detail.into());
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no-leader", "No leader", detail)
}

async fn nothing_there() -> Problem {
    let detail = "there are GET /assign?client=NAME and GET /nodes; likes go to the port for clients, 5002";
    Problem::new(StatusCode::NOT_FOUND, "not-found", "Nothing there", detail)
}

#[cfg(test)]
mod tests;
