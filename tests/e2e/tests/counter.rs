//! Counter nodes: whatever is cut or killed in the middle of likes, every acknowledged like counts once, everywhere and in every window.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use synccluster_e2e::reach::counters;
use synccluster_e2e::{
    Cluster, Likes, PATIENCE, Terminal, Visitor, Watch, counters::Said, eventually, node_address, with_cluster_of,
};
use synccluster_operator::api::{Established, FreshDial};
use synccluster_operator::names::{self, ACCESS_LABEL, Component};
use synccluster_protocol::Site;
use tokio::time::Instant;

/// A client is assigned anew within 3 s. What is seen of that is a question before and one after.
const ANEW: Duration = Duration::from_secs(6);
/// A connection lives on under a policy that forbids it until two dials in a row, of 1.5 s each, were blocked; then it is 3 s.
const CUT_ANEW: Duration = Duration::from_secs(12);
/// A node that is cut off is alone after some seconds and tells its clients. Who asks too early asks again, later each time.
const AWAY: Duration = Duration::from_secs(30);
/// The windows of the nodes.
const LENGTHS: [i64; 2] = [10_000, 60_000];
/// In half of it a window of 10 s that was open is closed, with its grace of 5 s.
const CLOSES: Duration = Duration::from_secs(30);
/// The leader's port of the nodes of the cluster, where somebody outside asks.
const OUTSIDE: u16 = 31_710;

/// What every id has.
type Totals = BTreeMap<String, i64>;

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_like_counts_once_whatever_is_cut_or_killed() -> Result<()> {
    let node_port = json!({ "host": node_address().await?, "port": OUTSIDE });
    // Windows that close while a test runs.
    let nodes = json!({ "nodes": 3, "windows": ["10s", "1m"], "grace": "5s", "expose": { "nodePort": node_port } });
    let more = json!({ "counter": nodes, "gateway": { "replicas": 0 } });
    with_cluster_of("counter", 1, &more, async |cluster| {
        let home = home(cluster).await?;
        let totals = Box::pin(a_cut_node_goes_on_and_all_are_the_same_after_the_heal(cluster, &home)).await?;
        Box::pin(no_acknowledged_like_is_lost_or_doubled(cluster, &home, totals)).await
    })
    .await
}

/// A pod from which people reach the nodes.
async fn home(cluster: &Cluster) -> Result<Visitor<'_>> {
    let access = json!({ ACCESS_LABEL: names::counter(&cluster.name) });
    cluster.visitor("terminal", &access).await
}

/// Returns what every id has in the end.
async fn a_cut_node_goes_on_and_all_are_the_same_after_the_heal(
    cluster: &Cluster,
    home: &Visitor<'_>,
) -> Result<Totals> {
    cluster.converged().await?;
    clients_outside_are_sent_to_a_node_that_takes_their_likes(cluster).await?;
    let leader = cluster.leader().await?;
    let (cut, others) = (leader.node, [(leader.node + 1) % 3, (leader.node + 2) % 3]);
    let mut people = people_until_one_is_at(cluster, home, cut).await?;
    let terminal = people.pop().context("nobody")?;
    terminal.types("like moved").await?;
    terminal.sees("moved", 1).await?;
    let likes = Likes::start(cluster, "cut").await?;
    likes.go_on(5).await?;
    let watch = Watch::start(cluster, (0..3).filter(|node| *node != cut).collect(), CUT_ANEW);
    cluster.cut(&counters([i32::from(cut)])).await?;
    cluster.enforced().await?;
    let apart = Instant::now();
    the_cut_is_measured(cluster, cut).await?;
    the_leader_is_another(cluster, leader, others).await?;
    terminal.moves(cut, AWAY).await?;
    terminal.types("like moved").await?;
    terminal.sees("moved", 2).await?;
    each_side_counts_for_itself(cluster, cut, others[0]).await?;
    // What the node that is cut counts now comes to Kafka when its windows are final.
    while apart.elapsed() < CLOSES {
        likes.go_on(5).await?;
    }
    cluster.enforced().await?;
    cluster.heal().await?;
    likes.go_on(5).await?;
    watch.stop().await?;
    terminal.quits(2).await?;
    let lone = two_nodes_at_once_are_cut(cluster, &likes).await?;
    let mut expected = likes.stop().await?;
    // Twice while they could not see each other; one of the two is taken back.
    expected.extend([
        ("alone".to_owned(), 2),
        ("twice".to_owned(), 1),
        ("outside".to_owned(), 1),
        ("moved".to_owned(), 2),
    ]);
    expected.extend(lone);
    cluster.all_nodes_say(&expected).await?;
    cluster.converged().await?;
    let closed = cluster.counted_exactly(&expected, &LENGTHS).await?;
    ensure!(
        closed.last.is_some() && closed.late > 0,
        "{closed:?}: likes of a cut are late"
    );
    eventually(PATIENCE, async || {
        let counters = cluster.get().await?.status.unwrap_or_default().counters;
        let digests: BTreeSet<_> = counters.iter().map(|node| node.digest.as_deref()).collect();
        ensure!(
            digests.len() == 1 && counters.len() == 3 && counters.iter().all(|node| node.digest.is_some()),
            "status.counters: {counters:?}"
        );
        Ok(())
    })
    .await?;
    Ok(expected)
}

/// People come one after the other, each to another node, until one is at this node: the last one.
async fn people_until_one_is_at(cluster: &Cluster, home: &Visitor<'_>, node: u16) -> Result<Vec<Terminal>> {
    let mut people = Vec::new();
    for name in ["ann", "bob", "cid"] {
        let terminal = Terminal::in_pod(cluster, home, name).await?;
        let at = terminal.node().await?;
        people.push(terminal);
        if at == node {
            return Ok(people);
        }
    }
    anyhow::bail!("of three people none is at counter-{node}")
}

/// The time where the nodes are, in milliseconds since the Unix epoch.
async fn now_there(cluster: &Cluster) -> Result<i64> {
    let now = "select (extract(epoch from clock_timestamp()) * 1000)::bigint";
    let lines = cluster.sql(Site::Server, now).await?;
    Ok(lines.first().context("no time")?.parse()?)
}

/// A node that does not answer in time for once has said nothing.
async fn the_cut_is_measured(cluster: &Cluster, cut: u16) -> Result<()> {
    let name = names::counter_node(cut);
    eventually(PATIENCE, async || {
        let status = cluster.get().await?.status.unwrap_or_default();
        let mut nodes = status.counters.iter();
        let of_cut = nodes.find(|node| node.name == name).context("no status")?;
        let ways = &of_cut.connectivity;
        ensure!(
            (ways.fresh_dial, ways.established) == (FreshDial::Blocked, Established::Closed),
            "{}",
            ways.evidence
        );
        Ok(())
    })
    .await
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
            // Where an answer is lost, the next one calls the like a duplicate.
            if let Ok(answer) = cluster.like(node, &like).await {
                ensure!(answer["position"].is_number(), "counter-{node} answers {answer}");
            } else {
                cluster.surely_like(node, &like).await?;
            }
        }
        let ids = ["twice", "alone"];
        let totals = eventually(PATIENCE, async || cluster.totals(node, &ids).await).await?;
        ensure!(
            totals.values().all(|total| *total == 1),
            "likes crossed the cut to counter-{node}: {totals:?}"
        );
    }
    Ok(())
}

/// Each of the three is alone then, and counts for itself. What every one has counted by itself.
async fn two_nodes_at_once_are_cut(cluster: &Cluster, likes: &Likes) -> Result<Totals> {
    let met = BTreeMap::from([("alone".to_owned(), 2), ("twice".to_owned(), 1)]);
    cluster.all_nodes_say(&met).await?;
    let watch = Watch::start(cluster, Vec::new(), CUT_ANEW);
    cluster.cut(&counters([0, 2])).await?;
    cluster.enforced().await?;
    let ids = ["lone-0", "lone-1", "lone-2"];
    for (node, id) in (0..3).zip(ids) {
        let like = json!({ "id": id, "by": "bob", "n": node + 1, "request": format!("bob-{id}/1") });
        cluster.surely_like(node, &like).await?;
        let totals = eventually(PATIENCE, async || cluster.totals(node, &ids).await).await?;
        let others: i64 = totals.iter().filter(|(of, _)| *of != id).map(|(_, total)| *total).sum();
        ensure!(
            totals.get(id) == Some(&i64::from(node + 1)) && others == 0,
            "likes crossed the cut to counter-{node}: {totals:?}"
        );
    }
    likes.go_on(5).await?;
    cluster.enforced().await?;
    cluster.heal().await?;
    likes.go_on(5).await?;
    watch.stop().await?;
    Ok((1..).zip(ids).map(|(n, id)| (id.to_owned(), n)).collect())
}

/// Somebody outside the cluster's own network, who has no label: where he asks he is told addresses that he reaches, and inside nothing changes.
async fn clients_outside_are_sent_to_a_node_that_takes_their_likes(cluster: &Cluster) -> Result<()> {
    let outsider = cluster.visitor("outsider", &json!({ "app": "outsider" })).await?;
    let leader = eventually(PATIENCE, async || {
        let status = cluster.get().await?.status.unwrap_or_default();
        let leader = status.counter.context("no status.counter")?.leader;
        ensure!(
            leader.ends_with(&format!(":{OUTSIDE}")),
            "status.counter.leader: {leader}"
        );
        Ok(leader)
    })
    .await?;
    let host = leader.trim_end_matches(&format!(":{OUTSIDE}"));
    let assigned = eventually(PATIENCE, async || {
        outsider.asks(&leader, "/assign?client=eve", None).await
    })
    .await?;
    let node = assigned["node"].as_u64().with_context(|| assigned.to_string())?;
    let address = format!("{host}:{}", u64::from(OUTSIDE) + 1 + node);
    ensure!(assigned["address"] == address, "{assigned}");
    let like = json!({ "id": "outside", "by": "eve", "request": "eve/1" });
    // Its port may come to the nodes of Kubernetes a little later than the leader's. A duplicate is what it is if the answer was lost.
    eventually(PATIENCE, async || {
        let liked = outsider.asks(&address, "/likes", Some(&like)).await?;
        let is_counted = liked["position"].is_number() || liked["duplicate"] == true;
        ensure!(liked["node"] == node && is_counted, "{liked}");
        Ok(())
    })
    .await?;
    let inside = eventually(PATIENCE, async || cluster.assigned_address(0, "eve").await).await?;
    let named = format!(
        "{}.{}",
        names::counter_pod(&cluster.name, u16::try_from(node)?),
        names::counter_nodes(&cluster.name)
    );
    ensure!(inside.starts_with(&named) && inside.ends_with(":5002"), "{inside}");
    ensure!(
        !outsider.reaches(&named, 5001).await? && !outsider.reaches(&named, 5003).await?,
        "{named} lets in whoever has no label"
    );
    Ok(())
}

/// What every id had before stays counted, too.
async fn no_acknowledged_like_is_lost_or_doubled(cluster: &Cluster, home: &Visitor<'_>, before: Totals) -> Result<()> {
    cluster.ready().await?;
    let begun = now_there(cluster).await?;
    a_like_at_one_node_is_seen_at_all(cluster).await?;
    let terminal = Terminal::in_pod(cluster, home, "ann").await?;
    terminal.types("like typed").await?;
    terminal.sees("typed", 1).await?;
    let likes = Likes::start(cluster, "faults").await?;
    likes.go_on(10).await?;
    let leader = cluster.leader().await?;
    // The terminal's node, and of the leader's and another one which that is not.
    let own = terminal.node().await?;
    let next = if own == leader.node { (own + 1) % 3 } else { leader.node };
    let mut typed = 1;
    for node in [own, next] {
        let survivors = (0..3).filter(|survivor| *survivor != node).collect();
        let watch = Watch::start(cluster, survivors, ANEW);
        let at = terminal.node().await?;
        let killed = cluster.kill_named(&names::counter_pod(&cluster.name, node)).await?;
        terminal.types("like typed").await?;
        typed += 1;
        if at == node {
            terminal.moves(node, ANEW).await?;
        }
        terminal.sees("typed", typed).await?;
        likes.go_on(10).await?;
        watch.stop().await?;
        // The next one is to be killed alone.
        cluster.is_back(&killed).await?;
        cluster.ready().await?;
    }
    terminal.quits(typed).await?;
    cluster.kill(Component::Kafka, None).await?;
    likes.go_on(10).await?;
    the_last_node_goes_and_leaves_nothing(cluster, &likes).await?;
    let mut expected = likes.stop().await?;
    expected.extend([("first".to_owned(), 6), ("typed".to_owned(), typed)]);
    for (id, total) in before {
        *expected.entry(id).or_default() += total;
    }
    cluster.all_nodes_say(&expected).await?;
    let closed = cluster.counted_exactly(&expected, &LENGTHS).await?;
    ensure!(
        closed.last >= Some(begun),
        "{closed:?}: no window is final that began after {begun}"
    );
    cluster.ready().await?;
    cluster.converged().await
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
        let answer = cluster.surely_like(node, &like).await?;
        ensure!(answer["node"] == node, "counter-{node} answers {answer}");
    }
    cluster
        .all_nodes_say(&BTreeMap::from([("first".to_owned(), 6)]))
        .await?;
    // The same request at another node is the same like.
    let again = json!({ "id": "first", "by": "ann", "n": 1, "request": "ann/0" });
    let answer = cluster.surely_like(2, &again).await?;
    ensure!(answer["duplicate"] == true && answer["total"] == 6, "{answer}");
    Ok(())
}
