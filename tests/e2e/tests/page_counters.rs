//! The Counters view in a real browser, on examples/todo.yaml with three counter nodes: `tests/page` does it, against a gateway that runs. Then
//! a client in Python that knows the events' names and nothing else.

use std::collections::BTreeMap;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use synccluster_e2e::{Cluster, Forward, PATIENCE, with_the_example};
use synccluster_harness::{repository, socketio};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread")]
async fn a_person_likes_on_the_page_and_sees_the_windows_move() -> Result<()> {
    with_the_example("page-counters", async |cluster| {
        cluster.browse("counters.test.mjs").await?;
        a_client_that_knows_the_names_of_events_is_told_every_like(cluster).await
    })
    .await
}

/// `tests/socketio/counters.py` registers for tea, and consumes the windows of 1, 5 and 10 minutes.
async fn a_client_that_knows_the_names_of_events_is_told_every_like(cluster: &Cluster) -> Result<()> {
    let viewer = cluster.web(Some("viewer-token")).await?;
    let forward = Forward::to_gateway_of(cluster).await?;
    let mut client = Command::new(socketio()?.join("venv/bin/python"))
        .arg(repository("tests/socketio/counters.py")?)
        .args(["original", &forward.url(), viewer.token().unwrap_or_default()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let output = client.stdout.take().context("no output")?;
    for node in 0..3 {
        let like = json!({ "id": "tea", "by": "ann", "n": node + 1, "request": format!("python/{node}") });
        cluster.like(node, &like).await?;
    }
    timeout(PATIENCE, told(output, 6)).await.context("not told in time")?
}

/// Reads `live MINUTES JSON` until the windows of every size count so many likes of tea.
async fn told(output: impl AsyncRead + Unpin, expected: i64) -> Result<()> {
    let mut lines = BufReader::new(output).lines();
    let mut counts: BTreeMap<i64, BTreeMap<i64, i64>> = [1, 5, 10].map(|minutes| (minutes, BTreeMap::new())).into();
    while let Some(line) = lines.next_line().await? {
        let mut words = line.splitn(3, ' ');
        let (Some("live"), Some(minutes), Some(window)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let window: Value = serde_json::from_str(window)?;
        if let (Some("tea"), Some(start), Some(count)) = (
            window["id"].as_str(),
            window["window_start"].as_i64(),
            window["count"].as_i64(),
        ) {
            counts.entry(minutes.parse()?).or_default().insert(start, count);
        }
        // Likes around a window's end are in two.
        let sums: Vec<i64> = counts.values().map(|windows| windows.values().sum()).collect();
        ensure!(sums.iter().all(|sum| *sum <= expected), "counted twice: {counts:?}");
        if sums.iter().all(|sum| *sum == expected) {
            return Ok(());
        }
    }
    anyhow::bail!("the client ended, and was told {counts:?}")
}
