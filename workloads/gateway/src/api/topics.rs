//! Topics and their messages.

use axum::{Json, extract::State};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{app::Shared, kafka::Topic, problem::Problem};

/// The routes of topics.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Every topic with its partitions and how far they go.
#[utoipa::path(get, path = "/api/v1/topics", tag = "topics", responses(
    (status = 200, description = "Topics, by name.", body = [Topic]),
    (status = 503, description = "Kafka did not answer.", body = Problem, content_type = "application/problem+json"),
))]
async fn list(State(app): State<Shared>) -> Result<Json<Vec<Topic>>, Problem> {
    Ok(Json(app.kafka.topics().await?))
}
