//! The enrolled tables.

use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{app::Shared, extract::Params, problem::Problem, rows::catalogue::Table};

/// The routes of tables.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// The site whose tables are meant; the server's, unless it is said.
    site: Option<String>,
}

/// Enrolled tables with their columns.
#[utoipa::path(get, path = "/api/v1/tables", tag = "rows", params(Wanted), responses(
    (status = 200, description = "Tables, by name.", body = [Table]),
    (status = 404, description = "No such site.", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The site cannot be reached.", body = Problem, content_type = "application/problem+json"),
))]
async fn list(State(app): State<Shared>, Params(wanted): Params<Wanted>) -> Result<Json<Vec<Table>>, Problem> {
    let site = app.sites.find(wanted.site.as_deref().unwrap_or("server"))?;
    let all = app.catalogues.all(&app.sites, site).await?;
    Ok(Json(all.values().cloned().collect()))
}
