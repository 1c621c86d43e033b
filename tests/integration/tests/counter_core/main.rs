//! Counter nodes as processes: killed, cut, with a full or a lost disk, no acknowledged like is lost and none is counted twice.

mod sockets;
mod volume;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use hyper::Method;
use serde_json::{Value, json};
use synccluster_harness::{Link, eventually};
use synccluster_integration::counter::{Nodes, PATIENCE, bytes_of, like, send};
use synccluster_protocol::status::Dial;
use tokio::time::{sleep, timeout};

const NODE: &str = env!("CARGO_BIN_EXE_counter_node");

/// Clients that like one id each, request after request; whoever gets no answer asks the next node with the same request.
fn clients(nodes: &Nodes, count: usize, stop: &Arc<AtomicBool>) -> Vec<tokio::task::JoinHandle<i64>> {
    let addresses: Vec<_> = nodes.nodes.iter().map(|node| node.clients).collect();
    let client = |client: usize| {
        let (addresses, stop) = (addresses.clone(), Arc::clone(stop));
        async move {
            let (mut number, mut node) = (0, client);
            while !stop.load(Ordering::Relaxed) {
                let body = like(&format!("id-{client}"), &format!("client-{client}/{number}"));
                let address = addresses[node % addresses.len()];
                match timeout(
                    Duration::from_secs(2),
                    send(address, Method::POST, "/likes", Some(&body)),
                )
                .await
                {
                    Ok(Ok(answer)) if answer.status.is_success() => number += 1,
                    _ => {
                        node += 1;
                        sleep(Duration::from_millis(20)).await;
                    }
                }
            }
            // The last one may have been counted and not answered.
            loop {
                let body = like(&format!("id-{client}"), &format!("client-{client}/{number}"));
                let sent = send(addresses[node % addresses.len()], Method::POST, "/likes", Some(&body)).await;
                if sent.is_ok_and(|answer| answer.status.is_success()) {
                    return number + 1;
                }
                node += 1;
            }
        }
    };
    (0..count).map(|index| tokio::spawn(client(index))).collect()
}

#[tokio::test]
async fn any_node_killed_in_the_middle_of_a_load_no_like_is_lost_and_none_is_doubled() -> Result<()> {
    let mut nodes = Nodes::start(NODE, 3, &["--segment-bytes", "20000"]).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let load = clients(&nodes, 12, &stop);
    for node in [0, 1, 2, 1] {
        sleep(Duration::from_millis(700)).await;
        nodes.kill(node).await?;
        sleep(Duration::from_millis(300)).await;
        nodes.run(node).await?;
    }
    stop.store(true, Ordering::Relaxed);
    let mut expected = BTreeMap::new();
    for (client, counted) in load.into_iter().enumerate() {
        expected.insert(format!("id-{client}"), counted.await?);
    }
    ensure!(expected.values().all(|total| *total > 5), "{expected:?}");
    nodes.agree(&expected).await
}

#[tokio::test]
async fn requests_sent_again_to_another_node_during_a_cut_count_once_after_it() -> Result<()> {
    let nodes = Nodes::start(NODE, 3, &["--remember", "2s"]).await?;
    nodes.like(2, &like("before", "c/0")).await?;
    nodes.agree(&BTreeMap::from([("before".to_owned(), 1)])).await?;
    nodes.cut(2, Link::BlocksNew).await?;
    // Established connections live on behind a policy: the nodes close them when fresh dials do not get through.
    eventually(PATIENCE, async || {
        ensure!(nodes.established(2) == 0, "{} connections", nodes.established(2));
        for (node, others) in [(0, vec![2]), (1, vec![2]), (2, vec![0, 1])] {
            let status = nodes.status(node).await?;
            for peer in &status.peers {
                let closed = peer.link.established == 0 && peer.link.closed_since.is_some();
                let cut = peer.link.fresh_dial == Dial::Blocked && closed && !peer.alive;
                ensure!(cut == others.contains(&peer.ordinal), "node {node}: {peer:?}");
            }
        }
        Ok(())
    })
    .await?;
    let body = |name: &str| -> Vec<Value> {
        (0..200)
            .map(|n| like(&format!("id-{}", n % 7), &format!("{name}/{n}")))
            .collect()
    };
    let mixed: Vec<_> = (0..50)
        .map(|n| json!({"id": "text", "by": "b", "n": n + 1, "request": format!("request {n}")}))
        .collect();
    for requests in [body("a"), body("b"), mixed] {
        let requests = Value::from(requests);
        for node in [2, 0, 1, 2] {
            for answer in nodes.like(node, &requests).await?.as_array().context("no array")? {
                ensure!(answer["id"].is_string() && answer["total"].is_i64(), "{answer}");
            }
        }
    }
    let after_cut = nodes.status(2).await?;
    ensure!(after_cut.position == 451, "{after_cut:?}");
    // Longer than a request that is no number is remembered where all know it.
    sleep(Duration::from_secs(4)).await;
    nodes.cut(2, Link::Open).await?;
    let mut expected = BTreeMap::from([("before".to_owned(), 1), ("text".to_owned(), 50 * 51 / 2)]);
    for n in 0..200 {
        *expected.entry(format!("id-{}", n % 7)).or_default() += 2;
    }
    nodes.agree(&expected).await?;
    // The higher node has taken back its own: each with an entry.
    let healed = nodes.status(2).await?;
    ensure!(healed.position == 451 + 450, "{healed:?}");
    let again = nodes.like(2, &like("id-0", "a/0")).await?;
    ensure!(again["duplicate"] == true, "{again}");
    nodes.agree(&expected).await
}

#[tokio::test]
async fn a_node_killed_while_it_takes_back_what_was_counted_twice_does_so_once() -> Result<()> {
    let mut nodes = Nodes::start(NODE, 3, &[]).await?;
    let (mut expected, mut number) = (BTreeMap::new(), 0);
    for pause in [50, 300, 600, 900] {
        nodes.cut(2, Link::Blocked).await?;
        let likes: Vec<_> = (0..300)
            .map(|n| like(&format!("id-{}", n % 3), &format!("c/{}", number + n)))
            .collect();
        number += 300;
        for node in [2, 1, 0] {
            for part in likes.chunks(100) {
                nodes.like(node, &part.into()).await?;
            }
        }
        for n in 0..3 {
            *expected.entry(format!("id-{n}")).or_default() += 100;
        }
        nodes.cut(2, Link::Open).await?;
        sleep(Duration::from_millis(pause)).await;
        nodes.kill(2).await?;
        nodes.run(2).await?;
    }
    nodes.agree(&expected).await?;
    // Each like of node 2 that another counts has one void, whatever was killed.
    let position = nodes.status(2).await?.position;
    ensure!(position == 2400, "{position}");
    Ok(())
}

#[tokio::test]
async fn a_log_that_waits_for_a_node_too_long_refuses_and_names_it() -> Result<()> {
    let mut nodes = Nodes::start(NODE, 3, &["--segment-bytes", "4000", "--log-bytes", "20000"]).await?;
    nodes.kill(2).await?;
    let (mut count, started) = (0, Instant::now());
    let detail = loop {
        let likes: Vec<_> = (0..50).map(|m| like("tea", &format!("c/{}", count + m))).collect();
        let answer = nodes.ask(0, Method::POST, "/likes", Some(&likes.into())).await?;
        if !answer.status.is_success() {
            break answer.problem(507, "log-full")?["detail"].to_string();
        }
        count += 50;
        ensure!(started.elapsed() < PATIENCE, "{count} likes and no end");
    };
    ensure!(detail.contains("node 2"), "{detail}");
    nodes.run(2).await?;
    // What a node has only in memory it is still told again: until its snapshot has it the log stays.
    eventually(PATIENCE, async || nodes.like(0, &like("tea", "d/1")).await.map(drop)).await?;
    let data = &nodes.nodes[0].data;
    eventually(PATIENCE, async || {
        let bytes = bytes_of(data, ".log")?;
        ensure!(bytes < 8000, "{bytes} bytes");
        Ok(())
    })
    .await?;
    nodes.agree(&BTreeMap::from([("tea".to_owned(), count + 1)])).await
}

#[tokio::test]
async fn a_node_that_lost_its_disk_begins_anew_and_what_it_had_stays_counted() -> Result<()> {
    let mut nodes = Nodes::start(NODE, 3, &["--segment-bytes", "2000"]).await?;
    for node in 0..3 {
        let likes: Vec<_> = (0..100)
            .map(|n| like(&format!("id-{}", n % 5), &format!("c{node}/{n}")))
            .collect();
        nodes.like(node, &likes.into()).await?;
    }
    let mut expected: BTreeMap<_, _> = (0..5).map(|n| (format!("id-{n}"), 60)).collect();
    nodes.agree(&expected).await?;
    let before = nodes.status(1).await?.incarnation;
    nodes.kill(1).await?;
    std::fs::remove_dir_all(&nodes.nodes[1].data)?;
    nodes.run(1).await?;
    nodes.agree(&expected).await?;
    ensure!(nodes.status(1).await?.incarnation != before);
    let again = nodes.like(1, &like("id-0", "c1/0")).await?;
    ensure!(again["duplicate"] == true, "{again}");
    nodes.like(1, &like("id-0", "c1/100")).await?;
    *expected.entry("id-0".to_owned()).or_default() += 1;
    nodes.agree(&expected).await
}

#[tokio::test]
async fn a_volume_put_back_to_an_older_state_is_noticed() -> Result<()> {
    let mut nodes = Nodes::start(NODE, 2, &[]).await?;
    nodes.like(0, &like("tea", "c/1")).await?;
    nodes.stop(0).await?;
    let (data, older) = (nodes.nodes[0].data.clone(), nodes.nodes[0].data.with_extension("older"));
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        std::process::Command::new("cp").arg("-a").args([from, to]).status()
    };
    copy(&data, &older)?;
    nodes.run(0).await?;
    nodes.like(0, &like("tea", "c/2")).await?;
    nodes.agree(&BTreeMap::from([("tea".to_owned(), 2)])).await?;
    nodes.kill(0).await?;
    std::fs::remove_dir_all(&data)?;
    copy(&older, &data)?;
    // It may end before it has answered once.
    let _ = timeout(Duration::from_secs(5), nodes.run(0)).await;
    ensure!(!nodes.ended(0).await?.success());
    let said = nodes.said(0);
    ensure!(
        said.contains("put back to an older state") && said.contains("Empty the folder"),
        "{said}"
    );
    Ok(())
}

#[tokio::test]
async fn a_client_that_was_idle_makes_room_for_another() -> Result<()> {
    let nodes = Nodes::start(NODE, 2, &["--max-clients", "1", "--remember-clients", "3s"]).await?;
    nodes.like(0, &like("tea", "ann/1")).await?;
    let bob = like("tea", "bob/1");
    let answer = nodes.ask(0, Method::POST, "/likes", Some(&bob)).await?;
    answer.problem(507, "too-many-clients")?;
    // The other node has to have ann's on its disk first.
    eventually(PATIENCE, async || nodes.like(0, &bob).await).await?;
    nodes.agree(&BTreeMap::from([("tea".to_owned(), 2)])).await
}

#[tokio::test]
async fn what_cannot_be_counted_is_refused_with_a_problem() -> Result<()> {
    let nodes = Nodes::start(NODE, 1, &["--max-ids", "2", "--max-clients", "1"]).await?;
    let huge = "x".repeat(1 << 20);
    for (path, body, status, kind) in [
        ("/likes", json!({"id": "", "by": "b"}), 422, "bad-like"),
        ("/likes", json!({"id": huge, "by": "b"}), 413, "too-large"),
        ("/likes", json!({"id": "x".repeat(257), "by": "b"}), 422, "bad-like"),
        ("/likes", json!({"id": "a", "by": "b", "n": 0}), 422, "bad-like"),
        ("/unlikes", json!({"id": "a", "by": "b", "n": -5}), 422, "bad-like"),
        ("/likes", json!({"id": "a", "by": "b", "n": 1e30}), 422, "bad-like"),
        (
            "/likes",
            json!([{"id": "a", "by": "b"}, {"id": "b", "by": "b"}, {"id": "c", "by": "b"}]),
            507,
            "too-many-ids",
        ),
        (
            "/likes",
            json!([{"id": "a", "by": "b", "request": "ann/1"}, {"id": "a", "by": "b", "request": "bob/1"}]),
            507,
            "too-many-clients",
        ),
        ("/other", json!({}), 404, "not-found"),
        ("/totals", json!({}), 405, "method-not-allowed"),
    ] {
        let answer = nodes.ask(0, Method::POST, path, Some(&body)).await?;
        let problem = answer
            .problem(status, kind)
            .with_context(|| format!("{path} {status} {kind}"))?;
        let remedy = match kind {
            "too-many-ids" => "raise spec.counter.limits.ids",
            "too-many-clients" => "raise spec.counter.limits.clients",
            _ => continue,
        };
        ensure!(problem["detail"].to_string().contains(remedy), "{problem}");
    }
    for path in [
        "/totals?limit=0",
        "/totals?limit=x",
        "/totals?unknown=1",
        "/totals?ids=a&prefix=b",
    ] {
        nodes
            .ask(0, Method::GET, path, None)
            .await?
            .problem(400, "bad-parameter")
            .context(path)?;
    }
    nodes.agree(&BTreeMap::new()).await
}
