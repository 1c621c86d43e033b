//! Connections to counter nodes that are kept: a like is a few bytes, and a handshake for each would be most of its way.

use std::{error::Error, time::Duration};

use axum::http::{HeaderValue, Method, Request, header};
use bytes::Bytes;
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time;

use super::node::{Address, Answer, CONNECT, Unreachable};

/// One that nothing went over for so long is closed. A machine that is gone closes nothing: when its node is back elsewhere, no connection to
/// where it was is left.
const IDLE: Duration = Duration::from_secs(5);
/// Connections to one node that wait for the next like.
const MOST: usize = 64;

/// What is sent to a node.
pub struct Post<'a> {
    /// Where to, beginning with `/`.
    pub path: &'a str,
    /// What the body is.
    pub content_type: Option<&'a HeaderValue>,
    /// The body.
    pub body: Bytes,
}

/// The connections.
pub struct Lines(Client<HttpConnector, Full<Bytes>>);

impl Default for Lines {
    fn default() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(MOST)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Self(client)
    }
}

impl Lines {
    /// Sends it, and waits for the answer so long. A connection that turns out to be closed before anything was sent is replaced by another;
    /// what may have been sent is not sent again.
    pub async fn post(&self, to: &Address, post: &Post<'_>, limit: Duration) -> Result<Answer, Unreachable> {
        let silent = |error: String| Unreachable::Answer(to.to_string(), error);
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://{to}{}", post.path));
        if let Some(content_type) = post.content_type {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        let request = request
            .body(Full::new(post.body.clone()))
            .map_err(|error| silent(error.to_string()))?;
        let answer = async {
            let response = self.0.request(request).await.map_err(|error| {
                let why = causes(&error);
                if error.is_connect() {
                    Unreachable::Connect(to.to_string(), why)
                } else {
                    silent(why)
                }
            })?;
            Answer::whole(response).await.map_err(silent)
        };
        let answered = time::timeout(limit, answer).await;
        answered.unwrap_or_else(|_| Err(silent(format!("nothing within {:.1} s", limit.as_secs_f64()))))
    }
}

/// What the error came from: its own words say only in which step.
fn causes(error: &dyn Error) -> String {
    let (mut causes, mut next) = (Vec::new(), error.source());
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    if causes.is_empty() {
        error.to_string()
    } else {
        causes.join(": ")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use axum::{Router, routing, serve::ListenerExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::problem::Problem;

    const PATIENCE: Duration = Duration::from_mins(1);

    fn like(body: &'static str) -> Post<'static> {
        Post {
            path: "/likes",
            content_type: None,
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[tokio::test]
    async fn who_is_not_there_is_a_problem_that_says_that_nothing_was_counted() {
        let nobody = "127.0.0.1:1".parse().unwrap();
        let problem = Problem::from(Lines::default().post(&nobody, &like(""), PATIENCE).await.unwrap_err());
        assert_eq!(problem.status, 503);
        for part in ["127.0.0.1:1", "refused", "nothing was counted"] {
            assert!(problem.detail.contains(part), "{}", problem.detail);
        }
    }

    #[tokio::test]
    async fn a_connection_is_used_again() {
        let opened = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&opened);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let node = listener.local_addr().unwrap().to_string().parse().unwrap();
        let listener = listener.tap_io(move |_| {
            counts.fetch_add(1, Ordering::Relaxed);
        });
        let router = Router::new().route("/likes", routing::post(|body: Bytes| async move { body }));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let lines = Lines::default();
        for _ in 0..50 {
            let answer = lines.post(&node, &like("tea"), PATIENCE).await.unwrap();
            assert_eq!((answer.status.as_u16(), &*answer.body), (200, &b"tea"[..]));
        }
        // One may be dialled while the one before is on its way back.
        let opened = opened.load(Ordering::Relaxed);
        assert!(opened < 10, "{opened} connections for 50 likes");
    }

    #[tokio::test]
    async fn who_says_nothing_is_not_waited_for() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let node = silent.local_addr().unwrap().to_string().parse().unwrap();
        let limit = Duration::from_millis(200);
        let problem = Problem::from(Lines::default().post(&node, &like(""), limit).await.unwrap_err());
        assert!(problem.detail.contains("nothing within 0.2 s"), "{}", problem.detail);
        assert!(problem.detail.contains("is not known"), "{}", problem.detail);
    }
}
