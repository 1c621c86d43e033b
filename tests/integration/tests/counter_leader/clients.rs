//! Terminal clients, without a terminal: they write a JSON document a line, and their nodes die.

use std::{
    collections::BTreeMap,
    process::Stdio,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use synccluster_harness::{Witness, eventually};
use synccluster_integration::counter::{Nodes, PATIENCE};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, Command},
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{NODE, SOON, in_time, lease, locked, next_leader};

/// A client's process.
pub struct Client {
    process: Child,
    input: Option<ChildStdin>,
    news: Arc<Mutex<Vec<(Instant, Value)>>>,
    /// Takes in what it says, until it has said its last.
    reader: JoinHandle<()>,
}

impl Client {
    /// That asks these.
    pub fn start(leaders: &[String], name: &str, more: &[&str]) -> Result<Self> {
        let mut process = Command::new(NODE)
            .args(["client", "--json", "--name", name, "--leader", &leaders.join(",")])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let input = process.stdin.take();
        let mut lines = BufReader::new(process.stdout.take().context("no output")?).lines();
        let news = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&news);
        let reader = tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let document = serde_json::from_str(&line).unwrap_or(Value::String(line));
                locked(&heard).push((Instant::now(), document));
            }
        });
        Ok(Self {
            process,
            input,
            news,
            reader,
        })
    }

    /// Types a line.
    pub async fn types(&mut self, line: &str) -> Result<()> {
        let input = self.input.as_mut().context("the input is over")?;
        Ok(input.write_all(format!("{line}\n").as_bytes()).await?)
    }

    /// What it has said of this kind.
    pub fn said(&self, kind: &str) -> Vec<(Instant, Value)> {
        said(&self.news, kind)
    }

    /// The node it is connected to.
    pub fn node(&self) -> Option<usize> {
        let (connected, lost) = (self.said("connected"), self.said("disconnected"));
        let (at, newest) = connected.last()?;
        if lost.last().is_some_and(|(lost, _)| lost > at) {
            return None;
        }
        usize::try_from(newest["node"].as_u64()?).ok()
    }

    /// When it came to its second node, and how late the witness says everybody was by then.
    pub fn moved(&self, witness: &Arc<Witness>) -> JoinHandle<Result<(Instant, Duration)>> {
        let (news, witness) = (Arc::clone(&self.news), Arc::clone(witness));
        tokio::spawn(async move {
            let comes = async {
                loop {
                    let second = said(&news, "connected").get(1).map(|(at, _)| *at);
                    if let Some(at) = second {
                        return (at, witness.late());
                    }
                    sleep(Duration::from_millis(10)).await;
                }
            };
            timeout(PATIENCE, comes).await.context("it stays at its first node")
        })
    }

    /// Ends the input and waits until everything it has said was heard; the exit code.
    pub async fn ends(&mut self) -> Result<Option<i32>> {
        drop(self.input.take());
        let code = timeout(PATIENCE, self.process.wait()).await??.code();
        timeout(PATIENCE, &mut self.reader).await??;
        Ok(code)
    }
}

fn said(news: &Mutex<Vec<(Instant, Value)>>, kind: &str) -> Vec<(Instant, Value)> {
    let news = locked(news);
    let of_kind = news.iter().filter(|(_, document)| document.get(kind).is_some());
    of_kind.map(|(at, document)| (*at, document[kind].clone())).collect()
}

/// Where the leader APIs of nodes are.
pub fn leaders(nodes: &Nodes) -> Vec<String> {
    nodes.nodes.iter().map(|node| node.leader.to_string()).collect()
}

/// So many clients, which come one after the other, so that they are spread by load.
pub async fn spread(nodes: &Nodes, count: usize) -> Result<Vec<Client>> {
    let mut clients = Vec::new();
    for client in 0..count {
        let newest = Client::start(&leaders(nodes), &format!("client-{client}"), &[])?;
        eventually(PATIENCE, async || newest.node().context("not connected")).await?;
        clients.push(newest);
    }
    Ok(clients)
}

/// Nine clients that type all the time, while a node is killed: chosen by who leads.
async fn killed(mut nodes: Nodes, whom: impl FnOnce(usize) -> usize) -> Result<()> {
    let (first, term, _) = next_leader(&nodes, &[0, 1, 2], 1).await?;
    let mut clients = spread(&nodes, 9).await?;
    let killed = whom(first);
    let mut typed = 0;
    let mut type_for = async |clients: &mut Vec<Client>, rounds: usize| -> Result<()> {
        for _ in 0..rounds {
            for (index, client) in clients.iter_mut().enumerate() {
                client.types(&format!("like id-{index}")).await?;
                client.types("like all").await?;
            }
            typed += 1;
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    };
    type_for(&mut clients, 40).await?;
    let before: Vec<_> = clients.iter().map(Client::node).collect();
    let its: Vec<_> = (0..9).filter(|index| before[*index] == Some(killed)).collect();
    ensure!((2..=4).contains(&its.len()), "not spread: {before:?}");
    let (at, witness) = (Instant::now(), Arc::new(Witness::of_disk()?));
    let moved: Vec<_> = its.iter().map(|index| clients[*index].moved(&witness)).collect();
    nodes.kill(killed).await?;
    type_for(&mut clients, 250).await?;
    for moved in moved {
        let (when, late) = moved.await??;
        in_time("a client of a killed node was at another", when - at, SOON, late)?;
    }
    for (index, client) in clients.iter().enumerate() {
        eventually(PATIENCE, async || client.node().context("not connected")).await?;
        let connected = client.said("connected");
        let expected = if its.contains(&index) { 2 } else { 1 };
        ensure!(connected.len() == expected, "client {index}: {connected:?}");
        ensure!(client.node() != Some(killed));
    }
    if killed == first {
        let left: Vec<_> = (0..3).filter(|node| *node != killed).collect();
        next_leader(&nodes, &left, term + 1).await?;
    }
    nodes.run(killed).await?;
    let mut expected = BTreeMap::from([("all".to_owned(), 9 * typed)]);
    for (index, client) in clients.iter_mut().enumerate() {
        ensure!(
            client.ends().await? == Some(0),
            "client {index}: {:?}",
            client.said("note")
        );
        let acknowledged = client.said("ack").len();
        ensure!(
            i64::try_from(acknowledged)? == 2 * typed,
            "client {index}: {acknowledged} of {}",
            2 * typed
        );
        expected.insert(format!("id-{index}"), typed);
    }
    nodes.agree(&expected).await
}

#[tokio::test]
async fn clients_of_a_killed_node_are_at_another_within_three_seconds_and_nothing_is_lost_or_doubled() -> Result<()> {
    killed(Nodes::start(NODE, 3, &[]).await?, |leader| (leader + 1) % 3).await
}

#[tokio::test]
async fn clients_of_a_killed_leader_are_at_another_within_three_seconds_and_nothing_is_lost_or_doubled() -> Result<()> {
    killed(Nodes::start(NODE, 3, &[]).await?, |leader| leader).await
}

#[tokio::test]
async fn clients_of_a_killed_holder_of_the_lease_are_at_another_within_three_seconds_too() -> Result<()> {
    let (_api, nodes) = lease::start(3).await?;
    killed(nodes, |leader| leader).await
}

#[tokio::test]
async fn a_client_leaves_a_node_that_hangs() -> Result<()> {
    let nodes = Nodes::start(NODE, 3, &[]).await?;
    next_leader(&nodes, &[0, 1, 2], 1).await?;
    let mut client = Client::start(&leaders(&nodes), "ann", &[])?;
    let first = eventually(PATIENCE, async || client.node().context("not connected")).await?;
    let (at, witness) = (Instant::now(), Witness::of_disk()?);
    nodes.signal(first, "STOP").await?;
    client.types("like").await?;
    eventually(PATIENCE, async || {
        ensure!(client.node().is_some_and(|node| node != first), "{:?}", client.node());
        ensure!(client.said("ack").len() == 1, "not acknowledged");
        Ok(())
    })
    .await?;
    let (took, late) = (at.elapsed(), witness.late());
    in_time("a client of a node that hangs was at another", took, SOON, late)?;
    nodes.signal(first, "CONT").await?;
    ensure!(client.ends().await? == Some(0));
    nodes.agree(&BTreeMap::from([("tea".to_owned(), 1)])).await
}

#[tokio::test]
async fn of_two_nodes_the_one_that_lives_takes_clients_though_nobody_assigns() -> Result<()> {
    let mut nodes = Nodes::start(NODE, 2, &[]).await?;
    next_leader(&nodes, &[0, 1], 1).await?;
    let mut ann = Client::start(&leaders(&nodes), "ann", &[])?;
    let first = eventually(PATIENCE, async || ann.node().context("not connected")).await?;
    let left = 1 - first;
    nodes.kill(first).await?;
    ann.types("like").await?;
    eventually(PATIENCE, async || {
        let answer = nodes.ask_leader(left, "/assign?client=bob").await?;
        answer.problem(503, "no-leader").map(drop)
    })
    .await?;
    // Who comes now was never sent anywhere.
    let mut bob = Client::start(&leaders(&nodes), "bob", &[])?;
    bob.types("like").await?;
    for client in [&ann, &bob] {
        eventually(PATIENCE, async || {
            ensure!(client.node() == Some(left), "{:?}", client.node());
            ensure!(client.said("ack").len() == 1, "not acknowledged");
            Ok(())
        })
        .await?;
    }
    let remarks = bob.said("note");
    let expected = format!("node {left} lives and takes likes");
    ensure!(
        remarks
            .iter()
            .any(|(_, note)| note.as_str().is_some_and(|note| note.ends_with(&expected))),
        "{remarks:?}"
    );
    nodes.run(first).await?;
    for client in [&mut ann, &mut bob] {
        ensure!(client.ends().await? == Some(0));
    }
    nodes.agree(&BTreeMap::from([("tea".to_owned(), 2)])).await
}
