//! What the windows count: as it is, and as it changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    fmt::Write,
    sync::Arc,
    time::Duration,
};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use futures::stream;
use serde::{Deserialize, Serialize};
use serde_json::json;
use synccluster_runtime::clock::now_millis;
use tokio::{
    sync::watch,
    time::{self, Instant},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    access::Holder,
    app::Shared,
    counters::{self, aggregation::Aggregation, window::Window},
    extract::{Params, Segments},
    limit::Place,
    problem::Problem,
};

/// Ids of one question at most.
const MOST_IDS: usize = 100;
/// Windows of an id at most, and how many without being told.
const MOST_WINDOWS: usize = 60;
const USUAL_WINDOWS: usize = 12;
/// A window that changes often is told so often at most.
const COALESCE: Duration = Duration::from_millis(100);
/// How often a silent stream says that it is there.
const SILENCE: Duration = Duration::from_secs(15);

/// The routes of windows.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(read)).routes(routes!(follow))
}

/// Which ids, and how much of them.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Which {
    /// These ids, separated by commas, 100 at most.
    #[param(example = "tea,coffee")]
    ids: Option<String>,
    /// This id, whatever is in it.
    id: Option<String>,
    /// So many windows up to the current one, 12 if it is left out.
    #[param(minimum = 1, maximum = 60)]
    windows: Option<usize>,
}

/// Which ids.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Followed {
    /// These ids, separated by commas, 100 at most.
    #[param(example = "tea,coffee")]
    ids: Option<String>,
    /// This id, whatever is in it.
    id: Option<String>,
}

/// Windows of some ids.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Windows {
    /// Their size.
    window: Window,
    /// The time they are an answer for, in milliseconds since the Unix epoch: the current window has it.
    now: i64,
    /// Whether all that was counted up to a moment ago has been read: otherwise Kafka is away or the gateway has just begun to read, and a
    /// window that is missing may have been counted all the same.
    complete: bool,
    /// In the order in which they were asked for.
    ids: Vec<Series>,
}

/// Windows of an id.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Series {
    /// Of what.
    #[schema(value_type = String)]
    id: Arc<str>,
    /// Those in which something was counted and that are known here, in their order.
    windows: Vec<Aggregation>,
}

/// What the last windows count of ids
///
/// The gateway remembers windows that changed lately; topic `<cluster>.aggregations-<window>` has all of them.
#[utoipa::path(get, path = "/api/v1/aggregations/{window}", tag = "counters", operation_id = "read_aggregations",
    params(("window" = Window, Path, description = "Their size."), Which), responses(
    (status = 200, description = "Windows.", body = Windows),
    (status = 400, description = "A parameter is wrong.", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There are no such windows (`unknown-window`), or the cluster has no counter nodes (`counters-off`).",
        body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "It is no id (`bad-id`).", body = Problem, content_type = "application/problem+json"),
))]
async fn read(
    State(app): State<Shared>,
    Segments(window): Segments<String>,
    Params(which): Params<Which>,
) -> Result<Json<Windows>, Problem> {
    let counters = app.counters()?;
    let window = counters.window(&window)?;
    let count = which.windows.unwrap_or(USUAL_WINDOWS);
    if !(1..=MOST_WINDOWS).contains(&count) {
        let detail = format!("`windows` is {count}; it must be 1 to {MOST_WINDOWS}");
        return Err(Problem::bad_request("bad-parameter", "Bad parameter", detail));
    }
    let (ids, now) = (ids(which.id.as_deref(), which.ids.as_deref())?, now_millis());
    let book = counters.book();
    let series = ids.into_iter().map(|id| Series {
        windows: book.latest(window, &id, now, count),
        id,
    });
    Ok(Json(Windows {
        window,
        now,
        complete: book.is_read(window),
        ids: series.collect(),
    }))
}

/// What the windows of ids count, as it changes, as server-sent events
///
/// `aggregation`: `{window, id, window_start, window_end, count, late, updated_at, final}`, at first the current windows, then each that
/// changes, at most every 100 ms. Whoever connects again is given the current ones again. A window in which nothing was counted is told with
/// `count` 0 once its topic has been read.
#[utoipa::path(get, path = "/api/v1/aggregations", tag = "counters", operation_id = "follow_aggregations", params(Followed), responses(
    (status = 200, description = "Events.", body = String, content_type = "text/event-stream"),
    (status = 400, description = "A parameter is wrong.", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "The cluster has no counter nodes (`counters-off`).", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "The caller has as many as one may have (`share-taken`).", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "This replica serves as many streams as it can.", body = Problem, content_type = "application/problem+json"),
))]
async fn follow(
    State(app): State<Shared>,
    holder: Holder,
    Params(which): Params<Followed>,
) -> Result<Response, Problem> {
    let counters = app.counters()?;
    let reader = Reader {
        place: app.events.enter(holder)?,
        ids: ids(which.id.as_deref(), which.ids.as_deref())?,
        changes: counters.changes(),
        app: Arc::clone(&app),
        seen: None,
        read: BTreeMap::new(),
        next: Instant::now(),
    };
    let frames = stream::unfold(reader, |mut reader| async {
        let frame = reader.frame().await?;
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

fn ids(one: Option<&str>, many: Option<&str>) -> Result<Vec<Arc<str>>, Problem> {
    let many = many.unwrap_or_default().split(',').filter(|id| !id.is_empty());
    let ids: Vec<_> = one.into_iter().chain(many).collect();
    if !(1..=MOST_IDS).contains(&ids.len()) {
        let detail = format!(
            "there are {} ids; name 1 to {MOST_IDS} as `ids`, separated by commas, or one as `id`",
            ids.len()
        );
        return Err(Problem::bad_request("bad-parameter", "Bad parameter", detail));
    }
    ids.into_iter().map(counters::id).collect()
}

/// Who follows some ids. It is asked for more when the client has room: one that has none holds nothing here.
struct Reader {
    #[expect(dead_code, reason = "held for its drop")]
    place: Place,
    app: Shared,
    ids: Vec<Arc<str>>,
    changes: watch::Receiver<u64>,
    /// The number of the last change it was told; none before the first.
    seen: Option<u64>,
    /// Windows whose topics had been read then, by the reading.
    read: BTreeMap<Window, u64>,
    next: Instant,
}

impl Reader {
    /// What is to be sent next; never empty.
    async fn frame(&mut self) -> Option<String> {
        let until = Instant::now() + SILENCE;
        loop {
            time::sleep_until(self.next).await;
            self.changes.borrow_and_update();
            let frame = self.changed()?;
            self.next = Instant::now() + COALESCE;
            if !frame.is_empty() {
                return Some(frame);
            }
            match time::timeout_at(until, self.changes.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => return Some(": still here\n\n".to_owned()),
            }
        }
    }

    fn changed(&mut self) -> Option<String> {
        let counters = self.app.counters.as_ref()?;
        let (book, now) = (counters.book(), now_millis());
        let fresh = book.newly_read(&mut self.read);
        let all = |windows: &BTreeSet<Window>| {
            let of_id = |id| windows.iter().map(move |window| (*window, id));
            self.ids.iter().flat_map(of_id).collect::<Vec<_>>()
        };
        let changed: Vec<_> = match self.seen {
            None => {
                let all = all(counters.windows()).into_iter();
                all.filter_map(|(window, id)| Some((window, book.at(window, id, now)?)))
                    .collect()
            }
            Some(seen) => {
                let nothing = all(&fresh).into_iter();
                let nothing = nothing.filter_map(|(window, id)| Some((window, book.nothing(window, id, now)?)));
                book.since(seen, |id| self.ids.contains(id))
                    .into_iter()
                    .chain(nothing)
                    .collect()
            }
        };
        self.seen = Some(book.last());
        drop(book);
        let mut frame = String::new();
        for (window, aggregation) in &changed {
            let mut data = json!(aggregation);
            data["window"] = json!(window);
            let _ = write!(frame, "event: aggregation\ndata: {data}\n\n");
        }
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{app::App, counters::Counters, sites::Sites};

    #[test]
    fn ids_are_separated_by_commas_and_there_are_some() {
        let read =
            |text: &str| ids(None, Some(text)).map(|ids| ids.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(read("tea,,coffee").unwrap(), ["tea", "coffee"]);
        for (wrong, kind) in [("", "bad-parameter"), (",", "bad-parameter"), ("a,\n", "bad-id")] {
            assert!(read(wrong).unwrap_err().kind.ends_with(kind), "{wrong}");
        }
        assert!(read(&vec!["a"; 101].join(",")).is_err());
        let both = ids(Some("a,b"), Some("c")).unwrap();
        assert_eq!(both.iter().map(|id| &**id).collect::<Vec<_>>(), ["a,b", "c"]);
        assert!(ids(None, None).is_err());
    }

    fn app() -> Shared {
        let sites = Sites::new(std::collections::BTreeMap::new());
        let mut app = App::new("demo".parse().unwrap(), sites, "localhost:1".to_owned());
        let clients = "localhost:1".parse().unwrap();
        app.counters = Some(Counters::new(&app.cluster, clients, None));
        Arc::new(app)
    }

    #[tokio::test(start_paused = true)]
    async fn a_follower_gets_the_current_windows_then_what_changes_of_its_ids() {
        let app = app();
        let counters = app.counters.as_ref().unwrap();
        let counted = |id: &str, count| Aggregation {
            count,
            ..Aggregation::nothing(Window::Five, id.into(), Window::Five.start(now_millis()))
        };
        counters.note(Window::Five, counted("tea", 3));
        let mut reader = Reader {
            place: app.events.enter(Holder::of(None, None)).unwrap(),
            ids: ids(Some("tea"), None).unwrap(),
            changes: counters.changes(),
            app: Arc::clone(&app),
            seen: None,
            read: BTreeMap::new(),
            next: Instant::now(),
        };
        let first = reader.frame().await.unwrap();
        assert_eq!(
            first.matches("event: aggregation\n").count(),
            1,
            "nothing is known of the others"
        );
        assert!(
            first.contains(r#""count":3"#) && first.contains(r#""window":"5m""#),
            "{first}"
        );
        counters.note(Window::Five, counted("coffee", 8));
        for count in 4..9 {
            counters.note(Window::Five, counted("tea", count));
        }
        let second = reader.frame().await.unwrap();
        assert_eq!(second.matches("event: aggregation\n").count(), 1);
        assert!(
            second.contains(r#""count":8"#) && !second.contains("coffee"),
            "{second}"
        );
        for window in Window::ALL {
            counters.begin(window, [].into());
        }
        let third = reader.frame().await.unwrap();
        assert_eq!(third.matches(r#""count":0"#).count(), 2, "{third}");
        assert_eq!(reader.frame().await.unwrap(), ": still here\n\n");
    }
}
