//! A node that is cut off says so to its clients, who go to one that is not, and stay where they are when there is none.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use axum::{
    Json, Router,
    extract::{RawQuery, State},
    routing::get,
};
use futures::SinkExt;
use serde_json::{Value, json};
use synccluster_harness::{Link, eventually};
use synccluster_integration::{
    counter::{Nodes, PATIENCE},
    socket::{self, told},
};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

use super::{
    NODE,
    clients::{Client, spread},
    lease, locked, next_leader,
};

#[tokio::test]
async fn clients_of_a_leader_that_is_cut_off_go_to_a_living_node_and_every_like_counts_once() -> Result<()> {
    let (api, nodes) = lease::start(3).await?;
    let (first, _, _) = next_leader(&nodes, &[0, 1, 2], 1).await?;
    let mut clients = spread(&nodes, 3).await?;
    let before: Vec<_> = clients.iter().map(Client::node).collect();
    let its = before.iter().position(|node| *node == Some(first));
    let its = its.with_context(|| format!("not spread: {before:?}"))?;
    let at = Instant::now();
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
        let node = clients[its].node();
        ensure!(node.is_some_and(|node| node != first), "at {node:?}");
        Ok(())
    })
    .await?;
    println!(
        "a client of a leader that was cut off was at another after {:?}",
        at.elapsed()
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
        let expected = if index == its { 2 } else { 1 };
        ensure!(connected.len() == expected, "client {index}: {connected:?}");
        // It had a node all the time.
        ensure!(lost.iter().all(|(when, _)| *when < at), "client {index}: {lost:?}");
    }
    let (_, last) = clients[its].said("ack").pop().context("no ack")?;
    ensure!(last["node"] != first, "{last}");
    nodes.cut(first, Link::Open).await?;
    api.cut(first, Link::Open).await?;
    for client in &mut clients {
        ensure!(client.ends().await? == Some(0), "{:?}", client.said("note"));
    }
    let all = i64::try_from(3 * typed)?;
    nodes.agree(&BTreeMap::from([("tea".to_owned(), all)])).await
}

/// A leader that sends everybody to one place, and remembers what it was asked.
#[derive(Default)]
struct Says {
    answer: Mutex<Value>,
    asked: Mutex<Vec<String>>,
}

impl Says {
    fn sends_to(&self, node: usize, address: &str, alone: bool) {
        let ws = format!("ws://{address}/ws");
        *locked(&self.answer) = json!({"node": node, "address": address, "ws": ws, "term": 7, "alone": alone});
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

async fn assign(State(says): State<Arc<Says>>, RawQuery(query): RawQuery) -> Json<Value> {
    // Who sees the question has no part in its answer any more.
    let answer = locked(&says.answer).clone();
    locked(&says.asked).push(query.unwrap_or_default());
    Json(answer)
}

#[tokio::test]
async fn a_client_stays_at_a_node_that_is_alone_until_a_leader_that_is_not_sends_it_to_one_in_reach() -> Result<()> {
    let nodes = Nodes::start(NODE, 2, &[]).await?;
    next_leader(&nodes, &[0, 1], 1).await?;
    let says = Arc::new(Says::default());
    let address = |node: usize| nodes.nodes[node].clients.to_string();
    says.sends_to(0, &address(0), false);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let leader = listener.local_addr()?.to_string();
    let app = Router::new()
        .route("/assign", get(assign))
        .with_state(Arc::clone(&says));
    tokio::spawn(async { axum::serve(listener, app).await });
    let mut client = Client::start(&[leader], "ann", &[])?;
    eventually(PATIENCE, async || client.node().context("not connected")).await?;
    // Of two nodes each is alone then, and each might be sent to by the other.
    says.sends_to(1, &address(1), true);
    nodes.cut(0, Link::Blocked).await?;
    eventually(PATIENCE, async || {
        ensure!(says.asked_except(0) >= 2, "{:?}", locked(&says.asked));
        Ok(())
    })
    .await?;
    // Nobody listens there.
    says.sends_to(1, "127.0.0.1:1", false);
    let asked = says.asked_except(0);
    client.types("like").await?;
    eventually(PATIENCE, async || {
        ensure!(says.asked_except(0) > asked, "{:?}", locked(&says.asked));
        ensure!(client.said("ack").len() == 1, "not acknowledged");
        Ok(())
    })
    .await?;
    ensure!(client.said("connected").len() == 1 && client.node() == Some(0));
    says.sends_to(1, &address(1), false);
    eventually(PATIENCE, async || {
        ensure!(client.node() == Some(1), "{:?}", locked(&says.asked));
        Ok(())
    })
    .await?;
    // The one that it did not reach was left out.
    ensure!(says.asked_except(1) >= 1, "{:?}", locked(&says.asked));
    client.types("like").await?;
    nodes.cut(0, Link::Open).await?;
    ensure!(client.ends().await? == Some(0), "{:?}", client.said("note"));
    ensure!(client.said("connected").len() == 2 && client.said("disconnected").is_empty());
    nodes.agree(&BTreeMap::from([("tea".to_owned(), 2)])).await
}

#[tokio::test]
async fn a_node_tells_its_clients_that_it_is_alone_and_that_it_is_not_any_more() -> Result<()> {
    let nodes = Nodes::start(NODE, 3, &[]).await?;
    next_leader(&nodes, &[0, 1, 2], 1).await?;
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
