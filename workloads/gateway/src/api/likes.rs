//! Likes and totals: asked of a counter node, and answered as it answers.

use std::collections::BTreeMap;

use axum::{
    body::Bytes,
    extract::{RawQuery, State, rejection::BytesRejection},
    http::{HeaderMap, header},
};
use serde::{Deserialize, Serialize};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::{App, Shared},
    counters::{
        lines::Post,
        node::{self, Answer},
    },
    extract::too_large,
    problem::Problem,
};

/// The routes of likes and totals.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(likes))
        .routes(routes!(unlikes))
        .routes(routes!(totals))
}

/// A like.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[expect(dead_code, reason = "the node reads it; here it is described")]
pub(super) struct Like {
    /// Of what: 1 to 256 bytes without control characters.
    #[schema(example = "tea")]
    id: String,
    /// Whose it is: 1 to 128 bytes.
    #[schema(example = "ann")]
    by: String,
    /// How many; 1 if it is left out.
    #[schema(minimum = 1, maximum = 1000)]
    n: Option<i32>,
    /// The client's own name for it, 1 to 128 bytes: sent again with the same one it counts once. Best `<client>/<number>`.
    #[schema(example = "ann/1")]
    request: Option<String>,
}

/// What became of a like.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Liked {
    /// Of what.
    id: String,
    /// What it has now, over all nodes that this one knows of.
    total: i64,
    /// Its place in the node's log; absent if it had been counted before.
    position: Option<u64>,
    /// `true` if it had been counted before.
    duplicate: Option<bool>,
    /// The node that answered.
    node: u16,
}

/// What an id has.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Total {
    /// Of what.
    id: String,
    /// Likes less unlikes, over all nodes.
    #[serde(rename = "total")]
    sum: i64,
    /// The same by the node that took them.
    nodes: BTreeMap<String, i64>,
}

/// Some totals.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Totals {
    totals: Vec<Total>,
}

/// Which totals, as the nodes read it.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the node reads it; here it is described")]
pub(super) struct Which {
    /// These ids, separated by commas, 1,000 at most; an id nobody liked has 0.
    #[param(example = "tea,coffee")]
    ids: Option<String>,
    /// Or those that begin so, in their order.
    prefix: Option<String>,
    /// So many at most, 100 if it is left out.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// After this id: the last one of the page before.
    after: Option<String>,
}

/// Likes something
///
/// One like or an array of at most 500, all or none of which are counted. The answer comes when they are on the node's disk.
#[utoipa::path(post, path = "/api/v1/likes", tag = "counters", operation_id = "like",
    request_body(content = Like, description = "A like, or an array of them."), responses(
    (status = 200, description = "Counted; an array for an array.", body = Liked),
    (status = 400, description = "The body cannot be read.", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "A viewer may not like.", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "The cluster has no counter nodes (`counters-off`).", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "It is no like.", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "No node answers, or it has too much to do.", body = Problem, content_type = "application/problem+json"),
    (status = 507, description = "The node's volume is full.", body = Problem, content_type = "application/problem+json"),
))]
async fn likes(
    State(app): State<Shared>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Answer, Problem> {
    pass_on(&app, "/likes", &headers, body).await
}

/// Takes likes back
///
/// As `like`; `n` is how many less.
#[utoipa::path(post, path = "/api/v1/unlikes", tag = "counters", operation_id = "unlike",
    request_body(content = Like, description = "An unlike, or an array of them."), responses(
    (status = 200, description = "Counted; an array for an array.", body = Liked),
    (status = 400, description = "The body cannot be read.", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "A viewer may not unlike.", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "The cluster has no counter nodes (`counters-off`).", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "It is no like.", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "No node answers, or it has too much to do.", body = Problem, content_type = "application/problem+json"),
    (status = 507, description = "The node's volume is full.", body = Problem, content_type = "application/problem+json"),
))]
async fn unlikes(
    State(app): State<Shared>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Answer, Problem> {
    pass_on(&app, "/unlikes", &headers, body).await
}

/// What ids have, as one of the nodes knows it
#[utoipa::path(get, path = "/api/v1/totals", tag = "counters", operation_id = "totals", params(Which), responses(
    (status = 200, description = "Totals.", body = Totals),
    (status = 400, description = "A parameter is wrong.", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "The cluster has no counter nodes (`counters-off`).", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "No node answers.", body = Problem, content_type = "application/problem+json"),
))]
async fn totals(State(app): State<Shared>, RawQuery(query): RawQuery) -> Result<Answer, Problem> {
    Ok(node::get(&app.counters()?.clients, &path_of_totals(query)).await?)
}

/// The parameters are the node's.
pub(super) fn path_of_totals(query: Option<String>) -> String {
    query.map_or_else(|| "/totals".to_owned(), |query| format!("/totals?{query}"))
}

async fn pass_on(
    app: &App,
    path: &str,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Answer, Problem> {
    let counters = app.counters()?;
    let post = Post {
        path,
        content_type: headers.get(header::CONTENT_TYPE),
        body: body.map_err(|_| too_large())?,
    };
    Ok(counters.like(&post).await?)
}
