//! Without Kubernetes: nodes vote.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use hyper::Method;
use serde_json::Value;
use synccluster_harness::{Link, Witness, eventually};
use synccluster_integration::{
    counter::{Nodes, PATIENCE},
    http,
};

use super::{NODE, SOON, in_time, leader, next_leader};

#[tokio::test]
async fn every_node_answers_what_the_leader_says() -> Result<()> {
    let nodes = Nodes::start(NODE, 3, &[]).await?;
    let (first, term, _) = next_leader(&nodes, &[0, 1, 2], 1).await?;
    eventually(PATIENCE, async || {
        for node in 0..3 {
            ensure!(leader(&nodes, &[node]).await? == (first, term));
            let status = nodes.status(node).await?.leader.context("no leader in the status")?;
            ensure!((usize::from(status.node), status.term) == (first, term), "{status:?}");
        }
        Ok(())
    })
    .await?;
    let mut sent = [0; 3];
    for client in 0..30 {
        let path = format!("/assign?client=client-{client}");
        let answer = nodes.ask_leader(client % 3, &path).await?;
        ensure!(answer.header("counter-term") == Some(term.to_string().as_str()));
        let assigned = answer.ok()?;
        let node = usize::try_from(assigned["node"].as_u64().context("no node")?)?;
        sent[node] += 1;
        let address = nodes.nodes[node].clients;
        ensure!(assigned["address"] == address.to_string() && assigned["ws"] == format!("ws://{address}/ws"));
        ensure!(assigned["term"] == term);
        // Whom else it asks, it stays there.
        for other in 0..3 {
            ensure!(nodes.ask_leader(other, &path).await?.ok()? == assigned);
        }
    }
    ensure!(sent == [10, 10, 10], "{sent:?}");
    for (path, kind, status) in [
        ("/assign", "bad-parameter", 400),
        ("/assign?client=", "bad-parameter", 400),
        ("/assign?client=a%0Ab", "bad-parameter", 400),
        ("/assign?client=a&x=1", "bad-parameter", 400),
        ("/totals", "not-found", 404),
    ] {
        nodes.ask_leader(1, path).await?.problem(status, kind)?;
    }
    let long = format!("/assign?client={}", "x".repeat(129));
    nodes.ask_leader(1, &long).await?.problem(400, "bad-parameter")?;
    Ok(())
}

#[tokio::test]
async fn clients_outside_are_sent_to_the_same_nodes_at_addresses_outside() -> Result<()> {
    // Loopback has many addresses: each node has one that nobody else uses.
    let (outside, listen) = (["--outside", "likes.example.org:30501"], "127.0.7.{}:5004");
    let nodes = Nodes::start_in(NODE, 3, &outside, &[("COUNTER_LISTEN_OUTSIDE", listen)]).await?;
    let (_, term, _) = next_leader(&nodes, &[0, 1, 2], 1).await?;
    eventually(PATIENCE, async || {
        for asked in 0..3 {
            let there: SocketAddr = format!("127.0.7.{asked}:5004").parse()?;
            let ask = async |path: &str| http::ask(there, Method::GET, path, &[], None).await;
            let path = format!("/assign?client=client-{asked}");
            let (inside, outside) = (nodes.ask_leader(asked, &path).await?, ask(&path).await?);
            ensure!(outside.header("counter-term") == Some(term.to_string().as_str()));
            let (inside, outside) = (inside.ok()?, outside.ok()?);
            let node = outside["node"].as_u64().context("no node")?;
            ensure!(inside["node"] == node, "{inside} inside, {outside} outside");
            let address = format!("likes.example.org:{}", 30501 + node);
            ensure!(
                outside["address"] == address && outside["ws"] == format!("ws://{address}/ws"),
                "{outside}"
            );
            let told = ask("/nodes").await?.ok()?;
            let addresses: Vec<_> = told
                .as_array()
                .context("no nodes")?
                .iter()
                .map(|node| node["address"].as_str())
                .collect();
            let expected = [
                "likes.example.org:30501",
                "likes.example.org:30502",
                "likes.example.org:30503",
            ];
            ensure!(addresses == expected.map(Some), "{told}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_leader_that_is_killed_has_a_successor_within_three_seconds_in_a_higher_term() -> Result<()> {
    let mut nodes = Nodes::start(NODE, 3, &[]).await?;
    let (first, term, _) = next_leader(&nodes, &[0, 1, 2], 1).await?;
    nodes.kill(first).await?;
    let left: Vec<_> = (0..3).filter(|node| *node != first).collect();
    let witness = Witness::of_disk()?;
    let (second, next, took) = next_leader(&nodes, &left, term + 1).await?;
    in_time("another leader", took, SOON, witness.late())?;
    ensure!(second != first && next > term, "{second} in {next}");
    nodes.run(first).await?;
    eventually(PATIENCE, async || {
        ensure!(leader(&nodes, &[first]).await? == (second, next));
        Ok(())
    })
    .await?;
    // All of them: terms go on from what is on disk.
    for node in 0..3 {
        nodes.kill(node).await?;
    }
    for node in 0..3 {
        nodes.run(node).await?;
    }
    next_leader(&nodes, &[0, 1, 2], next + 1).await?;
    Ok(())
}

#[tokio::test]
async fn a_leader_that_is_cut_off_assigns_no_more_before_another_does_and_terms_never_go_back() -> Result<()> {
    let nodes = Nodes::start(NODE, 3, &[]).await?;
    let (first, term, _) = next_leader(&nodes, &[0, 1, 2], 1).await?;
    let asked = async |node: usize| -> Result<Option<u64>> {
        let answer = nodes.ask_leader(node, "/assign?client=ann").await?;
        if answer.status == 503 {
            answer.problem(503, "no-leader")?;
            return Ok(None);
        }
        let answer: Value = answer.ok()?;
        Ok(Some(answer["term"].as_u64().context("no term")?))
    };
    let mut highest = term;
    let mut seen = Vec::new();
    for round in 0..160 {
        match round {
            10 => nodes.cut(first, Link::Blocked).await?,
            110 => nodes.cut(first, Link::Open).await?,
            _ => {}
        }
        for node in [first, (first + 1) % 3, (first + 2) % 3] {
            if let Some(now) = asked(node).await? {
                ensure!(now >= highest, "node {node} assigns in term {now} after {highest}");
                highest = now;
                seen.push((round, node));
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    ensure!(highest > term, "nobody took over");
    let cut_off = |round: &usize| (70..110).contains(round);
    ensure!(
        !seen.iter().any(|(round, node)| cut_off(round) && *node == first),
        "the one that was cut off assigned"
    );
    ensure!(
        seen.iter()
            .filter(|(round, node)| cut_off(round) && *node != first)
            .count()
            > 40
    );
    eventually(PATIENCE, async || {
        ensure!(asked(first).await? == asked((first + 1) % 3).await? && asked(first).await?.is_some());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_leader_that_was_stopped_for_a_while_knows_when_it_goes_on_that_its_time_is_over() -> Result<()> {
    let nodes = Nodes::start(NODE, 3, &[]).await?;
    let (first, term, _) = next_leader(&nodes, &[0, 1, 2], 1).await?;
    nodes.signal(first, "STOP").await?;
    let others: Vec<_> = (0..3).filter(|node| *node != first).collect();
    let witness = Witness::of_disk()?;
    let (_, next, took) = next_leader(&nodes, &others, term + 1).await?;
    in_time("another leader than one that was stopped", took, SOON, witness.late())?;
    // Asked while it sleeps: it answers as soon as it wakes up.
    let asking = nodes.ask_leader(first, "/assign?client=ann");
    let waking = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        nodes.signal(first, "CONT").await
    };
    let (answer, woken) = tokio::join!(asking, waking);
    woken?;
    let answer = answer?;
    if answer.status != 503 {
        let assigned = answer.ok()?;
        ensure!(assigned["term"].as_u64() >= Some(next), "{assigned}");
    }
    eventually(PATIENCE, async || {
        ensure!(leader(&nodes, &[first]).await?.1 >= next);
        Ok(())
    })
    .await
}
