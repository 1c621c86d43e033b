//! A reader of `/events`.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http_body_util::BodyExt;
use hyper::{
    Method,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderName},
};
use serde_json::Value;
use synccluster_integration::{PATIENCE, gateway::Gateway};
use tokio::time::{Instant, timeout};

/// An event as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub id: String,
    pub kind: String,
    pub data: Value,
}

/// A stream of events, being read.
pub struct Events {
    body: Incoming,
    text: String,
    /// The last id that came, with or without an event.
    pub last: String,
}

impl Events {
    pub async fn open(gateway: &Gateway, query: &str, last: Option<&str>) -> Result<Self> {
        let header = last.map(|id| (HeaderName::from_static("last-event-id"), id));
        let headers: Vec<_> = header.into_iter().collect();
        let answer = gateway
            .open(Method::GET, &format!("/events{query}"), &headers, None)
            .await?;
        ensure!(answer.status() == 200, "{}", answer.status());
        let media = answer.headers().get(CONTENT_TYPE).context("a type")?;
        ensure!(media == "text/event-stream", "{media:?}");
        Ok(Self {
            body: answer.into_body(),
            text: String::new(),
            last: String::new(),
        })
    }

    /// The next event, whatever it is.
    pub async fn next(&mut self) -> Result<Event> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let mut lines = block
                        .lines()
                        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                    lines.next().map(str::to_owned)
                };
                let (id, kind, data) = (field("id"), field("event"), field("data"));
                self.text.drain(..self.text.len() - rest.len());
                self.last = id.unwrap_or_default();
                if let (Some(kind), Some(data)) = (kind, data) {
                    let data = serde_json::from_str(&data)?;
                    return Ok(Event {
                        id: self.last.clone(),
                        kind,
                        data,
                    });
                }
            }
            let frame = timeout(PATIENCE, self.body.frame()).await.context("nothing came")?;
            let frame = frame.context("the stream ended")??;
            self.text += std::str::from_utf8(frame.data_ref().context("data")?)?;
        }
    }

    /// The events up to the first that is `wanted`, with it.
    pub async fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> Result<Vec<Event>> {
        let mut seen = Vec::new();
        let end = Instant::now() + PATIENCE;
        loop {
            let event = tokio::time::timeout_at(end, self.next())
                .await
                .with_context(|| format!("not what was waited for: {seen:#?}"))??;
            let found = wanted(&event);
            seen.push(event);
            if found {
                return Ok(seen);
            }
        }
    }

    /// Goes on until the first that is `wanted`, unless it is among those that were seen; all of them.
    pub async fn with(&mut self, mut seen: Vec<Event>, wanted: impl Fn(&Event) -> bool) -> Result<Vec<Event>> {
        if !seen.iter().any(&wanted) {
            seen.extend(self.until(wanted).await?);
        }
        Ok(seen)
    }

    /// The events that are there until nothing comes for a while.
    pub async fn rest(&mut self) -> Result<Vec<Event>> {
        let mut seen = Vec::new();
        while let Ok(event) = timeout(Duration::from_millis(700), self.next()).await {
            seen.push(event?);
        }
        Ok(seen)
    }
}
