//! A small HTTP client.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{CONTENT_TYPE, HOST, HeaderName},
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// One request, answered within `limit`.
pub async fn send(
    address: SocketAddr,
    method: Method,
    path: &str,
    headers: &[(HeaderName, &str)],
    body: Option<&Value>,
    limit: Duration,
) -> Result<Answer> {
    timeout(limit, ask(address, method, path, headers, body))
        .await
        .with_context(|| format!("no answer to {path}"))?
}

/// Any request to a server of a test, on a connection of its own.
pub async fn ask(
    address: SocketAddr,
    method: Method,
    path: &str,
    headers: &[(HeaderName, &str)],
    body: Option<&Value>,
) -> Result<Answer> {
    Answer::whole(open(address, method, path, headers, body).await?).await
}

/// Any request to a server of a test; the body is left to be read, as it comes.
pub async fn open(
    address: SocketAddr,
    method: Method,
    path: &str,
    headers: &[(HeaderName, &str)],
    body: Option<&Value>,
) -> Result<Response<Incoming>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, address.to_string());
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    if body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let bytes = body.map(Value::to_string).unwrap_or_default();
    let request = request.body(Full::new(Bytes::from(bytes)))?;
    sender
        .send_request(request)
        .await
        .with_context(|| format!("asking for {path}"))
}

impl Answer {
    /// An answer that has come to its end.
    pub async fn whole(answer: Response<Incoming>) -> Result<Self> {
        let (head, body) = answer.into_parts();
        Ok(Self {
            status: head.status,
            headers: head.headers,
            body: body.collect().await?.to_bytes(),
        })
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("{} is no JSON: {}", self.status, self.text()))
    }

    /// The body as JSON, of a request that succeeded.
    pub fn ok(&self) -> Result<Value> {
        ensure!(self.status.is_success(), "{}: {}", self.status, self.text());
        self.json()
    }

    /// The problem document, of this kind and status.
    pub fn problem(&self, status: u16, kind: &str) -> Result<Value> {
        let problem = self.json()?;
        let media = self.header("content-type");
        let (wanted, found) = (format!("urn:synccluster:problem:{kind}"), problem["type"].as_str());
        ensure!(
            self.status.as_u16() == status && problem["status"] == status && found == Some(&wanted),
            "{status} {kind} was expected: {} {problem}",
            self.status
        );
        ensure!(media == Some("application/problem+json"), "it is {media:?}");
        Ok(problem)
    }

    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}
