//! Which node a client goes to: the leader is asked. Where nobody leads for long, as of two nodes one does not without the other, a client finds a
//! node that lives by itself: likes count wherever they go.

use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use futures::{StreamExt, stream::FuturesUnordered};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{self, Instant},
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::alone::{self, Asking};
use crate::{
    crdt::Ordinal,
    leader::{self, Assignment, NodeEntry},
};

/// A node that is not connected by then is not there.
const CONNECT: Duration = Duration::from_secs(1);
/// A leader API that has not answered by then is not the only one that is asked.
const HEDGE: Duration = Duration::from_millis(100);
/// Tries to reach a node before another is asked for.
const TRIES: u32 = 8;
/// Nodes that live and have not found a leader by then will not find one before another comes back.
const LEADERLESS: Duration = Duration::from_secs(3);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Whom to ask, and what was heard.
pub struct Guide {
    client: String,
    leaders: Vec<String>,
    /// The leader that answered last.
    next: usize,
    /// The highest term that was heard, in an answer that was followed or not.
    term: AtomicU64,
    last: Option<Assignment>,
    /// Tries in a row to reach `last`.
    tries: u32,
    /// Since when nodes answer and nobody assigns.
    leaderless: Option<Instant>,
}

/// A node, and the way to it.
pub struct Reached {
    /// The node.
    pub assignment: Assignment,
    /// The way there.
    pub socket: Socket,
    /// How it was found, where nobody assigned it.
    pub remark: Option<String>,
}

/// A node that is better off, and the way to it.
pub struct Elsewhere {
    /// The leader that names it.
    leader: usize,
    reached: Reached,
}

impl Guide {
    /// Of this client, which asks these leader APIs.
    pub fn new(client: String, leaders: Vec<String>) -> Self {
        Self {
            client,
            leaders,
            next: 0,
            term: AtomicU64::new(0),
            last: None,
            tries: 0,
            leaderless: None,
        }
    }

    /// The way to a node, or why there is none just now.
    pub async fn reach(&mut self) -> Result<Reached, String> {
        let (assignment, remark) = self.find().await?;
        let socket = connect(&assignment).await.inspect_err(|_| self.tries += 1)?;
        (self.tries, self.leaderless) = (0, None);
        Ok(Reached {
            assignment,
            socket,
            remark,
        })
    }

    /// Asks one leader API after the other, not waiting long for one that hangs. While nobody assigns, the node that was assigned last is as good
    /// as any; and where that has been so for long, one that lives, with a word on it.
    async fn find(&mut self) -> Result<(Assignment, Option<String>), String> {
        let mut reasons = Vec::new();
        let unreached = self.last.as_ref().map(|last| last.node);
        let mut asked = self.ask_all(unreached.filter(|_| self.tries >= TRIES));
        let mut found = None;
        while let (None, Some((index, answer))) = (&found, asked.next().await) {
            match answer {
                Ok(assignment) => found = Some((index, assignment)),
                Err(reason) => reasons.push(reason),
            }
        }
        drop(asked);
        if let Some((index, assignment)) = found {
            self.sent(index, &assignment);
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
                return Some(Assignment::new(node, address, self.term.load(Ordering::Relaxed)));
            }
        }
        None
    }

    /// While the node that it has is alone, asks for another now and then, until it has the way there.
    pub async fn elsewhere(&self, own: Ordinal, mut alone: watch::Receiver<bool>, asking: &mut Asking) -> Elsewhere {
        let mut unreached = None;
        loop {
            // Who tells it lives as long as this.
            drop(alone.wait_for(|is_alone| *is_alone).await);
            tokio::select! {
                () = async { drop(alone.wait_for(|is_alone| !is_alone).await) } => continue,
                () = time::sleep_until(asking.due(Instant::now(), rand::random())) => {}
            }
            asking.asks(Instant::now());
            // The leader may hear a node that does not hear enough of the others.
            let except = unreached.take().unwrap_or(own);
            let Some((leader, assignment)) = self.another(own, except).await else {
                continue;
            };
            let node = assignment.node;
            if let Ok(socket) = connect(&assignment).await {
                // It may hear the others again by now.
                if !*alone.borrow() {
                    continue;
                }
                let reached = Reached {
                    assignment,
                    socket,
                    remark: None,
                };
                return Elsewhere { leader, reached };
            }
            unreached = Some(node);
        }
    }

    /// The node it goes to from one that is alone, and which leader says so.
    async fn another(&self, own: Ordinal, except: Ordinal) -> Option<(usize, Assignment)> {
        let mut asked = self.ask_all(Some(except));
        while let Some((leader, answer)) = asked.next().await {
            if let Some(assignment) = answer.ok().filter(|assignment| alone::leaves(own, assignment)) {
                return Some((leader, assignment));
            }
        }
        None
    }

    /// What each leader API answers, as the answers come; the one that answered last is asked first.
    fn ask_all(
        &self,
        except: Option<Ordinal>,
    ) -> FuturesUnordered<impl Future<Output = (usize, Result<Assignment, String>)>> {
        let ask = move |turn: usize| async move {
            let index = (self.next + turn) % self.leaders.len();
            time::sleep(HEDGE * u32::try_from(turn).unwrap_or(u32::MAX)).await;
            (index, self.ask(&self.leaders[index], except).await)
        };
        (0..self.leaders.len()).map(ask).collect()
    }

    async fn ask(&self, address: &str, except: Option<Ordinal>) -> Result<Assignment, String> {
        let mut path = format!("/assign?client={}", utf8_percent_encode(&self.client, NON_ALPHANUMERIC));
        if let Some(except) = except {
            let _ = write!(path, "&except={except}");
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
        let heard = self.term.fetch_max(assignment.term, Ordering::Relaxed);
        if assignment.term < heard {
            return Err(format!(
                "{address} assigns in term {}, and term {heard} was heard: refused",
                assignment.term
            ));
        }
        Ok(assignment)
    }

    /// It goes there.
    pub fn goes(&mut self, elsewhere: Elsewhere) -> Reached {
        let Elsewhere { leader, reached } = elsewhere;
        self.sent(leader, &reached.assignment);
        reached
    }

    /// This leader has sent it there.
    fn sent(&mut self, leader: usize, assignment: &Assignment) {
        self.next = leader;
        self.leaderless = None;
        self.heard(assignment);
    }

    fn heard(&mut self, assignment: &Assignment) {
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

/// A socket to the node, or why there is none.
async fn connect(assignment: &Assignment) -> Result<Socket, String> {
    let (node, address) = (assignment.node, &assignment.address);
    match time::timeout(CONNECT, connect_async(&assignment.ws)).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(error)) => Err(format!("node {node} at {address}: {error}")),
        Err(_) => Err(format!("node {node} at {address} does not answer within {CONNECT:?}")),
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
