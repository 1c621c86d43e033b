//! The page in a real browser, on examples/todo.yaml with its three counter nodes: `tests/page` looks at it, against a gateway that runs. First the
//! Counters view, and beside it a client in Python that knows the events' names and nothing else; then all sites, when there are ten clients.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use synccluster_e2e::{Cluster, Forward, PATIENCE, START, eventually, with_the_example};
use synccluster_harness::{repository, socketio};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::Command;
use tokio::time::timeout;

/// The windows of the example, in minutes.
const SIZES: [i64; 3] = [1, 5, 10];
/// What a like takes to be told, before another one is sent.
const A_LIKE: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn likes_are_seen_on_the_page_and_ten_clients_fit_on_it() -> Result<()> {
    with_the_example("page-ten", async |cluster| {
        a_person_likes_on_the_page_and_sees_the_windows_move(cluster).await?;
        a_client_that_knows_the_names_of_events_is_told_every_like(cluster).await?;
        ten_clients_fit_on_the_page(cluster).await
    })
    .await
}

async fn a_person_likes_on_the_page_and_sees_the_windows_move(cluster: &Cluster) -> Result<()> {
    cluster.browse("counters.test.mjs").await
}

async fn ten_clients_fit_on_the_page(cluster: &Cluster) -> Result<()> {
    cluster.scale(10).await?;
    cluster.ready().await?;
    cluster.converged().await?;
    cluster.browse("ten.test.mjs").await
}

/// `tests/socketio/counters.py` registers for tea, and consumes the windows of 1, 5 and 10 minutes.
async fn a_client_that_knows_the_names_of_events_is_told_every_like(cluster: &Cluster) -> Result<()> {
    let viewer = cluster.web(Some("viewer-token")).await?;
    let forward = Forward::to_gateway_of(cluster).await?;
    // Whoever begins to listen is told of the windows that are open, and of likes from then on: it has to be heard before tea is liked.
    let (_client, mut lines) = eventually(START, async || {
        let mut client = Command::new(socketio()?.join("venv/bin/python"))
            .arg(repository("tests/socketio/counters.py")?)
            .args(["original", &forward.url(), viewer.token().unwrap_or_default()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = client.stdout.take().context("no output")?;
        let mut lines = BufReader::new(output).lines();
        listens(cluster, &mut lines).await?;
        Ok((client, lines))
    })
    .await?;
    for node in 0..3 {
        let like = json!({ "id": "tea", "by": "ann", "n": node + 1, "request": format!("python/{node}") });
        cluster.surely_like(node, &like).await?;
    }
    let told = timeout(PATIENCE, told(&mut lines, 6)).await;
    told.context("not told in time")?
}

/// A window of this many minutes, as the client prints it: `live MINUTES JSON`.
fn live(line: &str) -> Result<Option<(i64, Value)>> {
    let mut words = line.splitn(3, ' ');
    match (words.next(), words.next(), words.next()) {
        (Some("live"), Some(minutes), Some(window)) => Ok(Some((minutes.parse()?, serde_json::from_str(window)?))),
        _ => Ok(None),
    }
}

/// Somebody likes coffee now and then, until the client has been told of it in windows of every size.
async fn listens(cluster: &Cluster, lines: &mut Lines<impl AsyncBufRead + Unpin>) -> Result<()> {
    let mut sizes = BTreeSet::new();
    let run = rand::random::<u32>();
    for n in 0_u64.. {
        let like = json!({ "id": "coffee", "by": "ann", "request": format!("listens-{run}/{n}") });
        cluster.surely_like(0, &like).await?;
        while let Ok(said) = timeout(A_LIKE, lines.next_line()).await {
            let said = said?.context("the client ended")?;
            let of_coffee = live(&said)?.filter(|(_, window)| window["id"] == "coffee");
            sizes.extend(of_coffee.map(|(minutes, _)| minutes));
            if sizes.len() == SIZES.len() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Reads until the windows of every size count so many likes of tea.
async fn told(lines: &mut Lines<impl AsyncBufRead + Unpin>, expected: i64) -> Result<()> {
    let mut counts: BTreeMap<i64, BTreeMap<i64, i64>> = SIZES.map(|minutes| (minutes, BTreeMap::new())).into();
    while let Some(line) = lines.next_line().await? {
        let Some((minutes, window)) = live(&line)? else {
            continue;
        };
        if let (Some("tea"), Some(start), Some(count)) = (
            window["id"].as_str(),
            window["window_start"].as_i64(),
            window["count"].as_i64(),
        ) {
            counts.entry(minutes).or_default().insert(start, count);
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
