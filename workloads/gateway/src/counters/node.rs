//! One question to a counter node, on a connection of its own: behind a Service each may find another node, and one that has just died is not
//! asked twice. Likes go over `lines`.

use std::{fmt, str::FromStr, time::Duration};

use axum::{
    body::Body,
    http::{HeaderValue, Request, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time};

use crate::problem::{Problem, ProblemKind};

/// How long a connection may take: a node that is gone does not answer at all.
pub(super) const CONNECT: Duration = Duration::from_secs(1);
/// Connections that are tried, one after another.
const TRIES: usize = 3;
/// How long an answer may take.
pub(super) const ANSWER: Duration = Duration::from_secs(10);
/// The largest answer: a thousand totals of the longest ids at many nodes.
const LARGEST: usize = 4 << 20;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
}

/// The text is not `host:port`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not host:port, such as demo-counter:5002")]
pub struct BadAddress(String);

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadAddress(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
        let plain = |host: &str| {
            !host.is_empty()
                && host
                    .chars()
                    .all(|letter| letter.is_ascii_alphanumeric() || "-._".contains(letter))
        };
        let six = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let good = six.map_or_else(|| plain(host), |host| host.parse::<std::net::Ipv6Addr>().is_ok());
        let port = port.parse().ok().filter(|port| *port > 0 && good);
        Ok(Self {
            host: host.to_owned(),
            port: port.ok_or_else(bad)?,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Address {
    /// The same host at another port.
    #[must_use]
    pub fn with_port(&self, port: u16) -> Self {
        Self {
            host: self.host.clone(),
            port,
        }
    }
}

/// What a node answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// What its body is.
    pub content_type: Option<HeaderValue>,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// What came, when it has come to its end; or why it has not.
    pub(super) async fn whole(response: hyper::Response<Incoming>) -> Result<Self, String> {
        let (head, body) = response.into_parts();
        let body = Limited::new(body, LARGEST)
            .collect()
            .await
            .map_err(|error| error.to_string())?;
        Ok(Self {
            status: head.status,
            content_type: head.headers.get(header::CONTENT_TYPE).cloned(),
            body: body.to_bytes(),
        })
    }

    /// The `type` of the problem document it is; absent where it is none.
    pub fn problem(&self) -> Option<String> {
        if self.status.is_success() {
            return None;
        }
        let document: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        document["type"].as_str().map(str::to_owned)
    }
}

impl IntoResponse for Answer {
    /// As it is; a problem is counted as the gateway's own are.
    fn into_response(self) -> Response {
        let kind = self.problem();
        let mut response = (self.status, Body::from(self.body)).into_response();
        if let Some(content_type) = self.content_type {
            response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Some(kind) = kind {
            response.extensions_mut().insert(ProblemKind(kind));
        }
        response
    }
}

/// What could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum Unreachable {
    /// Nobody was there.
    #[error("cannot connect to {0}: {1}")]
    Connect(String, String),
    /// Somebody was, and did not answer.
    #[error("{0} did not answer: {1}")]
    Answer(String, String),
}

impl From<Unreachable> for Problem {
    fn from(error: Unreachable) -> Self {
        let detail = match &error {
            Unreachable::Connect(..) => format!("{error}; nothing was counted: try again, and see the components"),
            Unreachable::Answer(..) => {
                format!("{error}; whether something was counted is not known: send it again with the same `request`")
            }
        };
        Self::unavailable("counter-unreachable", "Counter node unreachable", detail)
    }
}

/// GET of JSON; tried again while nobody is there.
pub async fn get(address: &Address, path: &str) -> Result<Answer, Unreachable> {
    let stream = connect(address).await?;
    let silent = |error: String| Unreachable::Answer(address.to_string(), error);
    let request = Request::builder()
        .uri(path)
        .header(header::HOST, address.to_string())
        .body(Empty::<Bytes>::new())
        .map_err(|error| silent(error.to_string()))?;
    let answer = async {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        // It ends with the sender.
        let connection = tokio::spawn(connection);
        let _end = scopeguard::guard(connection, |connection| connection.abort());
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        Answer::whole(response).await
    };
    let answered = time::timeout(ANSWER, answer).await;
    answered
        .unwrap_or_else(|_| Err(format!("nothing within {} s", ANSWER.as_secs())))
        .map_err(silent)
}

/// Tried more than once: nothing has been said yet, and the next try may find another node.
async fn connect(address: &Address) -> Result<TcpStream, Unreachable> {
    let mut failed = std::io::Error::from(std::io::ErrorKind::TimedOut);
    for _ in 0..TRIES {
        match time::timeout(CONNECT, TcpStream::connect((&*address.bare_host(), address.port))).await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => failed = error,
            Err(_) => failed = std::io::ErrorKind::TimedOut.into(),
        }
    }
    Err(Unreachable::Connect(address.to_string(), failed.to_string()))
}

impl Address {
    fn bare_host(&self) -> String {
        self.host.trim_matches(['[', ']']).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for good in [
            "demo-counter:5002",
            "127.0.0.1:1",
            "[::1]:5002",
            "a.b.svc.cluster.local:80",
        ] {
            let address: Address = good.parse().unwrap();
            assert_eq!(address.to_string(), good);
        }
        for bad in [
            "",
            "demo-counter",
            ":5002",
            "a:0",
            "a:70000",
            "http://a:5002",
            "a b:1",
            "[x]:1",
            "::1:5002",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn who_is_not_there_is_a_problem_that_says_that_nothing_was_counted() {
        let nobody = "127.0.0.1:1".parse().unwrap();
        let problem = Problem::from(get(&nobody, "/totals").await.unwrap_err());
        assert_eq!(problem.status, 503);
        assert!(problem.detail.contains("127.0.0.1:1") && problem.detail.contains("nothing was counted"));
    }
}
