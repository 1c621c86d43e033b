//! A node that is cut off says so to its clients, who go to one that is not, and stay where they are when there is none.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use axum::{
    Json, Router,
    extract::{RawQuery, State},
    http::StatusCode,
    routing::get,
};
use futures::SinkExt;
use hyper::Method;
use serde_json::{Value, json};
use synccluster_harness::{Link, Witness, eventually};
use synccluster_integration::{
    counter::{Nodes, PATIENCE, send},
    socket::{self, told},
};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

use super::{
    NODE,
    clients::{Client, spread},
    leader, lease, locked, next_leader,
};

/// Clients of all nodes together.
const CLIENTS: usize = 9;
/// A client looks for another node where its own says nothing for 1.5 s: it may where nobody got anything done for so long.
const STALL: Duration = Duration::from_secs(1);

#[tokio::test]
async fn clients_of_a_leader_that_is_cut_off_go_to_a_living_node_and_every_like_counts_once() -> Result<()> {
    let (api, nodes) = lease::start(3).await?;
    nodes.together().await?;
    let (first, _, _) = next_leader(&nodes, &[0, 1, 2], 1).await?;
    let mut clients = spread(&nodes, CLIENTS).await?;
    let before: Vec<_> = clients.iter().map(Client::node).collect();
    let its: Vec<_> = (0..CLIENTS).filter(|index| before[*index] == Some(first)).collect();
    ensure!((2..=4).contains(&its.len()), "not spread: {before:?}");
    let (at, witness) = (Instant::now(), Witness::of_disk()?);
    nodes.cut(first, Link::Blocked).await?;
    api.cut(first, Link::Blocked).await?;
    let mut typed = 0;
    let mut type_all = async |clients: &mut Vec<Client>| -> Result<usize> {
        for client in clients {
            client.types("like").await?;
        }
        typed += 1;
        Ok(typed)
    };
    // Likes are on their way when it goes.
    eventually(PATIENCE, async || {
        type_all(&mut clients).await?;
        let now: Vec<_> = its.iter().map(|index| clients[*index].node()).collect();
        let others = now.iter().all(|node| node.is_some_and(|node| node != first));
        ensure!(others, "at {now:?}");
        Ok(())
    })
    .await?;
    println!(
        "clients of a leader that was cut off: at another after {:?}, of which nobody got anything done for {:?}",
        at.elapsed(),
        witness.late()
    );
    let typed = type_all(&mut clients).await?;
    for (index, client) in clients.iter().enumerate() {
        eventually(PATIENCE, async || {
            let acknowledged = client.said("ack").len();
            ensure!(acknowledged == typed, "client {index}: {acknowledged} of {typed}");
            Ok(())
        })
        .await?;
        let (connected, lost) = (client.said("connected"), client.said("disconnected"));
        let expected = if its.contains(&index) { 2 } else { 1 };
        // It had a node all the time.
        let had_one = lost.iter().all(|(when, _)| *when < at);
        ensure!(
            (connected.len() == expected && had_one) || witness.late() > STALL,
            "client {index}: {connected:?}, {lost:?}"
        );
    }
    for index in its {
        let (_, last) = clients[index].said("ack").pop().context("no ack")?;
        ensure!(last["node"] != first, "client {index}: {last}");
    }
    nodes.cut(first, Link::Open).await?;
    api.cut(first, Link::Open).await?;
    for client in &mut clients {
        ensure!(client.ends().await? == Some(0), "{:?}", client.said("note"));
    }
    let all = i64::try_from(CLIENTS * typed)?;
    nodes.agree(&BTreeMap::from([("tea".to_owned(), all)])).await
}

/// A leader that sends everybody to one place, or where a real one does, and remembers what it was asked.
#[derive(Default)]
struct Says {
    answer: Mutex<Value>,
    real: Option<SocketAddr>,
    asked: Mutex<Vec<String>>,
}

impl Says {
    /// Where it is from now on.
    async fn serve(self: &Arc<Self>) -> Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let app = Router::new().route("/assign", get(assign)).with_state(Arc::clone(self));
        tokio::spawn(async { axum::serve(listener, app).await });
        Ok(address)
    }

    fn sends_to(&self, node: usize, address: &str, term: u64, alone: bool) {
        let ws = format!("ws://{address}/ws");
        *locked(&self.answer) = json!({"node": node, "address": address, "ws": ws, "term": term, "alone": alone});
    }

    async fn answers(&self, query: &str) -> Result<(StatusCode, Value)> {
        let Some(real) = self.real else {
            return Ok((StatusCode::OK, locked(&self.answer).clone()));
        };
        let answer = send(real, Method::GET, &format!("/assign?{query}"), None).await?;
        Ok((answer.status, answer.json()?))
    }

    /// Questions that leave this node out.
    fn asked_except(&self, node: usize) -> usize {
        let except = format!("&except={node}");
        locked(&self.asked)
            .iter()
            .filter(|asked| asked.ends_with(&except))
            .count()
    }
}

async fn assign(State(says): State<Arc<Says>>, RawQuery(query): RawQuery) -> (StatusCode, Json<Value>) {
    let query = query.unwrap_or_default();
    let answer = says.answers(&query).await;
    // Who sees the question has no part in its answer any more.
    locked(&says.asked).push(query);
    match answer {
        Ok((status, answer)) => (status, Json(answer)),
        Err(error) => (StatusCode::BAD_GATEWAY, Json(json!({"detail": format!("{error:#}")}))),
    }
}

#[tokio::test]
async fn a_client_stays_at_a_node_that_is_alone_until_a_leader_that_is_not_sends_it_to_one_in_reach() -> Result<()> {
    let nodes = Nodes::start(NODE, 2, &[]).await?;
    next_leader(&nodes, &[0, 1], 1).await?;
    nodes.together().await?;
    let says = Arc::new(Says::default());
    let address = |node: usize| nodes.nodes[node].clients.to_string();
    says.sends_to(0, &address(0), 7, false);
    let mut client = Client::start(&[says.serve().await?], "ann", &[])?;
    eventually(PATIENCE, async || client.node().context("not connected")).await?;
    // Of two nodes each is alone then, and each might be sent to by the other.
    says.sends_to(1, &address(1), 8, true);
    nodes.cut(0, Link::Blocked).await?;
    eventually(PATIENCE, async || {
        ensure!(says.asked_except(0) >= 1, "{:?}", locked(&says.asked));
        Ok(())
    })
    .await?;
    // Its time is over, as the answer said that was not followed.
    says.sends_to(1, &address(1), 7, false);
    let asked = says.asked_except(0);
    eventually(PATIENCE, async || {
        ensure!(says.asked_except(0) > asked, "{:?}", locked(&says.asked));
        Ok(())
    })
    .await?;
    // Nobody listens there.
    says.sends_to(1, "127.0.0.1:1", 8, false);
    let asked = says.asked_except(0);
    client.types("like").await?;
    eventually(PATIENCE, async || {
        ensure!(says.asked_except(0) > asked, "{:?}", locked(&says.asked));
        // The one that it did not reach is left out next time.
        ensure!(says.asked_except(1) >= 1, "{:?}", locked(&says.asked));
        ensure!(client.said("ack").len() == 1, "not acknowledged");
        Ok(())
    })
    .await?;
    ensure!(client.said("connected").len() == 1 && client.node() == Some(0));
    says.sends_to(1, &address(1), 8, false);
    eventually(PATIENCE, async || {
        ensure!(client.node() == Some(1), "{:?}", locked(&says.asked));
        Ok(())
    })
    .await?;
    client.types("like").await?;
    nodes.cut(0, Link::Open).await?;
    ensure!(client.ends().await? == Some(0), "{:?}", client.said("note"));
    ensure!(client.said("connected").len() == 2 && client.said("disconnected").is_empty());
    nodes.agree(&BTreeMap::from([("tea".to_owned(), 2)])).await
}

#[tokio::test]
async fn of_two_nodes_that_are_cut_the_holder_of_the_lease_says_that_it_is_alone_and_clients_stay() -> Result<()> {
    let (_api, nodes) = lease::start(2).await?;
    next_leader(&nodes, &[0, 1], 1).await?;
    nodes.together().await?;
    let mut clients = Vec::new();
    for (name, node) in ["ann", "bob"].into_iter().zip(&nodes.nodes) {
        let says = Arc::new(Says {
            real: Some(node.leader),
            ..Says::default()
        });
        let client = Client::start(&[says.serve().await?], name, &[])?;
        let own = eventually(PATIENCE, async || client.node().context("not connected")).await?;
        clients.push((client, says, own));
    }
    ensure!(clients[0].2 != clients[1].2, "both at node {}", clients[0].2);
    let witness = Witness::of_disk()?;
    nodes.cut(0, Link::Blocked).await?;
    eventually(PATIENCE, async || {
        let (holder, _) = leader(&nodes, &[0, 1]).await?;
        let assigned = nodes.ask_leader(holder, "/assign?client=eve").await?.ok()?;
        ensure!(assigned["alone"] == true, "{assigned}");
        Ok(())
    })
    .await?;
    // One of them is sent to the other's node.
    for (client, says, own) in &mut clients {
        client.types("like").await?;
        eventually(PATIENCE, async || {
            // The first answer was not followed.
            ensure!(says.asked_except(*own) >= 2, "{:?}", locked(&says.asked));
            ensure!(client.said("ack").len() == 1, "not acknowledged");
            Ok(())
        })
        .await?;
        let connected = client.said("connected");
        ensure!(connected.len() == 1 || witness.late() > STALL, "{connected:?}");
    }
    nodes.cut(0, Link::Open).await?;
    for (client, ..) in &mut clients {
        ensure!(client.ends().await? == Some(0), "{:?}", client.said("note"));
    }
    nodes.agree(&BTreeMap::from([("tea".to_owned(), 2)])).await
}

#[tokio::test]
async fn a_node_tells_its_clients_that_it_is_alone_and_that_it_is_not_any_more() -> Result<()> {
    let nodes = Nodes::start(NODE, 3, &[]).await?;
    next_leader(&nodes, &[0, 1, 2], 1).await?;
    nodes.together().await?;
    let mut early = socket::open(&nodes.nodes[0]).await?;
    nodes.cut(0, Link::Blocked).await?;
    ensure!(told(&mut early).await? == json!({"alone": true}));
    let mut late = socket::open(&nodes.nodes[0]).await?;
    ensure!(told(&mut late).await? == json!({"alone": true}));
    // The two others are a majority.
    let mut elsewhere = socket::open(&nodes.nodes[1]).await?;
    elsewhere.send(Message::text(r#"{"watch":["tea"]}"#)).await?;
    let first = told(&mut elsewhere).await?;
    ensure!(first["total"]["total"] == 0, "{first}");
    nodes.cut(0, Link::Open).await?;
    for client in [&mut early, &mut late] {
        ensure!(told(client).await? == json!({"alone": false}));
    }
    Ok(())
}
