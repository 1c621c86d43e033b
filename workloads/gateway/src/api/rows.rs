//! Rows of a site.

use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::Shared,
    extract::{Params, Segments},
    problem::Problem,
    rows::read::{self, List, Page},
};

/// The routes of rows.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Which rows, and how many.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
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
    (status = 200, description = "A page of rows.", body = Page),
    (status = 400, description = "Bad filter, order, limit or cursor.", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such site or table.", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The site cannot be reached, or takes too long.", body = Problem, content_type = "application/problem+json"),
))]
async fn list(
    State(app): State<Shared>,
    Segments((site, table)): Segments<(String, String)>,
    Params(listing): Params<Listing>,
) -> Result<Json<Page>, Problem> {
    let site = app.sites.find(&site)?;
    let work = List {
        filter: read::filter(listing.filter.as_deref())?,
        order: listing.order.unwrap_or_default(),
        limit: read::limit(listing.limit)?,
        after: listing.after,
    };
    app.catalogues.work(&app.sites, site, &table, &work).await.map(Json)
}
