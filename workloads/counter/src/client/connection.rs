//! The way to a node: the leader is asked which, and the node is talked to until it is gone; then the leader is asked again.

use std::{cmp::Ordering, fmt::Write, time::Duration};

use futures::{SinkExt, StreamExt, stream::FuturesUnordered};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::{
    sync::mpsc,
    time::{self, Instant},
};
use tokio_tungstenite::{connect_async, tungstenite::Message};

use crate::leader::{self, Assignment};

/// A node that is not connected by then is not there.
const CONNECT: Duration = Duration::from_secs(1);
/// How often a node is asked whether it is there.
const PING: Duration = Duration::from_millis(500);
/// One that says nothing for so long is not.
const SILENCE: Duration = Duration::from_millis(1500);
/// A leader API that has not answered by then is not the only one that is asked.
const HEDGE: Duration = Duration::from_millis(100);
/// Between two tries.
const RETRY: Duration = Duration::from_millis(200);
/// Tries to reach a node before another is asked for.
const TRIES: u32 = 8;
/// What may wait to be sent.
const OUTGOING: usize = 1024;

/// What happens on the way.
pub enum Event {
    /// Connected; what is sent here goes to the node.
    Connected(Assignment, mpsc::Sender<String>),
    /// A node says something.
    Said(String),
    /// Not connected, or not any more.
    Lost(String),
}

/// Whom to ask, and what was heard.
struct Guide {
    client: String,
    leaders: Vec<String>,
    /// The leader that answered last.
    next: usize,
    /// The highest term that was heard.
    term: u64,
    last: Option<Assignment>,
    /// Tries in a row to reach `last`.
    tries: u32,
}

/// Goes on until nobody listens to the events.
pub async fn keep(client: String, leaders: Vec<String>, watch: String, events: mpsc::Sender<Event>) {
    let mut guide = Guide {
        client,
        leaders,
        next: 0,
        term: 0,
        last: None,
        tries: 0,
    };
    while !events.is_closed() {
        let lost = match guide.find().await {
            Ok(assignment) => talk(&mut guide, assignment, &watch, &events).await,
            Err(reason) => reason,
        };
        if events.send(Event::Lost(lost)).await.is_err() {
            return;
        }
        time::sleep(RETRY).await;
    }
}

impl Guide {
    /// Asks one leader API after the other, not waiting long for one that hangs. While nobody assigns, the node that was assigned last is as good as any: likes count wherever
    /// they go.
    async fn find(&mut self) -> Result<Assignment, String> {
        let mut reasons = Vec::new();
        let ask = async |turn: usize| {
            let index = (self.next + turn) % self.leaders.len();
            time::sleep(HEDGE * u32::try_from(turn).unwrap_or(u32::MAX)).await;
            (index, self.ask(&self.leaders[index]).await)
        };
        let mut asked: FuturesUnordered<_> = (0..self.leaders.len()).map(ask).collect();
        let mut found = None;
        while let (None, Some((index, answer))) = (&found, asked.next().await) {
            match answer {
                Ok(assignment) => found = Some((index, assignment)),
                Err(reason) => reasons.push(reason),
            }
        }
        drop(asked);
        if let Some((index, assignment)) = found {
            self.next = index;
            self.heard(&assignment);
            return Ok(assignment);
        }
        self.tries += 1;
        let again = self.last.clone().filter(|_| self.tries.is_multiple_of(2));
        again.ok_or_else(|| reasons.join("; "))
    }

    async fn ask(&self, address: &str) -> Result<Assignment, String> {
        let mut path = format!("/assign?client={}", utf8_percent_encode(&self.client, NON_ALPHANUMERIC));
        if let Some(last) = self.last.as_ref().filter(|_| self.tries >= TRIES) {
            let _ = write!(path, "&except={}", last.node);
        }
        let answer = leader::get(address, &path, false)
            .await
            .map_err(|error| error.to_string())?;
        if !answer.status.is_success() {
            let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let detail = problem["detail"].as_str().unwrap_or("no reason").to_owned();
            return Err(format!("{address}: {detail}"));
        }
        let read: Result<Assignment, _> = serde_json::from_slice(&answer.body);
        let assignment = read.map_err(|error| format!("{address} does not answer as a leader: {error}"))?;
        match assignment.term.cmp(&self.term) {
            Ordering::Less => Err(format!(
                "{address} assigns in term {}, and term {} was heard: refused",
                assignment.term, self.term
            )),
            Ordering::Equal | Ordering::Greater => Ok(assignment),
        }
    }

    fn heard(&mut self, assignment: &Assignment) {
        self.term = assignment.term;
        if self.last.as_ref().is_none_or(|last| last.node != assignment.node) {
            self.tries = 0;
        }
        self.last = Some(assignment.clone());
    }
}

/// Until the node is gone; why.
async fn talk(guide: &mut Guide, assignment: Assignment, watch: &str, events: &mpsc::Sender<Event>) -> String {
    let address = assignment.address.clone();
    let connected = time::timeout(CONNECT, connect_async(&assignment.ws)).await;
    let socket = match connected {
        Ok(Ok((socket, _))) => socket,
        failed => {
            guide.tries += 1;
            return match failed {
                Ok(Err(error)) => format!("node {} at {address}: {error}", assignment.node),
                _ => format!(
                    "node {} at {address} does not answer within {CONNECT:?}",
                    assignment.node
                ),
            };
        }
    };
    guide.tries = 0;
    let node = assignment.node;
    let (mut sink, mut stream) = socket.split();
    let (outgoing, mut texts) = mpsc::channel(OUTGOING);
    if sink.send(Message::text(watch)).await.is_err()
        || events.send(Event::Connected(assignment, outgoing)).await.is_err()
    {
        return format!("node {node} has closed the connection");
    }
    let (mut ping, mut heard) = (time::interval(PING), Instant::now());
    loop {
        let sent = tokio::select! {
            message = stream.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    heard = Instant::now();
                    if events.send(Event::Said(text.to_string())).await.is_err() {
                        return String::new();
                    }
                    Ok(())
                }
                Some(Ok(Message::Close(_))) | None => return format!("node {node} has closed the connection"),
                Some(Ok(_)) => { heard = Instant::now(); Ok(()) }
                Some(Err(error)) => return format!("node {node}: {error}"),
            },
            Some(text) = texts.recv() => time::timeout(SILENCE, sink.send(Message::text(text))).await.unwrap_or(Ok(())),
            _ = ping.tick() => time::timeout(SILENCE, sink.send(Message::Ping(Vec::new().into()))).await.unwrap_or(Ok(())),
            () = time::sleep_until(heard + SILENCE) => return format!("node {node} says nothing"),
        };
        if let Err(error) = sent {
            return format!("node {node}: {error}");
        }
    }
}
