//! What runs for the cluster, and what it logs.

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::Shared,
    extract::{Params, Segments},
    kubernetes::{logs::Wanted, pods::Component},
    problem::Problem,
};

/// So many lines of a log at most.
const MOST_LINES: i64 = 2000;

/// Which part of a log.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Part {
    /// Of this container; of the first without it.
    container: Option<String>,
    /// So many lines from the end, 1 to 2000.
    #[serde(default = "two_hundred")]
    #[param(default = 200, minimum = 1, maximum = 2000)]
    lines: i64,
    /// Of the container before it was started again.
    #[serde(default)]
    previous: bool,
}

fn two_hundred() -> i64 {
    200
}

/// Its routes.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(logs))
}

/// What runs for the cluster: its pods, by name
#[utoipa::path(get, path = "/api/v1/components", tag = "components", responses(
    (status = 200, body = Vec<Component>),
    (status = 403, description = "Kubernetes lets the gateway not look", body = Problem, content_type = "application/problem+json"),
    (status = 501, description = "the gateway does not run in Kubernetes", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Kubernetes does not answer", body = Problem, content_type = "application/problem+json"),
))]
async fn list(State(app): State<Shared>) -> Result<Json<Vec<Component>>, Problem> {
    app.kubernetes()?.components().await.map(Json)
}

/// The end of a container's log, 1 MiB at most
#[utoipa::path(get, path = "/api/v1/components/{pod}/logs", tag = "components", params(("pod" = String, Path, description = "The pod's name"), Part),
    responses(
        (status = 200, body = String, content_type = "text/plain"),
        (status = 400, description = "the number of lines is wrong (`bad-parameter`)", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Kubernetes lets the gateway not look", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "there is no such pod or container", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Kubernetes has no such log, for instance of a container that has not started before", body = Problem, content_type = "application/problem+json"),
        (status = 501, description = "the gateway does not run in Kubernetes", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Kubernetes does not answer, or reading takes too long", body = Problem, content_type = "application/problem+json"),
    ))]
async fn logs(
    State(app): State<Shared>,
    Segments(pod): Segments<String>,
    Params(part): Params<Part>,
) -> Result<Response, Problem> {
    if !(1..=MOST_LINES).contains(&part.lines) {
        let detail = format!("lines must be 1 to {MOST_LINES}");
        return Err(Problem::bad_request("bad-parameter", "Bad parameter", detail));
    }
    let wanted = Wanted {
        container: part.container,
        lines: part.lines,
        previous: part.previous,
    };
    let text = app.kubernetes()?.logs(&pod, &wanted).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}
