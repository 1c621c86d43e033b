//! What stands before every route: who asks and whether he may, how large a body may be, how long an answer may take, what a panic becomes.

use std::{panic::AssertUnwindSafe, time::Duration};

use axum::{
    body::Body,
    extract::{FromRequestParts, MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::{FutureExt, StreamExt};
use tokio::time;

use super::{Access, Caller, Origin, headers, no_stranger, stranger};
use crate::{
    app::Shared,
    assets,
    extract::{MAX_BODY, too_large},
    metrics::Metrics,
    problem::{Problem, ProblemKind},
};

/// How long the head of an answer may take; what is asked of databases, Kafka and Kubernetes has shorter limits of its own.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Where Socket.IO is.
const SOCKETS: &str = "/socket.io/";
/// Where a token is traded for a session.
const SESSION: &str = "/api/v1/session";
/// Where all sites' tables are; what is asked there changes nothing.
const TABLES: &str = "/api/v1/tables/";

/// Where what is counted is read: totals, those of one node, windows as they are and as they change.
const TOTALS: &str = "/api/v1/totals";
const NODES: &str = "/api/v1/counters/";
const WINDOWS: &str = "/api/v1/aggregations";
const WINDOWS_OF: &str = "/api/v1/aggregations/";

/// What a request needs to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    /// Nothing: the same for everybody, and public with the source.
    Public,
    /// A token in its body.
    Session,
    /// A token in its headers or in its first packet.
    Sockets,
    /// Who asks, be it a viewer: a question too long for an address.
    Question,
    /// Nothing, where anyone may read what is counted; otherwise what is asked for everywhere.
    Counts,
    /// Who asks, and for changes an editor.
    Guarded,
}

fn door(path: &str) -> Door {
    match path {
        "/openapi.json" | "/docs" => Door::Public,
        SESSION => Door::Session,
        _ if path.starts_with("/docs/") || assets::find(path).is_some() => Door::Public,
        _ if path.starts_with(SOCKETS) => Door::Sockets,
        _ if path.starts_with(TABLES) && path.ends_with("/ways") => Door::Question,
        TOTALS | WINDOWS => Door::Counts,
        _ if path.starts_with(WINDOWS_OF) || (path.starts_with(NODES) && path.ends_with("/totals")) => Door::Counts,
        _ => Door::Guarded,
    }
}

/// Whether anyone may read at this path, where anyone may read what is counted.
pub fn is_of_counts(path: &str) -> bool {
    door(path) == Door::Counts
}

/// Lets a request in with its [`Caller`] as an extension, or answers with a problem.
pub async fn guard(State(app): State<Shared>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let label = label(request.method(), request.extensions().get(), &path);
    let answer = if announced(request.headers()) > MAX_BODY {
        too_large().into_response()
    } else {
        match enter(&app.access, &path, request.method(), request.headers()) {
            Err(problem) => problem.into_response(),
            Ok(caller) => {
                if let Some(caller) = caller {
                    request.extensions_mut().insert(caller);
                }
                answer(next, request, &path).await
            }
        }
    };
    count(&app.metrics, label, &answer);
    let mut answer = end_in_time(answer, &app);
    if answer.status() == StatusCode::PAYLOAD_TOO_LARGE {
        // What is left of the body is not read as a next request; see `linger` for how the connection ends.
        answer
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    headers::add(&path, answer.headers_mut());
    answer
}

fn enter(access: &Access, path: &str, method: &Method, headers: &HeaderMap) -> Result<Option<Caller>, Problem> {
    match door(path) {
        // Otherwise a stranger's page could sign somebody in, or out.
        Door::Session if Origin::of(headers) == Origin::Stranger => Err(stranger()),
        Door::Public | Door::Session => Ok(None),
        Door::Sockets => match access.authenticate(headers) {
            Ok(caller) => no_stranger(&caller, method, headers).map(|()| Some(caller)),
            // Whoever shows nothing here may still show a token in his first packet.
            Err(_) if !headers.contains_key(header::AUTHORIZATION) => Ok(None),
            Err(problem) => Err(problem),
        },
        Door::Question => {
            let caller = access.authenticate(headers)?;
            no_stranger(&caller, method, headers).map(|()| Some(caller))
        }
        Door::Counts => access.admit_to_counts(method, headers).map(Some),
        Door::Guarded => access.admit(method, headers).map(Some),
    }
}

async fn answer(next: Next, request: Request, path: &str) -> Response {
    let waits = path.starts_with(SOCKETS);
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind();
    let answered = async {
        if waits {
            // A poll is answered when there is something to say.
            return Ok(answered.await);
        }
        time::timeout(ANSWER_WITHIN, answered).await
    };
    match answered.await {
        Ok(Ok(answer)) => answer,
        Ok(Err(panic)) => {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or_default();
            tracing::error!(
                path,
                panic = said,
                "a request failed in a way nobody thought of; please report it"
            );
            let detail = "the gateway failed in a way nobody thought of; its log has more";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", detail).into_response()
        }
        Err(_) => {
            let detail = format!(
                "no answer within {} s; ask for less, or see the components",
                ANSWER_WITHIN.as_secs()
            );
            Problem::new(StatusCode::GATEWAY_TIMEOUT, "timed-out", "Timed out", detail).into_response()
        }
    }
}

/// The length of a body, as it is announced.
fn announced(headers: &HeaderMap) -> usize {
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    length.and_then(|length| length.parse().ok()).unwrap_or_default()
}

/// A stream of events has no end of its own. It ends with the process, and when who listens has to show again who he is.
fn end_in_time(answer: Response, app: &Shared) -> Response {
    let kind = answer.headers().get(header::CONTENT_TYPE);
    if !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
        return answer;
    }
    let (stop, over) = (app.stop.clone(), app.access.over());
    let end = async move { stop.run_until_cancelled_owned(over).await };
    answer.map(|body| Body::from_stream(body.into_data_stream().take_until(Box::pin(end))))
}

/// What a request is counted under: few different ones, whatever is asked.
fn label(method: &Method, matched: Option<&MatchedPath>, path: &str) -> (String, String) {
    let method = match method.as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => known,
        _ => "other",
    };
    let route = match matched {
        Some(matched) => matched.as_str(),
        None if path.starts_with(SOCKETS) => SOCKETS,
        None if assets::find(path).is_some() => "page",
        None => "other",
    };
    (method.to_owned(), route.to_owned())
}

fn count(metrics: &Metrics, (method, route): (String, String), answer: &Response) {
    let status = answer.status();
    let labels = [
        ("method", method.as_str()),
        ("route", &route),
        ("status", status.as_str()),
    ];
    metrics
        .counter("synccluster_gateway_requests_total", "requests answered", &labels)
        .add(1);
    if let Some(ProblemKind(kind)) = answer.extensions().get() {
        let kind = kind.rsplit(':').next().unwrap_or_default();
        metrics
            .counter(
                "synccluster_gateway_problems_total",
                "requests answered with a problem",
                &[("kind", kind)],
            )
            .add(1);
    }
}

/// The guard puts it there; only what is public has none.
impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get().cloned().ok_or_else(|| {
            Problem::new(
                StatusCode::UNAUTHORIZED,
                "no-token",
                "Not signed in",
                "send `Authorization: Bearer <token>`",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, middleware::from_fn_with_state, routing::get};
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;

    use super::*;
    use crate::{app::App, sites::Sites};

    #[test]
    fn only_what_is_the_same_for_everybody_needs_nothing() {
        for path in ["/openapi.json", "/docs", "/docs/", "/docs/swagger-ui.css"] {
            assert_eq!(door(path), Door::Public, "{path}");
        }
        for path in [
            "/api/v1/cluster",
            "/events",
            "/docsx",
            "/api/v1/session/",
            "/API/v1/session",
            "/socket.io",
            "/metrics",
            "//docs",
            "",
        ] {
            assert_eq!(door(path), Door::Guarded, "{path}");
        }
        assert_eq!(door("/api/v1/session"), Door::Session);
        assert_eq!(door("/api/v1/tables/public.todos/ways"), Door::Question);
        assert_eq!(
            door("/api/v1/sites/server/tables/public.todos/rows/ways"),
            Door::Guarded
        );
        assert_eq!(door("/socket.io/"), Door::Sockets);
        for path in [
            "/api/v1/totals",
            "/api/v1/counters/0/totals",
            "/api/v1/aggregations",
            "/api/v1/aggregations/1m",
        ] {
            assert_eq!(door(path), Door::Counts, "{path}");
        }
        for path in [
            "/api/v1/likes",
            "/api/v1/counters",
            "/api/v1/counters/0",
            "/api/v1/aggregationsx",
        ] {
            assert_eq!(door(path), Door::Guarded, "{path}");
        }
    }

    #[test]
    fn what_is_counted_is_not_what_is_asked() {
        let of = |method: &str, path: &str| label(&method.parse().unwrap(), None, path);
        assert_eq!(of("GET", "/nobody/knows/1"), ("GET".to_owned(), "other".to_owned()));
        assert_eq!(of("BREW", "/socket.io/"), ("other".to_owned(), SOCKETS.to_owned()));
    }

    /// A router with one route of this answer, guarded, and open to everybody.
    async fn asked<H: Future<Output = Response> + Send + 'static>(
        app: &Shared,
        handler: impl Fn() -> H + Clone + Send + Sync + 'static,
    ) -> Response {
        let router = Router::new()
            .route("/route", get(handler))
            .layer(from_fn_with_state(app.clone(), guard));
        let request = Request::get("/route").header(header::HOST, "localhost");
        let router = TowerToHyperService::new(router);
        router.call(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    fn app() -> Shared {
        let sites = Sites::new(std::collections::BTreeMap::new());
        Shared::new(App::new("demo".parse().unwrap(), sites, "localhost:1".to_owned()))
    }

    #[tokio::test]
    async fn a_panic_becomes_a_problem_and_is_counted() {
        let app = app();
        let answer = asked(&app, || async { panic!("nobody thought of it") }).await;
        assert_eq!(answer.status(), 500);
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
        let text = app.metrics.text();
        let counted = r#"synccluster_gateway_requests_total{method="GET",route="/route",status="500"} 1"#;
        assert!(text.contains(counted), "{text}");
        assert!(
            text.contains(r#"synccluster_gateway_problems_total{kind="internal"} 1"#),
            "{text}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_does_not_come_becomes_a_problem() {
        let answer = asked(&app(), || async { std::future::pending().await }).await;
        assert_eq!(answer.status(), 504);
    }

    #[tokio::test]
    async fn a_stream_of_events_ends_with_the_process() {
        let app = app();
        let endless = || async {
            (
                [(header::CONTENT_TYPE, "text/event-stream")],
                Body::from_stream(endless()),
            )
                .into_response()
        };
        let answer = asked(&app, endless).await;
        let mut body = answer.into_body().into_data_stream();
        assert_eq!(body.next().await.unwrap().unwrap(), "data: 1\n\n");
        app.stop.cancel();
        assert!(body.next().await.is_none());
    }

    fn endless() -> impl futures::Stream<Item = Result<&'static str, std::convert::Infallible>> {
        futures::stream::iter([Ok("data: 1\n\n")]).chain(futures::stream::pending())
    }
}
