//! Reads server-sent events.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http_body_util::BodyExt;
use hyper::{Method, Response, body::Incoming, header::HeaderName};
use serde_json::Value;
use tokio::time::timeout;

use crate::gateway::Gateway;

/// A stream of events that is open; closed when it is dropped.
pub struct Events {
    body: Incoming,
    /// What came and is not read yet.
    text: String,
}

/// An event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Its id, if it has one.
    pub id: Option<String>,
    /// Its name.
    pub name: String,
    /// Its data.
    pub data: String,
}

impl Event {
    /// The data as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.data).with_context(|| format!("{}: {}", self.name, self.data))
    }
}

impl Events {
    /// Opens a stream.
    pub async fn open(gateway: &Gateway, path: &str, headers: &[(HeaderName, &str)]) -> Result<Self> {
        let answer: Response<Incoming> = gateway.open(Method::GET, path, headers, None).await?;
        ensure!(answer.status().is_success(), "{path}: {}", answer.status());
        let media = answer.headers().get("content-type");
        ensure!(
            media.is_some_and(|media| media == "text/event-stream"),
            "{path}: {media:?}"
        );
        Ok(Self {
            body: answer.into_body(),
            text: String::new(),
        })
    }

    /// The next event; none when the stream ended.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                if let Some(event) = parse(&block) {
                    return Ok(Some(event));
                }
                continue;
            }
            let Some(frame) = self.body.frame().await else {
                return Ok(None);
            };
            if let Ok(data) = frame?.into_data() {
                self.text.push_str(std::str::from_utf8(&data)?);
            }
        }
    }

    /// The next event, which has to come in time.
    pub async fn within(&mut self, patience: Duration) -> Result<Event> {
        let next = timeout(patience, self.next()).await;
        next.with_context(|| format!("no event within {patience:?}"))??
            .context("the stream ended")
    }
}

/// A block without data is a comment.
fn parse(block: &str) -> Option<Event> {
    let mut event = Event {
        name: "message".to_owned(),
        ..Event::default()
    };
    let mut data = Vec::new();
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => event.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut event.name),
            "data" => data.push(value),
            _ => {}
        }
    }
    event.data = data.join("\n");
    (!data.is_empty()).then_some(event)
}
