//! Consumer groups and sinks, and their lag.

use std::sync::Arc;

use axum::{Json, extract::State};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::{App, Shared},
    extract::Segments,
    kafka::{GroupLag, GroupProgress, Sinks, Topic},
    problem::Problem,
};

/// The routes of groups.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(describe))
}

fn sinks(app: &App) -> Sinks<'_> {
    Sinks {
        cluster: &app.cluster,
        sites: &app.sites,
    }
}

/// Who reads the topics: the sink of every site, and the consumer groups that Kafka knows. Each has its lag, or why that is not known
#[utoipa::path(get, path = "/api/v1/groups", tag = "topics", operation_id = "list_groups", responses(
    (status = 200, description = "The sinks in the order of their sites, then consumer groups by name.", body = [GroupLag]),
    (status = 503, description = "Kafka did not answer.", body = Problem, content_type = "application/problem+json"),
))]
async fn list(State(app): State<Shared>) -> Result<Json<Vec<GroupLag>>, Problem> {
    // The ends first, as below.
    let (topics, consumers) = tokio::join!(app.kafka.topics(), app.kafka.groups());
    let (consumers, topics) = (consumers?, Arc::<[Topic]>::from(topics?));
    let (mut groups, consumers) = tokio::join!(
        sinks(&app).list(&topics),
        app.kafka.lags(consumers, Arc::clone(&topics))
    );
    groups.extend(consumers);
    Ok(Json(groups))
}

/// One group, and how far it has come.
#[utoipa::path(get, path = "/api/v1/groups/{group}", tag = "topics", operation_id = "describe_group",
    params(("group" = String, Path, description = "The group's name; a sink's is `<cluster>.<site>-sink`.")), responses(
    (status = 200, description = "The group.", body = GroupProgress),
    (status = 404, description = "There is no such group.", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Kafka did not answer, or the database of the sink's site.", body = Problem, content_type = "application/problem+json"),
))]
async fn describe(
    State(app): State<Shared>,
    Segments(group): Segments<String>,
) -> Result<Json<GroupProgress>, Problem> {
    let sinks = sinks(&app);
    let progress = match sinks.site(&group) {
        // The ends first: asked for after the offsets they would show what was written between as a lag.
        Some(site) => sinks.progress(site, &app.kafka.topics().await?).await?,
        None => app.kafka.group(group).await?,
    };
    Ok(Json(progress))
}
