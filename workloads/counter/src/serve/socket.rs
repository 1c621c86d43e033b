//! WebSocket `/ws`: likes in, many on their way at once, and totals out as they change; also whether the node is alone.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{
        State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket, close_code},
    },
    response::Response,
};
use futures::{SinkExt, StreamExt, stream::SplitSink};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{self, Instant},
};
use tokio_tungstenite::tungstenite;

use super::{
    Shared,
    like::{Direction, Like, unreadable},
    problem::Problem,
    totals::Total,
    watch::{self, Wanted, Watch},
};
use crate::node::{self, Node};

/// Likes of one client on their way at once; more are not read until some are answered.
const IN_FLIGHT: usize = 1024;
/// The largest message.
const MESSAGE: usize = 512 * 1024;
/// A total that changes often is told so often at most.
const COALESCE: Duration = Duration::from_millis(20);
/// How often a silent client is asked whether it is there.
const PING: Duration = Duration::from_secs(10);
/// A client whose message was too large has so long to read why: closed at once, what it has still sent would be answered by a reset.
const FAREWELL: Duration = Duration::from_secs(2);
/// A client that does not answer for so long is gone; so is one that does not take what it is told.
const GONE: Duration = Duration::from_secs(30);

const A_MESSAGE: &str =
    r#"{"like": {"id", "by", "n"?, "request"?}}, {"unlike": the same}, or {"watch": ["id", …]}, or {"watch": "*"}"#;

/// What a client says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Said {
    Like(Like),
    Unlike(Like),
    Watch(Wanted),
}

/// What a client is told.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Told {
    Ack(Ack),
    Error(Failure),
    Total(Total),
    /// The node hears no majority of the nodes, or does again: the client had better ask for another, or need not any more.
    Alone(bool),
}

#[derive(Debug, Serialize)]
struct Ack {
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<String>,
    #[serde(flatten)]
    answer: node::Answer,
}

#[derive(Debug, Serialize)]
struct Failure {
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<String>,
    #[serde(flatten)]
    problem: Problem,
}

/// On its way from the log to the client. Its place is free for another when it is sent. Nothing is the end.
type Out = Option<(Told, OwnedSemaphorePermit)>;

/// `GET /ws`.
pub async fn upgrade(State(shared): State<Shared>, upgrade: WebSocketUpgrade) -> Response {
    let upgrade = upgrade.max_message_size(MESSAGE).max_frame_size(MESSAGE);
    upgrade.on_upgrade(move |socket| async move {
        let stop = shared.stop.clone();
        tokio::select! {
            () = stop.cancelled() => {}
            () = talk(shared.node, socket) => {}
        }
    })
}

async fn talk(node: Arc<Node>, socket: WebSocket) {
    let _client = node.client();
    let (sink, mut stream) = socket.split();
    // Bounded by the permits: one a like that is on its way, and one while something is read.
    let (out, waiting) = mpsc::unbounded_channel();
    let (wishes, watched) = mpsc::channel(1);
    let permits = Arc::new(Semaphore::new(IN_FLIGHT));
    let hearing = async {
        while let Ok(Some(message)) = time::timeout(GONE, stream.next()).await {
            let message = match message {
                Ok(message) => message,
                Err(error) if is_too_large(&error) => return refuse(&out, permits).await,
                Err(_) => return,
            };
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
                return;
            };
            let text = match message {
                Message::Text(text) => text,
                Message::Close(_) => return,
                Message::Binary(_) => {
                    fail(&out, None, Problem::unreadable("binary: write JSON as text"), permit);
                    continue;
                }
                Message::Ping(_) | Message::Pong(_) => continue,
            };
            match serde_json::from_str(&text) {
                Ok(Said::Like(like)) => count(&node, like, Direction::Up, &out, permit),
                Ok(Said::Unlike(like)) => count(&node, like, Direction::Down, &out, permit),
                Ok(Said::Watch(Wanted::Some(ids))) if ids.len() > watch::MOST => {
                    let detail = format!("{} ids: watch {} at most, or \"*\"", ids.len(), watch::MOST);
                    fail(&out, None, Problem::too_large(detail), permit);
                }
                Ok(Said::Watch(wanted)) => {
                    if wishes.send(wanted).await.is_err() {
                        return;
                    }
                }
                Err(error) => fail(&out, None, unreadable(&error, A_MESSAGE), permit),
            }
        }
    };
    tokio::select! {
        () = hearing => {}
        _ = telling(&node, sink, waiting, watched) => {}
    }
}

fn count(
    node: &Node,
    like: Like,
    direction: Direction,
    out: &mpsc::UnboundedSender<Out>,
    permit: OwnedSemaphorePermit,
) {
    let request = like.request().map(str::to_owned);
    match like.check(direction) {
        Err(error) => fail(out, request, error.into(), permit),
        Ok(add) => {
            let out = out.clone();
            let reply = move |answers: Result<Vec<node::Answer>, node::Refused>| match answers {
                Ok(answers) => {
                    if let Some(answer) = answers.into_iter().next() {
                        // The client may be gone; its like counts all the same.
                        let _ = out.send(Some((Told::Ack(Ack { request, answer }), permit)));
                    }
                }
                Err(refused) => fail(&out, request, refused.into(), permit),
            };
            node.like(vec![add], Box::new(reply));
        }
    }
}

fn fail(out: &mpsc::UnboundedSender<Out>, request: Option<String>, problem: Problem, permit: OwnedSemaphorePermit) {
    let _ = out.send(Some((Told::Error(Failure { request, problem }), permit)));
}

fn is_too_large(error: &axum::Error) -> bool {
    let error = std::error::Error::source(error).and_then(|error| error.downcast_ref());
    matches!(error, Some(tungstenite::Error::Capacity(_)))
}

/// Of a message that is too large only the length is known, so there is no next one. What waits is answered before the last word; that ends
/// the connection.
async fn refuse(out: &mpsc::UnboundedSender<Out>, permits: Arc<Semaphore>) {
    let all = u32::try_from(IN_FLIGHT).unwrap_or(u32::MAX);
    if let Ok(all) = permits.acquire_many_owned(all).await {
        let detail = format!("a message may have {MESSAGE} bytes at most; connect again to go on");
        fail(out, None, Problem::too_large(detail), all);
        let _ = out.send(None);
        std::future::pending::<()>().await;
    }
}

/// Sends until the client is gone.
async fn telling(
    node: &Node,
    mut sink: SplitSink<WebSocket, Message>,
    mut waiting: mpsc::UnboundedReceiver<Out>,
    mut watched: mpsc::Receiver<Wanted>,
) -> Result<(), axum::Error> {
    let mut watch = Watch::new(node);
    let (mut ping, mut next_round) = (time::interval(PING), Instant::now());
    let (mut batch, mut alone) = (Vec::new(), node.alone());
    if *alone.borrow() {
        // Who comes now is told, too.
        alone.mark_changed();
    }
    loop {
        tokio::select! {
            count = waiting.recv_many(&mut batch, IN_FLIGHT) => {
                if count == 0 {
                    return Ok(());
                }
                let told = batch.iter().flatten().map(|(told, _)| told);
                send(&mut sink, told).await?;
                if batch.iter().any(Option::is_none) {
                    let (code, reason) = (close_code::SIZE, "too-large".into());
                    within(sink.send(Message::Close(Some(CloseFrame { code, reason })))).await?;
                    time::sleep(FAREWELL).await;
                    return Ok(());
                }
                batch.clear();
            }
            Some(wanted) = watched.recv() => watch.set(wanted),
            () = watch.next() => {}
            Ok(()) = alone.changed() => {
                let told = Told::Alone(*alone.borrow_and_update());
                send(&mut sink, [told].iter()).await?;
            }
            () = time::sleep_until(next_round), if watch.is_due() => {
                let totals: Vec<_> = watch.take(&node.state()).into_iter().map(Told::Total).collect();
                send(&mut sink, totals.iter()).await?;
                next_round = Instant::now() + COALESCE;
            }
            _ = ping.tick() => within(sink.send(Message::Ping(Vec::new().into()))).await?,
        }
    }
}

async fn send(sink: &mut SplitSink<WebSocket, Message>, told: impl Iterator<Item = &Told>) -> Result<(), axum::Error> {
    for told in told {
        let text = serde_json::to_string(told).map_err(axum::Error::new)?;
        within(sink.feed(Message::Text(text.into()))).await?;
    }
    within(sink.flush()).await
}

async fn within(sending: impl Future<Output = Result<(), axum::Error>>) -> Result<(), axum::Error> {
    time::timeout(GONE, sending).await.map_err(axum::Error::new)?
}
