//! Runs: begun, watched, paused, stopped and checked.

use std::time::Duration;

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use synccluster_protocol::Site;
use synccluster_runtime::config::parse_duration;
use synccluster_web::{
    extract::{Body, Segments},
    problem::Problem,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Shared, problem};
use crate::{
    journal::Order,
    plan::{Deltas, Load, presets},
    run::{Control, Progress},
    verify::Report,
};

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, begin))
        .routes(routes!(get, remove))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(stop))
        .routes(routes!(verify))
}

/// What is to be done: one of these.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum Wanted {
    /// New rows.
    Load(Load),
    /// Writes that go on.
    Deltas(Deltas),
    /// An order with a name.
    Preset(Named),
}

/// A preset, and what is to be different.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Named {
    /// Its name.
    name: String,
    /// Another seed.
    seed: Option<u64>,
    /// Another rate.
    rate: Option<u32>,
    /// Another duration, such as 30s.
    duration: Option<String>,
    /// These tables only.
    tables: Option<Vec<String>>,
    /// These sites only.
    #[schema(value_type = Option<Vec<String>>)]
    sites: Option<Vec<Site>>,
}

impl Named {
    fn order(self, sites: &[Site]) -> Result<Order, Problem> {
        let at = self.sites.as_deref().unwrap_or(sites);
        let all = presets::all(at);
        let names: Vec<&str> = all.iter().map(|preset| preset.name).collect();
        let missing = || {
            let detail = format!("there is no preset `{}`; there are {}", self.name, names.join(", "));
            Problem::unprocessable("unknown-preset", "Unknown preset", detail)
        };
        let preset = all.iter().find(|preset| preset.name == self.name).ok_or_else(missing)?;
        let base = preset.deltas.clone();
        Ok(Order::Deltas(Deltas {
            seed: self.seed.unwrap_or(base.seed),
            rate: self.rate.unwrap_or(base.rate),
            duration: self.duration.clone().or(base.duration),
            tables: self.tables.clone().unwrap_or(base.tables),
            sites: self.sites.clone().unwrap_or(base.sites),
            ..base
        }))
    }
}

/// All runs, oldest first.
#[utoipa::path(get, path = "/api/v1/runs", tag = "runs", responses((status = 200, body = [Progress], description = "The runs")))]
async fn list(State(app): State<Shared>) -> Result<Json<Vec<Progress>>, Problem> {
    app.runs.list().map(Json).map_err(|error| problem(&error))
}

/// Begins a run: a load, deltas, or a preset. It is begun when this is answered, and goes on.
#[utoipa::path(
    post, path = "/api/v1/runs", tag = "runs", request_body = Wanted,
    responses(
        (status = 202, body = Progress, description = "It has begun"),
        (status = 409, body = Problem, description = "Another is going on"),
        (status = 422, body = Problem, description = "It cannot be done, and why"),
        (status = 503, body = Problem, description = "A site cannot be reached"),
    ),
)]
async fn begin(State(app): State<Shared>, Body(wanted): Body<Wanted>) -> Result<(StatusCode, Json<Progress>), Problem> {
    let order = match wanted {
        Wanted::Load(load) => Order::Load(load),
        Wanted::Deltas(deltas) => Order::Deltas(deltas),
        Wanted::Preset(named) => named.order(&app.runs.sites.names())?,
    };
    let run = app.runs.begin(order).await.map_err(|error| problem(&error))?;
    Ok((StatusCode::ACCEPTED, Json(run.progress())))
}

/// One run.
#[utoipa::path(
    get, path = "/api/v1/runs/{run}", tag = "runs", params(("run" = String, Path, description = "Its name")),
    responses((status = 200, body = Progress, description = "The run"), (status = 404, body = Problem, description = "There is none")),
)]
async fn get(State(app): State<Shared>, Segments(id): Segments<String>) -> Result<Json<Progress>, Problem> {
    app.runs.get(&id).map(Json).map_err(|error| problem(&error))
}

/// Removes a run that has ended, with its journal: it cannot be checked any more. The rows stay.
#[utoipa::path(
    delete, path = "/api/v1/runs/{run}", tag = "runs", params(("run" = String, Path, description = "Its name")),
    responses((status = 204, description = "It is removed"), (status = 404, body = Problem, description = "There is none"), (status = 409, body = Problem, description = "It is going on")),
)]
async fn remove(State(app): State<Shared>, Segments(id): Segments<String>) -> Result<StatusCode, Problem> {
    app.runs
        .remove(&id)
        .map(|()| StatusCode::NO_CONTENT)
        .map_err(|error| problem(&error))
}

/// Lets a run wait.
#[utoipa::path(
    post, path = "/api/v1/runs/{run}/pause", tag = "runs", params(("run" = String, Path, description = "Its name")),
    responses((status = 200, body = Progress, description = "It waits"), (status = 404, body = Problem, description = "There is none"), (status = 409, body = Problem, description = "It has ended")),
)]
async fn pause(State(app): State<Shared>, Segments(id): Segments<String>) -> Result<Json<Progress>, Problem> {
    app.runs
        .tell(&id, Control::Pause)
        .map(Json)
        .map_err(|error| problem(&error))
}

/// Goes on with a run that waits, or with a load that was stopped, failed or was interrupted.
#[utoipa::path(
    post, path = "/api/v1/runs/{run}/resume", tag = "runs", params(("run" = String, Path, description = "Its name")),
    responses((status = 200, body = Progress, description = "It goes on"), (status = 404, body = Problem, description = "There is none"), (status = 409, body = Problem, description = "It cannot go on")),
)]
async fn resume(State(app): State<Shared>, Segments(id): Segments<String>) -> Result<Json<Progress>, Problem> {
    app.runs.resume(&id).await.map(Json).map_err(|error| problem(&error))
}

/// Ends a run.
#[utoipa::path(
    post, path = "/api/v1/runs/{run}/stop", tag = "runs", params(("run" = String, Path, description = "Its name")),
    responses((status = 200, body = Progress, description = "It ends"), (status = 404, body = Problem, description = "There is none"), (status = 409, body = Problem, description = "It has ended")),
)]
async fn stop(State(app): State<Shared>, Segments(id): Segments<String>) -> Result<Json<Progress>, Problem> {
    app.runs
        .tell(&id, Control::Stop)
        .map(Json)
        .map_err(|error| problem(&error))
}

/// What is to be checked.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
struct Check {
    /// At these sites; at all unless it is told.
    #[schema(value_type = Vec<String>)]
    sites: Vec<Site>,
    /// For how long what is missing is looked for again, such as 30s: it may be on its way. Five minutes at most.
    wait: Option<String>,
}

/// Checks that every write a run was acknowledged is accounted for at every site: in its row, replaced or deleted by a later write, or in sync.conflicts.
#[utoipa::path(
    post, path = "/api/v1/runs/{run}/verify", tag = "runs", params(("run" = String, Path, description = "Its name")), request_body = Check,
    responses(
        (status = 200, body = Report, description = "What became of the writes; `ok` says whether all are accounted for"),
        (status = 404, body = Problem, description = "There is no such run"),
        (status = 503, body = Problem, description = "A site cannot be reached"),
    ),
)]
async fn verify(
    State(app): State<Shared>,
    Segments(id): Segments<String>,
    Body(check): Body<Check>,
) -> Result<Json<Report>, Problem> {
    let wait = check.wait.as_deref().map(parse_duration).transpose();
    let wait = wait
        .map_err(|wrong| Problem::unprocessable("bad-order", "Cannot be done", wrong))?
        .unwrap_or_default();
    let report = app
        .runs
        .verify(&id, &check.sites, wait.min(Duration::from_mins(5)))
        .await;
    report.map(Json).map_err(|error| problem(&error))
}
