//! Topics and their messages.

use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::Shared,
    extract::{Params, Segments},
    kafka::{Described, Page, Query, Topic},
    problem::Problem,
};

/// Messages of a page, at most.
const MOST: usize = 500;

/// The routes of topics.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(describe))
        .routes(routes!(messages))
}

/// Every topic with its partitions and how far they go.
#[utoipa::path(get, path = "/api/v1/topics", tag = "topics", operation_id = "list_topics", responses(
    (status = 200, description = "Topics, by name.", body = [Topic]),
    (status = 503, description = "Kafka did not answer.", body = Problem, content_type = "application/problem+json"),
))]
async fn list(State(app): State<Shared>) -> Result<Json<Vec<Topic>>, Problem> {
    Ok(Json(app.kafka.topics().await?))
}

/// One topic, and how it is configured.
#[utoipa::path(get, path = "/api/v1/topics/{topic}", tag = "topics", operation_id = "describe_topic",
    params(("topic" = String, Path, description = "The topic's name.")), responses(
    (status = 200, description = "The topic.", body = Described),
    (status = 404, description = "There is no such topic.", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Kafka did not answer.", body = Problem, content_type = "application/problem+json"),
))]
async fn describe(State(app): State<Shared>, Segments(topic): Segments<String>) -> Result<Json<Described>, Problem> {
    Ok(Json(app.kafka.topic(topic).await?))
}

/// Which messages.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
struct Which {
    /// The partition.
    partition: i32,
    /// Where to begin: `beginning`, `end` (the last messages), `before:42` (the last ones before it), `offset:42`, or `time:2026-01-31T12:00:00Z` (the first message of that time or later).
    from: String,
    /// Only messages whose key, as text, has this part.
    key: Option<String>,
    /// So many messages at most, 1 to 500.
    #[param(minimum = 1, maximum = 500)]
    limit: usize,
}

impl Default for Which {
    fn default() -> Self {
        Self {
            partition: 0,
            from: "end".to_owned(),
            key: None,
            limit: 50,
        }
    }
}

/// Messages of one partition, in its order. From `end` and `before:…` they are looked for backwards, otherwise forwards. A page looks at a
/// bounded number of records, which `looked` tells: with `key` it may hold few messages or none. `next` and `previous` say where later and
/// earlier ones are, and whoever follows one of them sees every message once.
#[utoipa::path(get, path = "/api/v1/topics/{topic}/messages", tag = "topics", operation_id = "read_messages",
    params(("topic" = String, Path, description = "The topic's name."), Which), responses(
    (status = 200, description = "Messages.", body = Page),
    (status = 400, description = "The position cannot be read (`bad-position`), or the partition does not hold the offset (`unknown-offset`; `low` and `high` say what it holds).",
        body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is no such topic or partition.", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Kafka did not answer.", body = Problem, content_type = "application/problem+json"),
))]
async fn messages(
    State(app): State<Shared>,
    Segments(topic): Segments<String>,
    Params(which): Params<Which>,
) -> Result<Json<Page>, Problem> {
    if !(1..=MOST).contains(&which.limit) {
        let detail = format!("`limit` is {}; it must be 1 to {MOST}", which.limit);
        return Err(Problem::bad_request("bad-parameter", "Bad parameter", detail));
    }
    let from = which.from.parse();
    let query = Query {
        topic,
        partition: which.partition,
        from: from.map_err(|error: crate::kafka::BadPosition| {
            Problem::bad_request("bad-position", "Bad position", error.to_string())
        })?,
        key: which.key.filter(|key| !key.is_empty()),
        limit: which.limit,
    };
    Ok(Json(app.kafka.messages(query, app.known_tables()).await?))
}
