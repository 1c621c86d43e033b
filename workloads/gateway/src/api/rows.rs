//! Rows of a site.

use axum::{
    Json,
    extract::State,
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_LOCATION, ETAG, HeaderName, IF_MATCH, LOCATION},
    },
    response::{AppendHeaders, IntoResponse, Response},
    routing,
};
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::Shared,
    extract::{Body, Params, Segments},
    problem::Problem,
    rows::{
        catalogues::Work,
        key::component,
        read::{self, Get, List, Rows},
        row::Row,
        values::Values,
        write::{self, Delete, Insert, Precondition, Update},
    },
};

/// The routes of rows.
pub fn routes() -> OpenApiRouter<Shared> {
    // A key may be one empty text: then its segment is empty too, which `{key}` does not stand for.
    let empty = routing::get(get).patch(update).delete(delete);
    OpenApiRouter::new()
        .routes(routes!(list, insert))
        .routes(routes!(get, update, delete))
        .route("/api/v1/sites/{site}/tables/{table}/rows/", empty)
}

/// Which rows, and how many.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    /// Conditions joined by `and`: `column op value` with = != < <= > >= like ilike, `column in (…)`, `column is null`, `column is not null`.
    /// Texts in single quotes ('' is one of them), numbers, true and false bare; column names in double quotes where they need it.
    #[param(example = "done = false and title like 'b%'")]
    filter: Option<String>,
    /// Columns joined by commas, with `-` before one for descending. The key is always the last part.
    #[param(example = "-created_at")]
    order: Option<String>,
    /// 1 to 500 rows; 100, unless it is said.
    limit: Option<u16>,
    /// `next` of the page before.
    after: Option<String>,
}

/// Rows of a table at a site.
#[utoipa::path(get, path = "/api/v1/sites/{site}/tables/{table}/rows", tag = "rows", params(
    ("site" = String, Path, example = "client-2"),
    ("table" = String, Path, example = "public.todos"),
    Listing,
), responses(
    (status = 200, description = "A page of rows.", body = Rows),
    (status = 400, description = "Bad filter, order, limit or cursor.", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such site or table.", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "The page's rows are too large together (`page-too-large`); ask for fewer.", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The site cannot be reached, or takes too long.", body = Problem, content_type = "application/problem+json"),
))]
async fn list(
    State(app): State<Shared>,
    Segments((site, table)): Segments<(String, String)>,
    Params(listing): Params<Listing>,
) -> Result<Json<Rows>, Problem> {
    let list = List {
        filter: read::filter(listing.filter.as_deref())?,
        order: listing.order.unwrap_or_default(),
        limit: read::limit(listing.limit)?,
        after: listing.after,
    };
    work(&app, &site, &table, &list).await.map(Json)
}

/// Where a row is.
#[derive(Debug, Deserialize)]
struct At {
    site: String,
    table: String,
    #[serde(default)]
    key: String,
}

/// What to write.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Write {
    /// Columns and their values, in the forms in which rows show them; for json columns also JSON itself.
    #[schema(value_type = Object)]
    values: Values,
}

/// A new row, as an application at the site would make it.
#[utoipa::path(post, path = "/api/v1/sites/{site}/tables/{table}/rows", tag = "rows", params(
    ("site" = String, Path, example = "client-2"),
    ("table" = String, Path, example = "public.todos"),
), request_body = Write, responses(
    (status = 201, description = "The row.", body = Row, headers(("Location" = String), ("ETag" = String))),
    (status = 404, description = "No such site or table.", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "Against a constraint, such as a key that is there.", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "A value that is not of its column's type, or a column that cannot be written.", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The site cannot be reached, or takes too long.", body = Problem, content_type = "application/problem+json"),
))]
async fn insert(
    State(app): State<Shared>,
    Segments(At { site, table, .. }): Segments<At>,
    Body(Write { values }): Body<Write>,
) -> Result<Response, Problem> {
    let row = work(&app, &site, &table, &Insert { values }).await?;
    let headers = with_location(LOCATION, &site, &table, &row);
    Ok((StatusCode::CREATED, headers, Json(row)).into_response())
}

/// A row.
#[utoipa::path(get, path = "/api/v1/sites/{site}/tables/{table}/rows/{key}", tag = "rows", params(
    ("site" = String, Path, example = "client-2"),
    ("table" = String, Path, example = "public.todos"),
    ("key" = String, Path, description = "The row's `key_path`, encoded as one segment.", example = "42"),
), responses(
    (status = 200, description = "The row; its ETag is its version.", body = Row, headers(("ETag" = String))),
    (status = 400, description = "No key of this table.", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such site, table or row.", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The site cannot be reached, or takes too long.", body = Problem, content_type = "application/problem+json"),
))]
async fn get(State(app): State<Shared>, Segments(At { site, table, key }): Segments<At>) -> Result<Response, Problem> {
    let row = work(&app, &site, &table, &Get { key }).await?;
    Ok(([(ETAG, row.etag())], Json(row)).into_response())
}

/// Other values for a row.
#[utoipa::path(patch, path = "/api/v1/sites/{site}/tables/{table}/rows/{key}", tag = "rows", params(
    ("site" = String, Path, example = "client-2"),
    ("table" = String, Path, example = "public.todos"),
    ("key" = String, Path, description = "The row's `key_path`, encoded as one segment.", example = "42"),
    ("If-Match" = Option<String>, Header, description = "The row's ETag: the write has no effect if the row is another one by now."),
), request_body = Write, responses(
    (status = 200, description = "The row as it is now.", body = Row, headers(("ETag" = String), ("Content-Location" = String))),
    (status = 400, description = "No key of this table.", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such site, table or row.", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "Against a constraint.", body = Problem, content_type = "application/problem+json"),
    (status = 412, description = "Changed since it was read; `current` is the row as it is now, or null.", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "A value that is not of its column's type, or a column that cannot be written.", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The site cannot be reached, or takes too long.", body = Problem, content_type = "application/problem+json"),
))]
async fn update(
    State(app): State<Shared>,
    Segments(At { site, table, key }): Segments<At>,
    headers: HeaderMap,
    Body(Write { values }): Body<Write>,
) -> Result<Response, Problem> {
    let only_if = only_if(&headers)?;
    let row = work(&app, &site, &table, &Update { key, values, only_if }).await?;
    // The key may be another one now.
    let headers = with_location(CONTENT_LOCATION, &site, &table, &row);
    Ok((headers, Json(row)).into_response())
}

/// The end of a row.
#[utoipa::path(delete, path = "/api/v1/sites/{site}/tables/{table}/rows/{key}", tag = "rows", params(
    ("site" = String, Path, example = "client-2"),
    ("table" = String, Path, example = "public.todos"),
    ("key" = String, Path, description = "The row's `key_path`, encoded as one segment.", example = "42"),
    ("If-Match" = Option<String>, Header, description = "The row's ETag: nothing is deleted if the row is another one by now."),
), responses(
    (status = 204, description = "It is gone."),
    (status = 400, description = "No key of this table.", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such site, table or row.", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "Against a constraint.", body = Problem, content_type = "application/problem+json"),
    (status = 412, description = "Changed since it was read; `current` is the row as it is now, or null.", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "The database refuses it, for instance by a trigger.", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The site cannot be reached, or takes too long.", body = Problem, content_type = "application/problem+json"),
))]
async fn delete(
    State(app): State<Shared>,
    Segments(At { site, table, key }): Segments<At>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let only_if = only_if(&headers)?;
    work(&app, &site, &table, &Delete { key, only_if }).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn work<W: Work>(app: &Shared, site: &str, table: &str, work: &W) -> Result<W::Answer, Problem> {
    let site = app.sites.find(site)?;
    app.catalogues.work(&app.sites, site, table, work).await
}

/// A request's `If-Match`.
pub fn only_if(headers: &HeaderMap) -> Result<Option<Precondition>, Problem> {
    // Bytes that are no text are no version either.
    write::if_match(headers.get(IF_MATCH).map(|value| value.to_str().unwrap_or("?")))
}

fn with_location(name: HeaderName, site: &str, table: &str, row: &Row) -> AppendHeaders<[(HeaderName, String); 2]> {
    let path = format!(
        "/api/v1/sites/{site}/tables/{}/rows/{}",
        component(table),
        row.segment()
    );
    AppendHeaders([(ETAG, row.etag()), (name, path)])
}
