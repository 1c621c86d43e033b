//! A client's likes at one node, as long as it is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use hyper::Method;
use synccluster_harness::Witness;
use synccluster_integration::{
    counter::{Nodes, like},
    gateway::Gateway,
    http::Answer,
};

use crate::place::{EDITOR, NODE, Place, ask, settled};

/// A log has room for one run of numbers, and so for one client without a gap.
const ONE_RUN: [&str; 2] = ["--max-clients", "1"];

/// Three nodes, and a gateway that knows them.
async fn start(more: &[&str]) -> Result<(Place, Nodes, Gateway)> {
    let (place, nodes) = (Place::new()?, Nodes::start(NODE, 3, more).await?);
    let gateway = place.gateway("127.0.0.1:1", Some(&nodes)).await?;
    settled(&gateway, &nodes).await?;
    Ok((place, nodes, gateway))
}

async fn post(gateway: &Gateway, client: &str, number: u64) -> Result<Answer> {
    let body = like("tea", &format!("{client}/{number}"));
    ask(gateway, EDITOR, Method::POST, "/api/v1/likes", Some(&body)).await
}

/// The node that has taken it.
async fn taken(gateway: &Gateway, client: &str, number: u64) -> Result<usize> {
    let answer = post(gateway, client, number).await?.ok()?;
    let node = answer["node"].as_u64().with_context(|| format!("no node: {answer}"))?;
    Ok(usize::try_from(node)?)
}

fn tea(likes: u64) -> Result<BTreeMap<String, i64>> {
    Ok(BTreeMap::from([("tea".to_owned(), i64::try_from(likes)?)]))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_numbered_likes_of_a_client_are_one_run_in_one_log() -> Result<()> {
    let (_place, nodes, gateway) = start(&ONE_RUN).await?;
    let mut homes = BTreeMap::<usize, &str>::new();
    for client in ["ann", "bob", "cy"] {
        let mut at = BTreeSet::new();
        for number in 1..=50 {
            at.insert(taken(&gateway, client, number).await?);
        }
        ensure!(at.len() == 1, "the likes of {client} are at nodes {at:?}");
        homes.extend(at.into_iter().map(|node| (node, client)));
    }
    // Each found a log with room: where its own had none, it went to the next.
    ensure!(homes.len() == 3, "{homes:?}");
    post(&gateway, "dan", 1).await?.problem(507, "too-many-clients")?;
    nodes.agree(&tea(150)?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_send_a_client_to_the_same_node() -> Result<()> {
    let (place, nodes, one) = start(&[]).await?;
    let other = place.gateway("127.0.0.1:1", Some(&nodes)).await?;
    settled(&other, &nodes).await?;
    let mut homes = BTreeSet::new();
    for client in 0..30 {
        let client = format!("page-{client}");
        let home = taken(&one, &client, 1).await?;
        assert_eq!(taken(&other, &client, 2).await?, home, "{client}");
        homes.insert(home);
    }
    ensure!(homes.len() == 3, "30 clients are at nodes {homes:?}");
    nodes.agree(&tea(60)?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_likes_of_a_node_that_is_killed_go_to_another_and_none_is_lost_or_counted_twice() -> Result<()> {
    let (_place, mut nodes, gateway) = start(&ONE_RUN).await?;
    let mut homes = Vec::new();
    for number in 1..=20 {
        homes.push(taken(&gateway, "ann", number).await?);
    }
    let (home, is_killed) = (homes[0], AtomicBool::new(false));
    let likes = async {
        let (mut number, mut after) = (20, 0);
        while after < 50 {
            after += u64::from(is_killed.load(Ordering::SeqCst));
            number += 1;
            homes.push(taken(&gateway, "ann", number).await?);
        }
        Ok::<_, anyhow::Error>(number)
    };
    // In the middle of one.
    let kill = async {
        nodes.kill(home).await?;
        is_killed.store(true, Ordering::SeqCst);
        Ok::<_, anyhow::Error>(())
    };
    let (count, ()) = tokio::try_join!(likes, kill)?;
    homes.dedup();
    ensure!(homes.len() == 2, "ann's likes were at nodes {homes:?}");
    let again = post(&gateway, "ann", count).await?.ok()?;
    assert_eq!(again["duplicate"], true, "{again}");
    // What it had acknowledged and not told yet is in its log.
    nodes.run(home).await?;
    nodes.agree(&tea(count)?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_hangs_keeps_one_like_for_seconds_and_no_other() -> Result<()> {
    let (_place, nodes, gateway) = start(&[]).await?;
    let home = taken(&gateway, "ann", 1).await?;
    nodes.signal(home, "STOP").await?;
    let (begun, witness) = (Instant::now(), Witness::of_disk()?);
    let other = taken(&gateway, "ann", 2).await?;
    assert_ne!(other, home);
    let (first, begun) = (begun.elapsed(), Instant::now());
    for number in 3..=10 {
        assert_eq!(taken(&gateway, "ann", number).await?, other, "like {number}");
    }
    let (others, late) = (begun.elapsed(), witness.late());
    ensure!(
        first < Duration::from_secs(8) + late && others < Duration::from_secs(3) + late,
        "the first like took {first:?}, eight others {others:?}, of which nobody got anything done for {late:?}"
    );
    // It may count now what it was sent, and another has counted.
    nodes.signal(home, "CONT").await?;
    nodes.agree(&tea(10)?).await
}
