//! Port 5001: `GET /assign?client=` and `GET /nodes`, at every node. One that does not lead asks the one that does. Port 5004 is the same for
//! clients outside the nodes' network, with the addresses that lead there; between nodes only those inside are told.

use std::{fmt::Write as _, sync::Arc, time::Instant};

use axum::{
    Json, Router,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, de::DeserializeOwned};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Leader, Outside, ask, assign::Who};
use crate::serve::Problem;

/// The header that says in which term something was answered.
pub const TERM: &str = "counter-term";
/// The header of a question that another node has passed on; it is not passed on again.
pub const FORWARDED: &str = "counter-forwarded";
const JSON: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/json")];
/// Bytes of a client's name at most.
const CLIENT: usize = 128;

/// What a question needs.
#[derive(Clone)]
struct Desk {
    leader: Arc<Leader>,
    /// Where those who ask here find the nodes, if it is not where nodes find one another.
    outside: Option<Arc<Outside>>,
}

/// Serves until `stop`.
pub async fn run(
    leader: Arc<Leader>,
    outside: Option<Outside>,
    listener: TcpListener,
    stop: CancellationToken,
) -> std::io::Result<()> {
    axum::serve(listener, router(leader, outside))
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

fn router(leader: Arc<Leader>, outside: Option<Outside>) -> Router {
    let outside = outside.map(Arc::new);
    Router::new()
        .route("/assign", get(assign))
        .route("/nodes", get(nodes))
        .fallback(nothing_there)
        .with_state(Desk { leader, outside })
}

async fn assign(
    State(Desk { leader, outside }): State<Desk>,
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
        let told = match &outside {
            Some(outside) => outside.assignment(&assignment),
            None => assignment,
        };
        return Ok(with_term(told.term, Json(told)));
    }
    let mut path = "/assign?client=".to_owned();
    let _ = write!(path, "{}", utf8_percent_encode(client, NON_ALPHANUMERIC));
    if let Some(except) = who.except {
        let _ = write!(path, "&except={except}");
    }
    let (term, body) = forward(&leader, &headers, &path).await?;
    let body = match &outside {
        Some(outside) => again(&body, |inside| outside.assignment(&inside))?,
        None => body,
    };
    Ok(with_term(term, (JSON, body)))
}

async fn nodes(State(Desk { leader, outside }): State<Desk>, headers: HeaderMap) -> Response {
    let (nodes, term) = leader.nodes();
    let seen = |nodes| match &outside {
        Some(outside) => outside.nodes(nodes),
        None => nodes,
    };
    if let Some(term) = term {
        return with_term(term, Json(seen(nodes)));
    }
    let forwarded = forward(&leader, &headers, "/nodes").await;
    let forwarded = forwarded.and_then(|(term, body)| match &outside {
        Some(outside) => Ok((term, again(&body, |inside| outside.nodes(inside))?)),
        None => Ok((term, body)),
    });
    match forwarded {
        Ok((term, body)) => with_term(term, (JSON, body)),
        // Without a leader it is better to say what this node sees than nothing.
        Err(_) => Json(seen(nodes)).into_response(),
    }
}

/// What another node has said, said in another way.
fn again<T: DeserializeOwned + Serialize>(body: &[u8], say: impl FnOnce(T) -> T) -> Result<Bytes, Problem> {
    let foreign = |error: serde_json::Error| {
        no_leader(format!(
            "the node that leads answers what this one does not read: {error}"
        ))
    };
    let said = serde_json::from_slice(body).map(say).map_err(foreign)?;
    serde_json::to_vec(&said).map(Bytes::from).map_err(foreign)
}

async fn forward(leader: &Leader, headers: &HeaderMap, path: &str) -> Result<(u64, Bytes), Problem> {
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
    Ok((term, answer.body))
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
