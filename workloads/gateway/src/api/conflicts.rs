//! Writes that lost.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, header::IF_NONE_MATCH},
};
use serde::{Deserialize, Serialize};
use synccluster_protocol::Site;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::rows::only_if;
use crate::{
    app::Shared,
    extract::{Params, Segments},
    problem::Problem,
    rows::{
        books::{self, Wanted},
        conflicts::Conflict,
        read,
        reapply::{self, Only, Reapplied, Reapply},
    },
};

/// The routes of conflicts.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(reapply))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Query {
    /// One site's books; all of them, unless it is said.
    site: Option<String>,
    /// One table's.
    table: Option<String>,
    /// One kind's.
    #[param(example = "update/update")]
    kind: Option<String>,
    /// 1 to 500; 100, unless it is said.
    limit: Option<u16>,
    /// `next` of the page before.
    after: Option<String>,
}

/// Writes that lost, newest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Lost {
    conflicts: Vec<Conflict>,
    /// Sites that cannot be asked, and why.
    #[schema(value_type = BTreeMap<String, String>)]
    unreachable: BTreeMap<Site, String>,
    /// `after` of the next page; null on the last one.
    next: Option<String>,
}

/// Writes that lost, at all sites.
#[utoipa::path(get, path = "/api/v1/conflicts", tag = "books", params(Query), responses(
    (status = 200, description = "A page, newest first.", body = Lost),
    (status = 400, description = "Bad limit or cursor.", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such site.", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The site cannot be reached.", body = Problem, content_type = "application/problem+json"),
))]
async fn list(State(app): State<Shared>, Params(query): Params<Query>) -> Result<Json<Lost>, Problem> {
    let wanted = Wanted {
        site: query.site,
        table: query.table,
        kind: query.kind,
        limit: read::limit(query.limit)?,
        after: query.after,
    };
    let page = books::page(&app, &wanted).await?;
    Ok(Json(Lost {
        conflicts: page.entries,
        unreachable: page.unreachable,
        next: page.next,
    }))
}

/// Makes a losing write again, as a new write at its site. Without a precondition it overwrites whatever is there.
#[utoipa::path(post, path = "/api/v1/sites/{site}/conflicts/{id}/reapply", tag = "books", params(
    ("site" = String, Path, example = "server"),
    ("id" = String, Path, example = "7"),
    ("If-Match" = Option<String>, Header, description = "The ETag of the row that was looked at: nothing is written if the row is another one by now, or gone."),
    ("If-None-Match" = Option<String>, Header, description = "`*`, where there was no row: nothing is written if there is one by now.", example = "*"),
), responses(
    (status = 200, description = "It was made again.", body = Reapplied),
    (status = 400, description = "A precondition that is none.", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such site, conflict or table.", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "Made again already, or against a constraint.", body = Problem, content_type = "application/problem+json"),
    (status = 412, description = "Changed since it was looked at; `current` is the row as it is now, or null.", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "A value does not fit the table any more.", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The site cannot be reached, or takes too long.", body = Problem, content_type = "application/problem+json"),
))]
async fn reapply(
    State(app): State<Shared>,
    Segments((site, id)): Segments<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Reapplied>, Problem> {
    let if_none_match = headers.get(IF_NONE_MATCH).map(|value| value.to_str().unwrap_or("?"));
    let only = Only::read(only_if(&headers)?, if_none_match)?;
    let site = app.sites.find(&site)?;
    let (id, table) = reapply::table_of(&app, site, &id).await?;
    app.catalogues
        .work(&app.sites, site, &table, &Reapply { id, only })
        .await
        .map(Json)
}
