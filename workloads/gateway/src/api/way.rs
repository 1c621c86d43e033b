//! How far writes have come.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use synccluster_protocol::Version;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::{App, Shared},
    extract::{Body, Params, Segments},
    live::{
        ask::ask,
        hops::Write,
        way::{self, Way},
    },
    problem::Problem,
};

/// Keys of one question at most.
const MOST: usize = 500;

/// The routes of ways.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(one)).routes(routes!(many))
}

/// A row's newest write, and how far it has come.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct RowWay {
    /// The row's key as a path has it.
    key: String,
    #[serde(flatten)]
    way: Way,
}

/// Ways, in the order of their keys; of a key that no site has, nothing.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Ways {
    ways: Vec<RowWay>,
}

/// Rows.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Keys {
    /// Their keys as a path has them, 500 at most.
    #[schema(example = json!(["1", "2"]))]
    keys: Vec<String>,
}

/// Which write.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Which {
    /// The version it made; the newest one of the row at any site, unless it is said.
    version: Option<String>,
}

/// The way of a row's write: local, captured, in Kafka, applied at every other site
#[utoipa::path(get, path = "/api/v1/tables/{table}/rows/{key}/way", tag = "rows", operation_id = "row_way", params(
    ("table" = String, Path, example = "public.todos"),
    ("key" = String, Path, example = "1"),
    Which,
), responses(
    (status = 200, body = RowWay),
    (status = 400, description = "the version is no number, or the key has too few parts", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "no site has such a table, or such a row", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "the key is not of its column's type", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "no site can be reached", body = Problem, content_type = "application/problem+json"),
))]
async fn one(
    State(app): State<Shared>,
    Segments((table, key)): Segments<(String, String)>,
    Params(which): Params<Which>,
) -> Result<Json<RowWay>, Problem> {
    let version = which.version.map(|text| version(&text)).transpose()?;
    let found = ways(&app, &table, std::slice::from_ref(&key), version).await?;
    found.into_iter().next().map(Json).ok_or_else(|| {
        let detail = format!("no site that can be reached has, or had lately, a row {key} in {table}");
        Problem::not_found("unknown-row", "Unknown row", detail)
    })
}

/// The ways of many rows' newest writes
#[utoipa::path(post, path = "/api/v1/tables/{table}/ways", tag = "rows", operation_id = "row_ways", params(
    ("table" = String, Path, example = "public.todos"),
), request_body = Keys, responses(
    (status = 200, body = Ways),
    (status = 400, description = "too many keys, or one that has too few parts", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "no site has such a table", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "a key is not of its column's type", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "no site can be reached", body = Problem, content_type = "application/problem+json"),
))]
async fn many(
    State(app): State<Shared>,
    Segments(table): Segments<String>,
    Body(Keys { keys }): Body<Keys>,
) -> Result<Json<Ways>, Problem> {
    if keys.len() > MOST {
        let detail = format!("`keys` has {} keys; {MOST} at once is the most", keys.len());
        return Err(Problem::bad_request("too-many-keys", "Too many keys", detail));
    }
    let ways = ways(&app, &table, &keys, None).await?;
    Ok(Json(Ways { ways }))
}

fn version(text: &str) -> Result<Version, Problem> {
    text.parse().map(Version).map_err(|_| {
        let detail = format!("`version` is a row's version, a number of 64 bits, and not `{text}`");
        Problem::bad_request("bad-parameter", "Bad parameter", detail)
    })
}

async fn ways(app: &App, table: &str, keys: &[String], of: Option<Version>) -> Result<Vec<RowWay>, Problem> {
    let listening = app.live.listening();
    let cluster = app.kubernetes.as_ref().and_then(|kubernetes| kubernetes.cluster().ok());
    let partition = cluster.map(|cluster| cluster.partition.clone().unwrap_or_default());
    let way = |(key, sites)| {
        let newest = way::newest(&sites)?;
        let write = Write {
            table: table.into(),
            key: crate::rows::key::Key::path(&key).into(),
            version: of.unwrap_or(newest),
        };
        Some(RowWay {
            key: write.key.to_string(),
            way: way::way(
                write.version,
                &sites,
                app.live.seen(&write).as_ref(),
                listening,
                partition.as_ref(),
            ),
        })
    };
    Ok(ask(app, table, keys).await?.into_iter().filter_map(way).collect())
}
