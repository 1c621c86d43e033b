//! The way to a node: it is talked to until it is gone, then another is found. A node that says that it is alone is left when the way to another one
//! is there, and not before.

use std::{pin::pin, time::Duration};

use futures::{SinkExt, StreamExt};
use tokio::{
    sync::{mpsc, watch},
    time::{self, Instant},
};
use tokio_tungstenite::tungstenite::Message;

use super::{
    alone::{self, Asking},
    guide::{Elsewhere, Guide, Reached},
};
use crate::leader::Assignment;

/// How often a node is asked whether it is there.
const PING: Duration = Duration::from_millis(500);
/// One that says nothing for so long is not.
const SILENCE: Duration = Duration::from_millis(1500);
/// Between two tries.
const RETRY: Duration = Duration::from_millis(200);
/// What may wait to be sent.
const OUTGOING: usize = 1024;

/// What happens on the way.
pub enum Event {
    /// Connected; what is sent here goes to the node.
    Connected(Assignment, mpsc::Sender<String>),
    /// A node says something.
    Said(String),
    /// How it came to the node, where nobody has sent it there; or that the node is alone, or no more.
    Note(String),
    /// Not connected, or not any more.
    Lost(String),
}

/// Goes on until nobody listens to the events.
pub async fn keep(client: String, leaders: Vec<String>, watch: String, events: mpsc::Sender<Event>) {
    let (mut guide, mut asking) = (Guide::new(client, leaders), Asking::default());
    let mut reached = guide.reach().await;
    while !events.is_closed() {
        let ended = match reached {
            Ok(reached) => talk(&guide, &mut asking, reached, &watch, &events).await,
            Err(reason) => Err(reason),
        };
        reached = match ended {
            Ok(elsewhere) => Ok(guide.goes(elsewhere)),
            Err(lost) => {
                if events.send(Event::Lost(lost)).await.is_err() {
                    return;
                }
                time::sleep(RETRY).await;
                guide.reach().await
            }
        };
    }
}

/// Until it has the way to another node, or the node is gone; then why.
async fn talk(
    guide: &Guide,
    asking: &mut Asking,
    reached: Reached,
    watch: &str,
    events: &mpsc::Sender<Event>,
) -> Result<Elsewhere, String> {
    let Reached {
        assignment,
        socket,
        remark,
    } = reached;
    let node = assignment.node;
    let (mut sink, mut stream) = socket.split();
    let (outgoing, mut texts) = mpsc::channel(OUTGOING);
    if sink.send(Message::text(watch)).await.is_err()
        || events.send(Event::Connected(assignment, outgoing)).await.is_err()
    {
        return Err(format!("node {node} has closed the connection"));
    }
    if let Some(remark) = remark
        && events.send(Event::Note(remark)).await.is_err()
    {
        return Err(String::new());
    }
    let (tell, alone) = watch::channel(false);
    let mut elsewhere = pin!(guide.elsewhere(node, alone, asking));
    let (mut ping, mut heard) = (time::interval(PING), Instant::now());
    loop {
        let sent = tokio::select! {
            message = stream.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    heard = Instant::now();
                    let event = match alone::read(&text) {
                        Some(is_alone) => {
                            tell.send_replace(is_alone);
                            Event::Note(alone::words(node, is_alone))
                        }
                        None => Event::Said(text.to_string()),
                    };
                    if events.send(event).await.is_err() {
                        return Err(String::new());
                    }
                    Ok(())
                }
                Some(Ok(Message::Close(_))) | None => return Err(format!("node {node} has closed the connection")),
                Some(Ok(_)) => { heard = Instant::now(); Ok(()) }
                Some(Err(error)) => return Err(format!("node {node}: {error}")),
            },
            found = &mut elsewhere => return Ok(found),
            Some(text) = texts.recv() => time::timeout(SILENCE, sink.send(Message::text(text))).await.unwrap_or(Ok(())),
            _ = ping.tick() => time::timeout(SILENCE, sink.send(Message::Ping(Vec::new().into()))).await.unwrap_or(Ok(())),
            () = time::sleep_until(heard + SILENCE) => return Err(format!("node {node} says nothing")),
        };
        if let Err(error) = sent {
            return Err(format!("node {node}: {error}"));
        }
    }
}
