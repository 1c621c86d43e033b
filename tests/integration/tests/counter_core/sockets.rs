//! Clients of the WebSocket.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use futures::{SinkExt, StreamExt};
use serde_json::json;
use synccluster_integration::{
    counter::Nodes,
    socket::{self, told, told_of},
};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::NODE;

#[tokio::test]
async fn a_like_is_seen_at_every_node_by_those_who_watch() -> Result<()> {
    let nodes = Nodes::start(NODE, 3, &[]).await?;
    let mut watchers = Vec::new();
    for node in &nodes.nodes {
        let mut socket = socket::open(node).await?;
        socket.send(Message::text(r#"{"watch":["tea"]}"#)).await?;
        // Where the others were slow to start, the first node says before that it was alone.
        ensure!(told_of(&mut socket, "total").await?["total"] == 0);
        watchers.push(socket);
    }
    let liked = json!({"like": {"id": "tea", "by": "somebody", "n": 3, "request": "c/1"}});
    watchers[0].send(Message::text(liked.to_string())).await?;
    let (mut acked, mut seen) = (None, None);
    while acked.is_none() || seen.is_none() {
        let told = told(&mut watchers[0]).await?;
        acked = acked.or(told.get("ack").cloned());
        seen = seen.or(told.get("total").cloned());
    }
    let ack = acked.context("no ack")?;
    ensure!(
        ack["request"] == "c/1" && ack["id"] == "tea" && ack["total"] == 3 && ack["position"] == 1,
        "{ack}"
    );
    for watcher in &mut watchers[1..] {
        let total = told(watcher).await?["total"].clone();
        ensure!(total == json!({"id": "tea", "total": 3, "nodes": {"0": 3}}), "{total}");
    }
    watchers[1]
        .send(Message::text(r#"{"unlike":{"id":"tea","by":"b"}}"#))
        .await?;
    let total = told(&mut watchers[2]).await?["total"].clone();
    ensure!(
        total == json!({"id": "tea", "total": 2, "nodes": {"0": 3, "1": -1}}),
        "{total}"
    );
    watchers[2]
        .send(Message::text(r#"{"like":{"id":"","by":"b","request":"x"}}"#))
        .await?;
    let error = told(&mut watchers[2]).await?["error"].clone();
    ensure!(
        error["request"] == "x" && error["type"] == "urn:synccluster:problem:bad-like",
        "{error}"
    );
    watchers[2].send(Message::text(r#"{"watch":"*"}"#)).await?;
    ensure!(told(&mut watchers[2]).await?["total"]["id"] == "tea");
    Ok(())
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_after_what_waits_is_answered() -> Result<()> {
    let nodes = Nodes::start(NODE, 1, &[]).await?;
    let mut socket = socket::open(&nodes.nodes[0]).await?;
    for n in 0..500 {
        let liked = json!({"like": {"id": "tea", "by": "b", "request": format!("c/{n}")}});
        socket.feed(Message::text(liked.to_string())).await?;
    }
    let huge = json!({"like": {"id": "x".repeat(600 * 1024), "by": "b"}});
    socket.send(Message::text(huge.to_string())).await?;
    for n in 0..500 {
        let told = told(&mut socket).await?;
        ensure!(told["ack"]["request"] == format!("c/{n}"), "{n}: {told}");
    }
    let error = told(&mut socket).await?["error"].clone();
    ensure!(
        error["type"] == "urn:synccluster:problem:too-large" && error["detail"].to_string().contains("524288"),
        "{error}"
    );
    let end = timeout(Duration::from_mins(1), socket.next()).await?;
    let Some(Ok(Message::Close(Some(close)))) = &end else {
        bail!("no close: {end:?}");
    };
    ensure!(u16::from(close.code) == 1009, "{close}");
    nodes.agree(&BTreeMap::from([("tea".to_owned(), 500)])).await
}
