//! What happens, as it happens.

use std::{collections::BTreeSet, convert::Infallible, fmt::Write, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use futures::stream;
use serde::Deserialize;
use synccluster_protocol::Site;
use tokio::time::{self, Instant};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    access::Holder,
    app::Shared,
    extract::Params,
    limit::Place,
    live::bus::{Id, News, Subscription},
    problem::Problem,
};

/// How often a silent stream says that it is there.
const SILENCE: Duration = Duration::from_secs(15);

/// The route of events.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(events))
}

/// Which events.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Which {
    /// Only what happens to these tables, separated by commas.
    #[param(example = "public.todos")]
    tables: Option<String>,
    /// Only what happens at these sites, separated by commas.
    #[param(example = "server,client-1")]
    sites: Option<String>,
    /// The id of the last event that was seen, as the header `Last-Event-ID` says it, for those who cannot send that.
    last_event_id: Option<String>,
}

/// What happens at the sites, as server-sent events
///
/// `change`: a row changed at a site; `hop`: a write was captured, or is in Kafka; `cluster`: the document of `/api/v1/cluster` changed;
/// `reset`: something may have been missed, at one site if it names one: read the state again. An id is `<epoch>-<number>`; who resumes with
/// one is given what came since, or a `reset` first where that is not known any more. Ids without an event come along to resume with.
#[utoipa::path(get, path = "/events", tag = "events", operation_id = "events", params(
    Which,
    ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was seen."),
), responses(
    (status = 200, description = "Events.", body = String, content_type = "text/event-stream"),
    (status = 404, description = "No such site.", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "The caller has as many as one may have (`share-taken`).", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "This replica serves as many streams as it can.", body = Problem, content_type = "application/problem+json"),
))]
async fn events(
    State(app): State<Shared>,
    holder: Holder,
    headers: HeaderMap,
    Params(which): Params<Which>,
) -> Result<Response, Problem> {
    let wanted = Wanted {
        tables: which
            .tables
            .as_deref()
            .map(|tables| listed(tables).map(str::to_owned).collect()),
        sites: which
            .sites
            .as_deref()
            .map(|sites| listed(sites).map(|site| app.sites.find(site)).collect())
            .transpose()?,
    };
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let last = last.or(which.last_event_id.as_deref()).filter(|id| !id.is_empty());
    let reader = Reader {
        place: app.events.enter(holder)?,
        // What is no id is none that is known.
        subscription: app.live.bus.subscribe(last.map(|id| id.parse().unwrap_or(Id::UNKNOWN))),
        wanted,
        greeted: false,
    };
    let frames = stream::unfold(reader, |mut reader| async {
        let frame = reader.frame().await;
        Some((Ok::<_, Infallible>(Bytes::from(frame)), reader))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
        // Proxies are not to hold events back.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(frames)).into_response())
}

fn listed(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty())
}

/// Which events a reader wants; what is about no table or site concerns everybody.
struct Wanted {
    tables: Option<BTreeSet<String>>,
    sites: Option<BTreeSet<Site>>,
}

impl Wanted {
    fn has(&self, news: &News) -> bool {
        let table = news.table.as_deref().zip(self.tables.as_ref());
        let site = news.site.as_ref().zip(self.sites.as_ref());
        table.is_none_or(|(table, wanted)| wanted.contains(table))
            && (site.is_none_or(|(site, wanted)| wanted.contains(site)))
    }
}

struct Reader {
    #[expect(dead_code, reason = "held for its drop")]
    place: Place,
    subscription: Subscription,
    wanted: Wanted,
    greeted: bool,
}

impl Reader {
    /// What is to be sent next; never empty. It is asked for when the client has room: one that has none holds nothing here.
    async fn frame(&mut self) -> String {
        let mut frame = String::new();
        if !self.greeted {
            self.greeted = true;
            // With an id to resume from before anything has happened.
            id(&mut frame, self.subscription.seen());
            return frame + "\n";
        }
        let until = Instant::now() + SILENCE;
        while frame.is_empty() {
            let Ok(events) = time::timeout_at(until, self.subscription.next()).await else {
                frame.push_str(": still here\n");
                id(&mut frame, self.subscription.seen());
                return frame + "\n";
            };
            for event in events.iter().filter(|event| self.wanted.has(&event.news)) {
                id(&mut frame, event.id);
                let _ = write!(
                    frame,
                    "event: {}\ndata: {}\n\n",
                    event.news.kind.name(),
                    event.news.data
                );
            }
        }
        frame
    }
}

fn id(frame: &mut String, id: Id) {
    let _ = writeln!(frame, "id: {id}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::bus::Kind;

    #[test]
    fn a_reader_gets_what_it_asked_for_and_what_concerns_everybody() {
        let news = |kind, table: Option<&str>, site| News {
            kind,
            table: table.map(Into::into),
            site,
            data: "{}".into(),
            relayed: false,
        };
        let wanted = Wanted {
            tables: Some(["public.todos".to_owned()].into()),
            sites: Some([Site::Server].into()),
        };
        let cases = [
            (news(Kind::Change, Some("public.todos"), Some(Site::Server)), true),
            (news(Kind::Change, Some("public.todos"), Some(Site::Client(1))), false),
            (news(Kind::Hop, Some("public.other"), Some(Site::Server)), false),
            (news(Kind::Reset, None, Some(Site::Client(1))), false),
            (news(Kind::Reset, None, None), true),
            (news(Kind::Cluster, None, None), true),
        ];
        for (news, expected) in cases {
            assert_eq!(wanted.has(&news), expected, "{news:?}");
        }
        let all = Wanted {
            tables: None,
            sites: None,
        };
        assert!(all.has(&news(Kind::Hop, Some("public.other"), Some(Site::Client(3)))));
    }
}
