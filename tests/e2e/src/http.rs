//! One question to one port of a pod, through the API server.

use anyhow::{Context as _, Result};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;
use tokio::time::timeout;

use crate::{Cluster, answered};

/// An answer takes longer only if the pod is gone.
const ANSWER: std::time::Duration = std::time::Duration::from_mins(1);

/// What is asked.
pub struct Question<'a> {
    /// How.
    pub method: Method,
    /// Where.
    pub path: &'a str,
    /// Who asks.
    pub token: Option<&'a str>,
    /// With what.
    pub body: Option<&'a Value>,
}

impl Cluster {
    /// Status and body of an answer; a body that is no JSON is text.
    pub(crate) async fn ask(&self, pod: &str, port: u16, question: Question<'_>) -> Result<(StatusCode, Value)> {
        self.ask_with(pod, port, question, None).await
    }

    /// The same with a further header.
    pub(crate) async fn ask_with(
        &self,
        pod: &str,
        port: u16,
        question: Question<'_>,
        header: Option<(&str, &str)>,
    ) -> Result<(StatusCode, Value)> {
        let what = format!("{} {} at {pod}:{port}", question.method, question.path);
        let answer = timeout(ANSWER, self.exchange(pod, port, question, header)).await;
        let answer = answer.with_context(|| format!("no answer within {ANSWER:?}"));
        answer.and_then(|answer| answer).context(what)
    }

    async fn exchange(
        &self,
        pod: &str,
        port: u16,
        question: Question<'_>,
        more: Option<(&str, &str)>,
    ) -> Result<(StatusCode, Value)> {
        let pods = self.namespace.api::<Pod>();
        let ports = [port];
        let mut forward = answered(|| pods.portforward(pod, &ports)).await?;
        let stream = forward.take_stream(port).context("no stream")?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let mut request = Request::builder()
            .method(question.method)
            .uri(question.path)
            .header(header::HOST, "localhost")
            .header(header::CONNECTION, "close");
        if let Some(token) = question.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some((name, value)) = more {
            request = request.header(name, value);
        }
        if question.body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = question.body.map(Value::to_string).unwrap_or_default();
        let request = request.body(Full::<Bytes>::from(body))?;
        let answered = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
            Ok::<_, anyhow::Error>((status, serde_json::from_slice(&body).unwrap_or_else(|_| text())))
        };
        // The connection makes progress only while it is polled; it ends with the answer because of `Connection: close`.
        tokio::select! {
            biased;
            answer = answered => answer,
            Err(broken) = connection => Err(broken.into()),
        }
    }
}
