//! Messages as they are written.

use std::{collections::BTreeSet, convert::Infallible, time::Duration};

use axum::{
    extract::State,
    response::{
        Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::{Stream, StreamExt as _, stream};
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    access::Holder,
    app::Shared,
    extract::Params,
    kafka::{Tail, TailEvent},
    problem::Problem,
};

/// Topics one tail follows.
const MOST: usize = 64;
/// How often a silent stream says that it is there.
const SILENCE: Duration = Duration::from_secs(15);

/// The route of tails.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(tail))
}

/// Which messages.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Which {
    /// The topics, separated by commas.
    #[param(example = "demo.server,demo.client-1")]
    topics: String,
    /// Only messages whose key or value has this part, as it is written in the topic.
    filter: Option<String>,
}

/// Follows topics from their end, as server-sent events. `message` is a message with its topic. Where there are too many, or they are read
/// too slowly, `skipped` says how many were left out: `{"messages": 12}`. The stream ends when a topic is deleted.
#[utoipa::path(get, path = "/api/v1/tail", tag = "topics", operation_id = "tail_topics", params(Which), responses(
    (status = 200, description = "Events.", body = String, content_type = "text/event-stream"),
    (status = 400, description = "No topic is named, or too many.", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is no such topic.", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "The caller has as many as one may have (`share-taken`).", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Kafka did not answer, or too many tails are followed.", body = Problem, content_type = "application/problem+json"),
))]
async fn tail(
    State(app): State<Shared>,
    holder: Holder,
    Params(which): Params<Which>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let named = which.topics.split(',').map(str::trim).filter(|topic| !topic.is_empty());
    let topics: BTreeSet<String> = named.map(str::to_owned).collect();
    if !(1..=MOST).contains(&topics.len()) {
        let detail = format!(
            "`topics` names {} topics; name 1 to {MOST}, separated by commas",
            topics.len()
        );
        return Err(Problem::bad_request("bad-parameter", "Bad parameter", detail));
    }
    let tail = Tail {
        topics: topics.into_iter().collect(),
        filter: which.filter.filter(|filter| !filter.is_empty()),
        place: app.tails.enter(holder)?,
        stop: app.stop.clone(),
    };
    let events = app.kafka.tail(tail, app.known_tables()).await?;
    let events = stream::unfold(events, |mut events| async {
        let event = event(events.recv().await?);
        Some((Ok(event), events))
    });
    // Whoever waits knows by it from when on messages are told.
    let following = stream::once(async { Ok(Event::default().comment("following")) });
    Ok(Sse::new(following.chain(events)).keep_alive(KeepAlive::new().interval(SILENCE)))
}

fn event(live: TailEvent) -> Event {
    let (name, data) = match live {
        TailEvent::Message(message) => ("message", serde_json::to_string(&message)),
        TailEvent::Skipped(messages) => ("skipped", Ok(json!({ "messages": messages }).to_string())),
    };
    // A message is made of text and numbers: it can always be written.
    Event::default().event(name).data(data.unwrap_or_default())
}
