//! What there is to fill.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use synccluster_protocol::Site;
use synccluster_web::{extract::Params, problem::Problem};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Shared, problem};
use crate::{plan::presets, prepare, values::Values};

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(tables)).routes(routes!(orders))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct At {
    /// The site whose catalogue is read; the server's unless it is told.
    #[param(value_type = Option<String>)]
    site: Option<Site>,
}

/// A table.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct TableView {
    /// Its name.
    table: String,
    /// Its key.
    key: Vec<String>,
    /// Its columns.
    columns: Vec<ColumnView>,
}

impl std::fmt::Display for TableView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (key: {})", self.table, self.key.join(", "))?;
        for column in &self.columns {
            let null = if column.not_null { " not null" } else { "" };
            write!(f, "\n  {} {}{null}: {}", column.name, column.sql_type, column.values)?;
        }
        Ok(())
    }
}

/// A column.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ColumnView {
    /// Its name.
    name: String,
    /// Its type.
    sql_type: String,
    /// Whether it must have a value.
    not_null: bool,
    /// Where its values come from.
    values: String,
}

/// The tables, as they are understood.
pub fn view(values: &Values) -> Vec<TableView> {
    let table = |place: usize| {
        let table = values.table(place);
        let columns = table.columns.iter().enumerate().map(|(number, column)| ColumnView {
            name: column.name.clone(),
            sql_type: column.sql_type.clone(),
            not_null: column.not_null,
            values: values.describe(place, number),
        });
        TableView {
            table: table.name.to_string(),
            key: table.key_names().map(str::to_owned).collect(),
            columns: columns.collect(),
        }
    };
    (0..values.tables().count()).map(table).collect()
}

/// The enrolled tables, in the order in which they are filled, and where each column's values come from.
#[utoipa::path(
    get, path = "/api/v1/tables", tag = "tables", params(At),
    responses(
        (status = 200, body = [TableView], description = "The tables"),
        (status = 422, body = Problem, description = "They cannot be filled"),
        (status = 503, body = Problem, description = "The site cannot be reached"),
    ),
)]
async fn tables(State(app): State<Shared>, Params(at): Params<At>) -> Result<Json<Vec<TableView>>, Problem> {
    let values = prepare::look(&app.runs.sites, at.site.unwrap_or(Site::Server)).await;
    values
        .map(|values| Json(view(&values)))
        .map_err(|error| problem(&error.into()))
}

/// Orders with a name, each of which makes one thing happen.
#[utoipa::path(get, path = "/api/v1/presets", tag = "runs", responses((status = 200, body = [presets::Preset], description = "The presets")))]
async fn orders(State(app): State<Shared>) -> Json<Vec<presets::Preset>> {
    Json(presets::all(&app.runs.sites.names()))
}
