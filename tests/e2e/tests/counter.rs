//! Counter nodes: whatever is killed or cut in the middle of likes, every acknowledged like counts once, everywhere and in every window.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;
use serde_json::json;
use synccluster_e2e::reach::counters;
use synccluster_e2e::{Cluster, Likes, PATIENCE, counters::Said, eventually, with_cluster_of};
use synccluster_operator::api::{Established, FreshDial};
use synccluster_operator::names::{self, Component};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// A client is assigned anew within 3 s. What is seen of that is a question before and one after.
const ANEW: Duration = Duration::from_secs(6);
/// A connection lives on under a policy that forbids it until two dials in a row, of 1.5 s each, were blocked; then it is 3 s.
const CUT_ANEW: Duration = Duration::from_secs(12);
/// Whoever is there answers sooner.
const ANSWER: Duration = Duration::from_secs(1);
/// A look at all nodes takes a part of a second.
const PACE: Duration = Duration::from_millis(200);
/// The windows of `three`.
const LENGTHS: [i64; 2] = [10_000, 60_000];

/// Three nodes, and windows that close while a test runs.
async fn with_nodes(purpose: &str, test: impl AsyncFnOnce(&Cluster) -> Result<()>) -> Result<()> {
    let three = json!({
        "counter": { "nodes": 3, "windows": ["10s", "1m"], "grace": "5s" },
        "gateway": { "replicas": 0 },
    });
    with_cluster_of(purpose, 1, &three, test).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_like_is_lost_or_doubled() -> Result<()> {
    with_nodes("counter-faults", async |cluster| {
        a_like_at_one_node_is_seen_at_all(cluster).await?;
        let likes = Likes::start(cluster, "faults").await?;
        likes.go_on(10).await?;
        let leader = cluster.leader().await?;
        let other = (leader.node + 1) % 3;
        for node in [other, leader.node] {
            let survivors = (0..3).filter(|survivor| *survivor != node).collect();
            let watch = Watch::start(cluster, survivors, ANEW);
            cluster.kill_named(&names::counter_pod(&cluster.name, node)).await?;
            likes.go_on(10).await?;
            watch.stop().await?;
            cluster.ready().await?;
        }
        cluster.kill(Component::Kafka, None).await?;
        likes.go_on(10).await?;
        the_last_node_goes_and_leaves_nothing(cluster, &likes).await?;
        let mut expected = likes.stop().await?;
        expected.insert("first".to_owned(), 6);
        cluster.all_nodes_say(&expected).await?;
        cluster.counted_exactly(&expected, &LENGTHS).await?;
        cluster.ready().await?;
        cluster.converged().await
    })
    .await
}

/// It goes for good while likes come; what it has acknowledged has to be in Kafka and at the others, which is seen at the end.
async fn the_last_node_goes_and_leaves_nothing(cluster: &Cluster, likes: &Likes) -> Result<()> {
    cluster.ready().await?;
    cluster.patch(&json!({ "counter": { "nodes": 2 } })).await?;
    eventually(PATIENCE, async || {
        let status = cluster.get().await?.status.unwrap_or_default();
        let names: Vec<_> = status.counters.iter().map(|node| node.name.as_str()).collect();
        ensure!(names == ["counter-0", "counter-1"], "status.counters: {names:?}");
        Ok(())
    })
    .await?;
    likes.go_on(10).await
}

async fn a_like_at_one_node_is_seen_at_all(cluster: &Cluster) -> Result<()> {
    for node in 0..3 {
        let like = json!({ "id": "first", "by": "ann", "n": node + 1, "request": format!("ann/{node}") });
        let answer = cluster.like(node, &like).await?;
        ensure!(answer["node"] == node, "counter-{node} answers {answer}");
    }
    cluster
        .all_nodes_say(&BTreeMap::from([("first".to_owned(), 6)]))
        .await?;
    // The same request at another node is the same like.
    let again = json!({ "id": "first", "by": "ann", "n": 1, "request": "ann/0" });
    let answer = cluster.like(2, &again).await?;
    ensure!(answer["duplicate"] == true && answer["total"] == 6, "{answer}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_node_goes_on_and_all_are_the_same_after_the_heal() -> Result<()> {
    with_nodes("counter-cut", async |cluster| {
        cluster.converged().await?;
        let leader = cluster.leader().await?;
        let (cut, others) = (leader.node, [(leader.node + 1) % 3, (leader.node + 2) % 3]);
        let likes = Likes::start(cluster, "cut").await?;
        likes.go_on(5).await?;
        let watch = Watch::start(cluster, (0..3).filter(|node| *node != cut).collect(), CUT_ANEW);
        cluster.cut(&counters([i32::from(cut)])).await?;
        cluster.enforced().await?;
        the_cut_is_measured(cluster, cut).await?;
        the_leader_is_another(cluster, leader, others).await?;
        each_side_counts_for_itself(cluster, cut, others[0]).await?;
        likes.go_on(10).await?;
        cluster.enforced().await?;
        cluster.heal().await?;
        let mut expected = likes.stop().await?;
        watch.stop().await?;
        // Twice while they could not see each other; one of the two is taken back.
        expected.extend([("alone".to_owned(), 2), ("twice".to_owned(), 1)]);
        cluster.all_nodes_say(&expected).await?;
        cluster.converged().await?;
        cluster.counted_exactly(&expected, &LENGTHS).await?;
        let status = cluster.get().await?.status.unwrap_or_default();
        let digests: BTreeSet<_> = status.counters.iter().map(|node| node.digest.as_deref()).collect();
        ensure!(
            digests.len() == 1 && status.counters.len() == 3,
            "status.counters: {:?}",
            status.counters
        );
        Ok(())
    })
    .await
}

async fn the_cut_is_measured(cluster: &Cluster, cut: u16) -> Result<()> {
    let status = cluster.get().await?.status.unwrap_or_default();
    let name = names::counter_node(cut);
    let ways = &status
        .counters
        .iter()
        .find(|node| node.name == name)
        .context("no status")?
        .connectivity;
    assert_eq!(
        (ways.fresh_dial, ways.established),
        (FreshDial::Blocked, Established::Closed),
        "{}",
        ways.evidence
    );
    Ok(())
}

async fn the_leader_is_another(cluster: &Cluster, before: Said, others: [u16; 2]) -> Result<()> {
    eventually(PATIENCE, async || {
        for node in others {
            let leader = cluster.leader_at(node).await?.context("no leader")?;
            ensure!(
                leader.node != before.node && leader.term > before.term,
                "counter-{node} takes {leader:?} for the leader, after {before:?}"
            );
            let assigned = cluster.assigned(node, "ann").await?;
            ensure!(
                assigned.node != before.node,
                "a client is sent to a node that is cut off: {assigned:?}"
            );
        }
        Ok(())
    })
    .await
}

async fn each_side_counts_for_itself(cluster: &Cluster, cut: u16, other: u16) -> Result<()> {
    for node in [cut, other] {
        let twice = json!({ "id": "twice", "by": "bob", "n": 1, "request": "bob/1" });
        let alone = json!({ "id": "alone", "by": "bob", "n": 1, "request": format!("bob-{node}/1") });
        for like in [twice, alone] {
            let answer = cluster.like(node, &like).await?;
            ensure!(answer["position"].is_number(), "counter-{node} answers {answer}");
        }
        let totals = cluster.totals(node, &["twice", "alone"]).await?;
        ensure!(
            totals.values().all(|total| *total == 1),
            "likes crossed the cut to counter-{node}: {totals:?}"
        );
    }
    Ok(())
}

/// Somebody who asks some nodes all the time where to go, and all who leads: none of them is silent for long, and no term has two leaders.
struct Watch {
    stop: CancellationToken,
    task: JoinHandle<Result<()>>,
}

impl Watch {
    /// The nodes that are asked are to be given in order.
    fn start(cluster: &Cluster, asked: Vec<u16>, limit: Duration) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(watch(cluster.clone(), asked, limit, stop.clone()));
        Self { stop, task }
    }

    async fn stop(self) -> Result<()> {
        self.stop.cancel();
        self.task.await?
    }
}

async fn watch(cluster: Cluster, asked: Vec<u16>, limit: Duration, stop: CancellationToken) -> Result<()> {
    let mut leaders = BTreeMap::<u64, u16>::new();
    let mut answered: BTreeMap<u16, Instant> = asked.iter().map(|node| (*node, Instant::now())).collect();
    while !stop.is_cancelled() {
        let leading = join_all((0..3).map(|node| timeout(ANSWER, cluster.leader_at(node))));
        let assigning = join_all(asked.iter().map(|node| timeout(ANSWER, cluster.assigned(*node, "ann"))));
        let (leading, assigning) = tokio::join!(leading, assigning);
        // One that was killed answers nothing.
        for leader in leading.into_iter().flatten().flatten().flatten() {
            let first = *leaders.entry(leader.term).or_insert(leader.node);
            ensure!(
                first == leader.node,
                "term {} has two leaders: {first} and {}",
                leader.term,
                leader.node
            );
        }
        for ((node, last), assigned) in answered.iter_mut().zip(assigning) {
            let silent = last.elapsed();
            if matches!(assigned, Ok(Ok(_))) {
                *last = Instant::now();
            }
            ensure!(
                silent <= limit,
                "counter-{node} has assigned nobody for {silent:?}, and now says {assigned:?}"
            );
        }
        sleep(PACE).await;
    }
    Ok(())
}
