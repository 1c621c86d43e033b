//! Events that wait.

use std::collections::BTreeMap;

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use synccluster_protocol::Site;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::Shared,
    extract::{Params, Segments},
    problem::Problem,
    rows::{
        books::{self, Wanted},
        parked::{self, Parked},
        read,
    },
};

/// The routes of parked events.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(retry))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Query {
    /// One site's; all of them, unless it is said.
    site: Option<String>,
    /// One table's.
    table: Option<String>,
    /// 1 to 500; 100, unless it is said.
    limit: Option<u16>,
    /// `next` of the page before.
    after: Option<String>,
}

/// Events that cannot be applied yet, newest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Waiting {
    parked: Vec<Parked>,
    /// Sites that cannot be asked, and why.
    #[schema(value_type = BTreeMap<String, String>)]
    unreachable: BTreeMap<Site, String>,
    /// `after` of the next page; null on the last one.
    next: Option<String>,
}

/// Events that cannot be applied yet, at all sites.
#[utoipa::path(get, path = "/api/v1/parked", tag = "books", params(Query), responses(
    (status = 200, description = "A page, newest first.", body = Waiting),
    (status = 400, description = "Bad limit or cursor.", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such site.", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The site cannot be reached.", body = Problem, content_type = "application/problem+json"),
))]
async fn list(State(app): State<Shared>, Params(query): Params<Query>) -> Result<Json<Waiting>, Problem> {
    let wanted = Wanted {
        site: query.site,
        table: query.table,
        kind: None,
        limit: read::limit(query.limit)?,
        after: query.after,
    };
    let page = books::page(&app, &wanted).await?;
    Ok(Json(Waiting {
        parked: page.entries,
        unreachable: page.unreachable,
        next: page.next,
    }))
}

/// Asks for another try of a parked event, before its time.
#[utoipa::path(post, path = "/api/v1/sites/{site}/parked/{id}/retry", tag = "books", params(
    ("site" = String, Path, example = "client-2"),
    ("id" = String, Path, example = "7"),
), responses(
    (status = 202, description = "It will be tried within a second or two.", body = Parked),
    (status = 404, description = "No such site, or nothing parked under this number.", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The site cannot be reached.", body = Problem, content_type = "application/problem+json"),
))]
async fn retry(
    State(app): State<Shared>,
    Segments((site, id)): Segments<(String, String)>,
) -> Result<(StatusCode, Json<Parked>), Problem> {
    let site = app.sites.find(&site)?;
    Ok((StatusCode::ACCEPTED, Json(parked::retry(&app, site, &id).await?)))
}
