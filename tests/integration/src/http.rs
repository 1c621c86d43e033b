//! A small HTTP client.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request,
    body::Bytes,
    client::conn::http1,
    header::{CONTENT_TYPE, HOST, HeaderName},
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};

use crate::gateway::Answer;

/// One request on a connection of its own, answered within `limit`.
pub async fn send(
    address: SocketAddr,
    method: Method,
    path: &str,
    headers: &[(HeaderName, &str)],
    body: Option<&Value>,
    limit: Duration,
) -> Result<Answer> {
    let asking = async {
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
        let (head, body) = sender
            .send_request(request.body(Full::new(Bytes::from(bytes)))?)
            .await
            .with_context(|| format!("asking for {path}"))?
            .into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body,
        })
    };
    timeout(limit, asking)
        .await
        .with_context(|| format!("no answer to {path}"))?
}
