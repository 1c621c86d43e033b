//! When a like taken by one node is seen by those who watch the others.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures::{SinkExt, StreamExt};
use serde_json::Value;
use synccluster_integration::counter::{Nodes, like};
use tokio::{
    net::TcpStream,
    time::{interval, timeout},
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config, tungstenite::Message};

/// Liked before it begins.
const FIRST: &str = "first";
/// How long the last like may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// For every id, when which total was sent for.
type Sent = Arc<Mutex<HashMap<String, Vec<Instant>>>>;
type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Likes at node 0, so many a second; from when each was sent until each of the others told a total that has it.
pub async fn run(nodes: &Nodes, rate: u32, ids: usize, length: Duration) -> Result<Vec<Duration>> {
    // A node that has just started is dialled within 200 ms: that is not what is measured.
    nodes.like(0, &like(FIRST, "first/1")).await?;
    nodes.agree(&BTreeMap::from([(FIRST.to_owned(), 1)])).await?;
    let sent = Sent::default();
    let count = usize::try_from(u64::from(rate) * length.as_secs())?;
    let mut watching = Vec::new();
    for node in &nodes.nodes[1..] {
        let mut socket = connect_async_with_config(format!("ws://{}/ws", node.clients), None, true)
            .await?
            .0;
        socket.send(Message::text(r#"{"watch":"*"}"#)).await?;
        watching.push(tokio::spawn(watch(socket, Arc::clone(&sent), count)));
    }
    let (mut sink, mut stream) = connect_async_with_config(format!("ws://{}/ws", nodes.nodes[0].clients), None, true)
        .await?
        .0
        .split();
    let acks = tokio::spawn(async move { while let Some(Ok(_)) = stream.next().await {} });
    let mut tick = interval(Duration::from_secs(1) / rate);
    for number in 0..count {
        tick.tick().await;
        let id = format!("id-{}", number % ids);
        let like = format!(r#"{{"like":{{"id":"{id}","by":"bench"}}}}"#);
        sent.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(id)
            .or_default()
            .push(Instant::now());
        sink.send(Message::text(like)).await?;
    }
    let mut latencies = Vec::new();
    for watcher in watching {
        latencies.extend(
            timeout(PATIENCE, watcher)
                .await
                .context("likes that are never seen")???,
        );
    }
    acks.abort();
    Ok(latencies)
}

async fn watch(mut socket: Socket, sent: Sent, count: usize) -> Result<Vec<Duration>> {
    let (mut latencies, mut seen) = (Vec::with_capacity(count), HashMap::<String, usize>::new());
    while latencies.len() < count {
        let message = socket.next().await.context("the node has closed the connection")??;
        let now = Instant::now();
        let Message::Text(text) = message else { continue };
        let told: Value = serde_json::from_str(&text)?;
        // A node says other things, too.
        let Some(total) = told.get("total") else { continue };
        let (id, total) = (total["id"].as_str(), total["total"].as_u64());
        let (id, total) = (id.context("no id")?, usize::try_from(total.context("no total")?)?);
        if id == FIRST {
            continue;
        }
        let sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
        let (sent, seen) = (
            sent.get(id).context("an id nobody has liked")?,
            seen.entry(id.to_owned()).or_default(),
        );
        ensure!(total <= sent.len(), "{id} has {total}, and {} were sent", sent.len());
        latencies.extend(
            sent[*seen..total.max(*seen)]
                .iter()
                .map(|sent| now.duration_since(*sent)),
        );
        *seen = total.max(*seen);
    }
    Ok(latencies)
}
