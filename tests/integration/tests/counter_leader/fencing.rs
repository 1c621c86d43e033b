//! A leader of an earlier term is not believed.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use anyhow::{Context, Result, ensure};
use axum::{Json, Router, extract::State, routing::get};
use serde_json::{Value, json};
use synccluster_harness::eventually;
use synccluster_integration::counter::{Nodes, PATIENCE};
use tokio::net::TcpListener;

use super::{NODE, clients::Client};

/// Sends everybody to one address, in one term.
#[derive(Clone)]
struct Says(Arc<(AtomicU64, AtomicUsize, Vec<String>)>);

async fn assign(State(Says(says)): State<Says>) -> Json<Value> {
    let (term, node, addresses) = &*says;
    let (term, node) = (term.load(Ordering::SeqCst), node.load(Ordering::SeqCst));
    let address = &addresses[node];
    Json(json!({"node": node, "address": address, "ws": format!("ws://{address}/ws"), "term": term}))
}

#[tokio::test]
async fn a_client_goes_nowhere_for_a_leader_of_a_lower_term() -> Result<()> {
    let mut nodes = Nodes::start(NODE, 2, &[]).await?;
    let addresses = nodes.nodes.iter().map(|node| node.clients.to_string()).collect();
    let says = Arc::new((AtomicU64::new(7), AtomicUsize::new(0), addresses));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let leader = listener.local_addr()?.to_string();
    let app = Router::new()
        .route("/assign", get(assign))
        .with_state(Says(Arc::clone(&says)));
    tokio::spawn(async { axum::serve(listener, app).await });
    let mut client = Client::start(&[leader], "ann", &[])?;
    eventually(PATIENCE, async || client.node().context("not connected")).await?;
    says.0.store(6, Ordering::SeqCst);
    says.1.store(1, Ordering::SeqCst);
    nodes.kill(0).await?;
    client.types("like").await?;
    eventually(PATIENCE, async || {
        let reasons = client.said("disconnected");
        let refused = |reason: &Value| {
            let text = reason["reason"].as_str().unwrap_or_default();
            text.contains("assigns in term 6, and term 7 was heard")
        };
        ensure!(reasons.iter().any(|(_, reason)| refused(reason)), "{reasons:?}");
        Ok(())
    })
    .await?;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    ensure!((client.node(), client.said("ack").len()) == (None, 0));
    says.0.store(8, Ordering::SeqCst);
    eventually(PATIENCE, async || {
        ensure!(client.node() == Some(1) && client.said("ack").len() == 1);
        Ok(())
    })
    .await?;
    ensure!(client.ends().await? == Some(0));
    Ok(())
}
