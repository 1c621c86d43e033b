//! Real nodes, their real logs, a real Kafka: every acknowledged like is in the topic once, and in the windows once.

use std::{collections::BTreeMap, fs, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::json;
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
    tokio::task::spawn_blocking(move || wait_until_exact(&settings)).await?
}
