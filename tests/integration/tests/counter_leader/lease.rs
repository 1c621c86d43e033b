//! With Kubernetes: a Lease says who leads.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use synccluster_harness::{Link, Witness, eventually};
use synccluster_integration::counter::{Nodes, PATIENCE};
use tokio::time::sleep;

use super::{
    NODE, SOON,
    api::{Api, Lost},
    in_time, leader,
};

const LEASE: &str = "demo-counter";

/// So many nodes, which make the Lease.
pub async fn start(count: usize) -> Result<(Api, Nodes)> {
    started(Api::start(count).await?, count).await
}

async fn started(api: Api, count: usize) -> Result<(Api, Nodes)> {
    let flags = ["--lease", LEASE, "--lease-namespace", "lab"];
    let nodes = Nodes::start_in(NODE, count, &flags, &[("KUBECONFIG", &api.kubeconfig())]).await?;
    Ok((api, nodes))
}

fn others(node: usize) -> Vec<usize> {
    (0..3).filter(|other| *other != node).collect()
}

/// As `super::next_leader`; where there is none in time, what the API and the nodes say of it.
async fn next_leader(api: &Api, nodes: &Nodes, asked: &[usize], term: u64) -> Result<(usize, u64, Duration)> {
    super::next_leader(nodes, asked, term).await.with_context(|| {
        let lease = api.lease(LEASE);
        let said: Vec<String> = asked.iter().map(|node| nodes.said(*node)).collect();
        format!(
            "held were {:?}; the Lease is {lease}; the nodes {asked:?} said\n{}",
            api.objects().held,
            said.join("\n")
        )
    })
}

/// Terms only grow, and each has one holder.
fn check_terms(api: &Api) -> Result<()> {
    let objects = api.objects();
    let held: Vec<_> = objects.held.iter().filter(|(holder, _)| holder.is_some()).collect();
    let grows = held.windows(2).all(|pair| pair[0].1 < pair[1].1);
    ensure!(grows, "{:?}", objects.held);
    Ok(())
}

#[tokio::test]
async fn the_holder_of_the_lease_leads_and_when_it_is_killed_another_within_three_seconds() -> Result<()> {
    let (api, mut nodes) = start(3).await?;
    let (first, term, _) = next_leader(&api, &nodes, &[0, 1, 2], 1).await?;
    let spec = api.lease(LEASE)["spec"].clone();
    ensure!(spec["holderIdentity"] == format!("{LEASE}-{first}"), "{spec}");
    ensure!(
        spec["leaseTransitions"] == term && spec["leaseDurationSeconds"] == 2,
        "{spec}"
    );
    for node in 0..3 {
        eventually(PATIENCE, async || {
            ensure!(leader(&nodes, &[node]).await? == (first, term));
            let status = nodes.status(node).await?.leader.context("no leader")?;
            ensure!((usize::from(status.node), status.term) == (first, term));
            Ok(())
        })
        .await?;
    }
    nodes.kill(first).await?;
    let witness = Witness::of_disk()?;
    let (second, next, took) = next_leader(&api, &nodes, &others(first), term + 1).await?;
    in_time("another holder", took, SOON, witness.late())?;
    ensure!(second != first && next == term + 1, "{second} in {next}");
    nodes.run(first).await?;
    // One that is asked to stop gives it back, and nobody waits.
    let (begin, witness) = (Instant::now(), Witness::of_disk()?);
    nodes.stop(second).await?;
    next_leader(&api, &nodes, &others(second), next + 1).await?;
    let (took, late, limit) = (begin.elapsed(), witness.late(), Duration::from_millis(1800));
    in_time("another holder after the Lease was given back", took, limit, late)?;
    check_terms(&api)
}

#[tokio::test]
async fn a_conflict_is_no_loss_when_somebody_else_only_touched_the_lease() -> Result<()> {
    let (api, nodes) = start(3).await?;
    let (first, term, _) = next_leader(&api, &nodes, &[0, 1, 2], 1).await?;
    let before = api.objects().conflicts;
    for _ in 0..5 {
        api.label(LEASE);
        sleep(Duration::from_millis(600)).await;
        ensure!(leader(&nodes, &[0, 1, 2]).await? == (first, term));
    }
    ensure!(api.objects().conflicts > before, "no conflict was answered");
    ensure!(
        api.lease(LEASE)["metadata"]["labels"]["owner"] == "somebody",
        "{}",
        api.lease(LEASE)
    );
    check_terms(&api)
}

/// Stops the leader while it waits for the answer to a renewal, which is lost; who that was, and in which term.
async fn stopped_while_a_renewal_is_lost(api: &Api, nodes: &mut Nodes, lost: Lost) -> Result<(usize, u64)> {
    let (first, term, _) = next_leader(api, nodes, &[0, 1, 2], 1).await?;
    api.label(LEASE);
    sleep(Duration::from_secs(1)).await;
    api.lose(lost);
    eventually(PATIENCE, async || {
        ensure!(api.has_lost_it(), "the leader has not renewed");
        Ok(())
    })
    .await?;
    nodes.stop(first).await?;
    let lease = api.lease(LEASE);
    ensure!(lease["metadata"]["labels"]["owner"] == "somebody", "{lease}");
    let (held, back) = (&api.objects().held, (None, i64::try_from(term)?));
    ensure!(held.contains(&back), "not given back: {held:?}");
    Ok((first, term))
}

#[tokio::test]
async fn whatever_was_lost_before_the_lease_is_given_back_it_is_and_what_others_wrote_into_it_stays() -> Result<()> {
    for lost in [Lost::Write, Lost::Answer] {
        let (api, mut nodes) = start(3).await?;
        let (first, term) = stopped_while_a_renewal_is_lost(&api, &mut nodes, lost)
            .await
            .with_context(|| format!("{lost:?}"))?;
        next_leader(&api, &nodes, &others(first), term + 1).await?;
        check_terms(&api)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_leader_that_cannot_renew_stops_before_another_begins() -> Result<()> {
    let (api, nodes) = start(3).await?;
    let (first, term, _) = next_leader(&api, &nodes, &[0, 1, 2], 1).await?;
    let (mut highest, mut assigned) = (term, Vec::new());
    for round in 0..120 {
        match round {
            10 => api.cut(first, Link::Blocked).await?,
            90 => api.cut(first, Link::Open).await?,
            _ => {}
        }
        for node in [first, (first + 1) % 3, (first + 2) % 3] {
            let answer = nodes.ask_leader(node, "/assign?client=ann").await?;
            if answer.status == 503 {
                answer.problem(503, "no-leader")?;
                continue;
            }
            let now = answer.ok()?["term"].as_u64().context("no term")?;
            ensure!(now >= highest, "node {node} assigns in term {now} after {highest}");
            highest = now;
            assigned.push((round, now));
        }
        sleep(Duration::from_millis(50)).await;
    }
    ensure!(highest == term + 1, "{highest} after {term}");
    // Of 50 ms rounds: 10 until it is cut, and 3 s.
    let taken = assigned
        .iter()
        .find(|(_, now)| *now > term)
        .context("nobody took over")?;
    ensure!(taken.0 < 75, "{taken:?}");
    check_terms(&api)
}

#[tokio::test]
async fn without_the_api_nobody_assigns_and_a_lease_that_was_deleted_comes_back_in_a_higher_term() -> Result<()> {
    let (api, nodes) = start(3).await?;
    let (_, term, _) = next_leader(&api, &nodes, &[0, 1, 2], 1).await?;
    for node in 0..3 {
        api.cut(node, Link::Blocked).await?;
    }
    let (at, witness) = (Instant::now(), Witness::of_disk()?);
    eventually(PATIENCE, async || {
        for node in 0..3 {
            nodes
                .ask_leader(node, "/assign?client=ann")
                .await?
                .problem(503, "no-leader")?;
        }
        Ok(())
    })
    .await?;
    let (took, late) = (at.elapsed(), witness.late());
    in_time("nobody assigns any more", took, SOON, late)?;
    for node in 0..3 {
        api.cut(node, Link::Open).await?;
    }
    let (_, again, _) = next_leader(&api, &nodes, &[0, 1, 2], term).await?;
    api.delete(LEASE);
    next_leader(&api, &nodes, &[0, 1, 2], again + 1).await?;
    check_terms(&api)
}

#[tokio::test]
async fn a_leader_that_is_cut_from_the_nodes_but_not_from_the_api_makes_room_for_another() -> Result<()> {
    let (api, nodes) = start(3).await?;
    let (first, term, _) = next_leader(&api, &nodes, &[0, 1, 2], 1).await?;
    nodes.cut(first, Link::Blocked).await?;
    let witness = Witness::of_disk()?;
    let (second, next, took) = next_leader(&api, &nodes, &others(first), term + 1).await?;
    in_time("another holder than one that is cut off", took, SOON, witness.late())?;
    ensure!(second != first, "{second} again");
    sleep(Duration::from_secs(2)).await;
    ensure!(leader(&nodes, &others(first)).await?.0 == second);
    // Its leader API is not cut: it asks the one that leads.
    let assigned = nodes.ask_leader(first, "/assign?client=ann").await?.ok()?;
    ensure!(assigned["term"] == next && assigned["node"] != first, "{assigned}");
    nodes.cut(first, Link::Open).await?;
    eventually(PATIENCE, async || {
        ensure!(leader(&nodes, &[first]).await?.0 == second);
        Ok(())
    })
    .await?;
    check_terms(&api)
}

#[tokio::test]
async fn of_two_nodes_the_one_that_is_left_leads() -> Result<()> {
    // As an operator does, for which nodes need no right to create.
    let api = Api::start(2).await?;
    api.make(LEASE);
    let (api, mut nodes) = started(api, 2).await?;
    let (first, term, _) = next_leader(&api, &nodes, &[0, 1], 1).await?;
    nodes.kill(first).await?;
    let witness = Witness::of_disk()?;
    let (_, _, took) = next_leader(&api, &nodes, &[1 - first], term + 1).await?;
    in_time("the one of two that was left leads", took, SOON, witness.late())?;
    check_terms(&api)
}
