//! Likes by WebSocket: as many as are taken, or so many a second.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use futures::{SinkExt, StreamExt, future::try_join_all};
use tokio::{sync::Semaphore, time::interval};
use tokio_tungstenite::{connect_async_with_config, tungstenite::Message};
use tokio_util::sync::CancellationToken;

/// Likes that may be behind their time on one connection; a node answers 1,024 of a connection at once.
const BEHIND: usize = 1000;

/// How likes are sent.
#[derive(Clone, Copy)]
pub struct Plan {
    /// Connections.
    pub connections: usize,
    /// Likes of each on their way at once.
    pub window: usize,
    /// Likes a second over all; as many as are taken if absent.
    pub rate: Option<u32>,
    /// Ids.
    pub ids: usize,
}

/// What was found.
pub struct Found {
    /// From when a like was to be sent until it was acknowledged.
    pub latencies: Vec<Duration>,
    /// From the first like to the last acknowledgement.
    pub took: Duration,
}

/// Sends for so long, and waits for the rest.
pub async fn run(address: SocketAddr, plan: Plan, length: Duration) -> Result<Found> {
    let began = Instant::now();
    let clients = (0..plan.connections).map(|client| tokio::spawn(client_of(address, plan, client, began + length)));
    let mut latencies = Vec::new();
    for found in try_join_all(clients).await? {
        latencies.extend(found?);
    }
    Ok(Found {
        latencies,
        took: began.elapsed(),
    })
}

async fn client_of(address: SocketAddr, plan: Plan, client: usize, end: Instant) -> Result<Vec<Duration>> {
    let (mut sink, mut stream) = connect_async_with_config(format!("ws://{address}/ws"), None, true)
        .await?
        .0
        .split();
    // With a rate nothing holds back what is due: a node that falls behind shows in the latencies.
    let window = if plan.rate.is_some() { BEHIND } else { plan.window };
    let (room, sent) = (Semaphore::new(window), Mutex::new(VecDeque::new()));
    let (over, run) = (
        CancellationToken::new(),
        SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos(),
    );
    let hearing = async {
        let mut latencies = Vec::new();
        while let Some(message) = over.run_until_cancelled(stream.next()).await {
            let Message::Text(text) = message.context("the node has closed the connection")?? else {
                continue;
            };
            // A node says other things than answers, too.
            if ![r#"{"ack""#, r#"{"error""#].iter().any(|kind| text.starts_with(kind)) {
                continue;
            }
            ensure!(text.starts_with(r#"{"ack""#) && !text.contains("duplicate"), "{text}");
            // Answers come in the order of the questions.
            let due: Option<Instant> = sent.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            latencies.push(due.context("an answer without a question")?.elapsed());
            room.add_permits(1);
        }
        Ok(latencies)
    };
    let sending = async {
        let period = |rate: u32| Duration::from_secs(1) * u32::try_from(plan.connections).unwrap_or(u32::MAX) / rate;
        let mut tick = plan.rate.map(|rate| interval(period(rate)));
        let mut number = 0_usize;
        while Instant::now() < end {
            let due = match &mut tick {
                Some(tick) => Some(tick.tick().await.into_std()),
                None => None,
            };
            room.acquire().await?.forget();
            let due = due.unwrap_or_else(Instant::now);
            sent.lock().unwrap_or_else(PoisonError::into_inner).push_back(due);
            let id = (number * 7 + client) % plan.ids;
            let like = format!(r#"{{"like":{{"id":"id-{id}","by":"bench","request":"{client}-{run}/{number}"}}}}"#);
            sink.send(Message::text(like)).await?;
            number += 1;
        }
        // All have come back when all have been answered.
        room.acquire_many(u32::try_from(window)?).await?.forget();
        over.cancel();
        Ok::<_, anyhow::Error>(())
    };
    let (sent, latencies) = tokio::join!(sending, hearing);
    sent.and(latencies)
}
