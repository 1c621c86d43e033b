//! The way to a node: the leader is asked which, and the node is talked to until it is gone; then the leader is asked again. Where nobody leads
//! for long, as of two nodes one does not without the other, a client finds a node that lives by itself: likes count wherever they go.

use std::{cmp::Ordering, fmt::Write, time::Duration};

use futures::{SinkExt, StreamExt, stream::FuturesUnordered};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::{
    sync::mpsc,
    time::{self, Instant},
};
use tokio_tungstenite::{connect_async, tungstenite::Message};

use crate::{
    crdt::Ordinal,
    leader::{self, Assignment, NodeEntry},
};

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
/// Nodes that live and have not found a leader by then will not find one before another comes back.
const LEADERLESS: Duration = Duration::from_secs(3);
/// What may wait to be sent.
const OUTGOING: usize = 1024;

/// What happens on the way.
pub enum Event {
    /// Connected; what is sent here goes to the node.
    Connected(Assignment, mpsc::Sender<String>),
    /// A node says something.
    Said(String),
    /// How it came to the node, where nobody has sent it there.
    Note(String),
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
    /// Since when nodes answer and nobody assigns.
    leaderless: Option<Instant>,
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
        leaderless: None,
    };
    while !events.is_closed() {
        let lost = match guide.find().await {
            Ok(found) => talk(&mut guide, found, &watch, &events).await,
            Err(reason) => reason,
        };
        if events.send(Event::Lost(lost)).await.is_err() {
            return;
        }
        time::sleep(RETRY).await;
    }
}

impl Guide {
    /// Asks one leader API after the other, not waiting long for one that hangs. While nobody assigns, the node that was assigned last is as good
    /// as any; and where that has been so for long, one that lives, with a word on it.
    async fn find(&mut self) -> Result<(Assignment, Option<String>), String> {
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
            self.leaderless = None;
            self.heard(&assignment);
            return Ok((assignment, None));
        }
        let reasons = reasons.join("; ");
        self.tries += 1;
        if !self.tries.is_multiple_of(2) {
            return Err(reasons);
        }
        let living = self.living().await;
        let since = living.as_ref().map(|_| self.leaderless.unwrap_or_else(Instant::now));
        self.leaderless = since;
        let is_long = since.is_some_and(|since| since.elapsed() >= LEADERLESS);
        let Some(living) = living.filter(|_| is_long) else {
            return self.last.clone().map(|last| (last, None)).ok_or(reasons);
        };
        let note = format!(
            "nobody assigns nodes ({reasons}); node {} lives and takes likes",
            living.node
        );
        self.heard(&living);
        Ok((living, Some(note)))
    }

    /// A node that lives, as the first one sees it that answers and knows of no leader.
    async fn living(&self) -> Option<Assignment> {
        let last = self.last.as_ref().map(|last| last.node);
        // The nodes hear it, and this client does not reach it.
        let except = last.filter(|_| self.tries >= TRIES);
        let ask = async |index: usize| leader::get(&self.leaders[index], "/nodes", false).await;
        let mut asked: FuturesUnordered<_> = (0..self.leaders.len()).map(ask).collect();
        while let Some(answer) = asked.next().await {
            // What has a term is a leader's word, and that was refused.
            let Some(answer) = answer.ok().filter(|answer| answer.term.is_none()) else {
                continue;
            };
            let nodes: Vec<NodeEntry> = serde_json::from_slice(&answer.body).unwrap_or_default();
            let others = nodes.iter().filter(|entry| Some(entry.node) != except);
            let found = choose(others.cloned().collect(), last).or_else(|| choose(nodes, last));
            if let Some((node, address)) = found {
                return Some(Assignment::new(node, address, self.term));
            }
        }
        None
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

/// Of nodes that live and take clients: the last one, or that with the fewest.
fn choose(nodes: Vec<NodeEntry>, last: Option<Ordinal>) -> Option<(Ordinal, String)> {
    let living = nodes.into_iter().filter(|entry| entry.alive && entry.address.is_some());
    let best = living.min_by_key(|entry| (Some(entry.node) != last, entry.load.clients, entry.node))?;
    Some((best.node, best.address?))
}

/// Until the node is gone; why.
async fn talk(
    guide: &mut Guide,
    (assignment, remark): (Assignment, Option<String>),
    watch: &str,
    events: &mpsc::Sender<Event>,
) -> String {
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
    (guide.tries, guide.leaderless) = (0, None);
    let node = assignment.node;
    let (mut sink, mut stream) = socket.split();
    let (outgoing, mut texts) = mpsc::channel(OUTGOING);
    if sink.send(Message::text(watch)).await.is_err()
        || events.send(Event::Connected(assignment, outgoing)).await.is_err()
    {
        return format!("node {node} has closed the connection");
    }
    if let Some(remark) = remark
        && events.send(Event::Note(remark)).await.is_err()
    {
        return String::new();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::members::Load;

    #[test]
    fn of_nodes_that_live_the_last_one_is_chosen_or_that_with_the_fewest_clients() {
        let entry = |node, alive, clients| NodeEntry {
            node: Ordinal(node),
            address: Some(format!("node-{node}:5002")),
            alive,
            load: Load {
                clients,
                likes_per_second: 0,
            },
            leader: false,
        };
        let leaves = NodeEntry {
            address: None,
            ..entry(4, true, 0)
        };
        let nodes = || {
            vec![
                entry(0, false, 0),
                entry(1, true, 3),
                entry(2, true, 1),
                entry(3, true, 1),
                leaves.clone(),
            ]
        };
        let chosen = |last: Option<u16>| choose(nodes(), last.map(Ordinal)).map(|(node, address)| (node.0, address));
        assert_eq!(chosen(None), Some((2, "node-2:5002".to_owned())));
        assert_eq!(chosen(Some(1)), Some((1, "node-1:5002".to_owned())));
        assert_eq!(chosen(Some(0)), Some((2, "node-2:5002".to_owned())), "it is dead");
        assert_eq!(choose(vec![entry(0, false, 0), leaves], None), None);
    }
}
