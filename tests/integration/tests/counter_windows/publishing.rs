//! Real nodes, their real logs, a real Kafka: every acknowledged like is in the topic once, and in the windows once.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use hyper::Method;
use serde_json::{Value, json};
use synccluster_counter::windows::Settings;
use synccluster_harness::{Authority, Kafka, eventually};
use synccluster_integration::counter::{Nodes, PATIENCE};

use crate::{
    likes::{values, wait_until_exact},
    worker::settings,
};

const NODE: &str = env!("CARGO_BIN_EXE_counter_node");
/// What `Nodes` names its cluster.
const CLUSTER: &str = "demo";

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_are_killed_and_a_kafka_that_is_publish_every_acknowledged_like_once() -> Result<()> {
    // Nodes come by TLS and SASL, as to a Kafka that is somebody else's; what they wrote is read in the clear.
    let authority = Authority::new().await?;
    let issued = authority.issue("kafka", "IP:127.0.0.1").await?;
    let mut kafka = Kafka::external(&issued, &authority.certificate()).await?;
    let secret = kafka.secured()?.secret.clone();
    let (at, folder) = (
        format!("127.0.0.1:{}", kafka.secured()?.port),
        secret.display().to_string(),
    );
    let flags = [
        "--bootstrap-servers",
        &at,
        "--kafka-secret",
        &folder,
        "--commit-every",
        "50ms",
        "--idle-after",
        "0s",
    ];
    let mut nodes = Nodes::start(NODE, 2, &flags).await?;
    let settings = settings(CLUSTER, &kafka.bootstrap())?;
    let mut acknowledged = 0;
    for round in 0..8usize {
        for batch in 0..40 {
            let likes: Vec<_> = (0..50)
                .map(|n| json!({"id": format!("id-{}", (batch + n) % 30), "by": "ann", "request": format!("c{round}/{}", batch * 50 + n)}))
                .collect();
            nodes.like(round % 2, &json!(likes)).await?;
            acknowledged += 50;
        }
        tokio::time::sleep(Duration::from_millis(100 * u64::try_from(round)?)).await;
        nodes.kill(round % 2).await?;
        if round == 4 {
            // Nobody comes in again by the old password; the node that runs has the new one from its files.
            kafka.change_password("another-password").await?;
            fs::write(secret.join("password"), "another-password")?;
            kafka.kill().await?;
            kafka.restart().await?;
        }
        nodes.run(round % 2).await?;
    }
    let published = eventually(PATIENCE, async || {
        let to = settings.clone();
        let published = tokio::task::spawn_blocking(move || values(&to, &to.topics.likes)).await??;
        let count: usize = published.iter().map(Vec::len).sum();
        ensure!(
            count >= acknowledged,
            "{count} of {acknowledged} likes are in the topic"
        );
        Ok(published)
    })
    .await?;
    let mut positions: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for partition in &published {
        let mut last: BTreeMap<u64, u64> = BTreeMap::new();
        for like in partition {
            let number = |name: &str| like[name].as_u64().with_context(|| format!("{name} in {like}"));
            let (node, position) = (number("node")?, number("position")?);
            let before = last.insert(node, position).unwrap_or_default();
            ensure!(before < position, "node {node}: {position} after {before}");
            positions.entry(node).or_default().push(position);
        }
    }
    for (node, mut positions) in positions {
        positions.sort_unstable();
        let all: Vec<u64> = (1..=acknowledged as u64 / 2).collect();
        ensure!(
            positions == all,
            "node {node} has {} positions in the topic",
            positions.len()
        );
    }
    asked_to_stop_under_load_a_node_brings_everything_away(&mut nodes, &settings).await?;
    tokio::task::spawn_blocking(move || wait_until_exact(&settings)).await?
}

/// Node 1 is asked to stop while likes come, and never comes back.
async fn asked_to_stop_under_load_a_node_brings_everything_away(nodes: &mut Nodes, settings: &Settings) -> Result<()> {
    let begun = AtomicUsize::new(0);
    let load = async |client: usize| {
        let mut acknowledged = Vec::new();
        loop {
            let likes = json!(vec![json!({"id": format!("parting-{client}"), "by": "ann"}); 50]);
            match nodes.ask(1, Method::POST, "/likes", Some(&likes)).await {
                Ok(answer) if answer.status.is_success() => {
                    let answers: Vec<Value> = serde_json::from_slice(&answer.body)?;
                    begun.fetch_add(usize::from(acknowledged.is_empty()), Ordering::Relaxed);
                    acknowledged.extend(answers.iter().filter_map(|like| like["position"].as_u64()));
                }
                Ok(answer) => {
                    ensure!(
                        answer.status == 503 && answer.text().contains("problem:stopping"),
                        answer.text()
                    );
                    return Ok(acknowledged);
                }
                // It is gone already.
                Err(_) => return Ok(acknowledged),
            }
        }
    };
    let asking = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        eventually(PATIENCE, async || {
            ensure!(begun.load(Ordering::Relaxed) == 3, "not every client has an answer yet");
            Ok(())
        })
        .await?;
        nodes.signal(1, "TERM").await
    };
    let (first, second, third, ()) = tokio::try_join!(load(0), load(1), load(2), asking)?;
    let ended = nodes.ended(1).await?;
    ensure!(ended.success(), "{ended}");
    // Nothing is waited for from here on.
    let to = settings.clone();
    let published = tokio::task::spawn_blocking(move || values(&to, &to.topics.likes)).await??;
    let of = |like: &&Value| like["node"] == 1 && like["id"].as_str().is_some_and(|id| id.starts_with("parting"));
    let published: Vec<_> = published.iter().flatten().filter(of).collect();
    let positions: BTreeSet<_> = published.iter().filter_map(|like| like["position"].as_u64()).collect();
    for position in [&first, &second, &third].into_iter().flatten() {
        ensure!(positions.contains(position), "position {position} is not in the topic");
    }
    let totals = nodes.totals(0).await?;
    for (client, acknowledged) in [first, second, third].iter().enumerate() {
        let id = format!("parting-{client}");
        let written = published.iter().filter(|like| like["id"] == id.as_str()).count();
        ensure!(
            !acknowledged.is_empty() && written >= acknowledged.len(),
            "{id}: {written} of {}",
            acknowledged.len()
        );
        ensure!(
            totals.get(&id) == Some(&i64::try_from(written)?),
            "{id}: {:?} at node 0, {written} in the topic",
            totals.get(&id)
        );
    }
    Ok(())
}
