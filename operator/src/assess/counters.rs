//! What is said of the counter nodes: their status, and whether all know the same and Kafka has it.

use super::{Verdict, list, number};
use crate::api::{Connectivity, CounterAddress, CounterNodeStatus, SyncClusterStatus};
use crate::names;
use crate::observe::Observed;
use crate::plan;
use crate::validate::ValidatedCluster;

/// The nodes that are on their way out, while their pods are there.
pub fn leaving(cluster: &ValidatedCluster, observed: &Observed) -> impl Iterator<Item = u16> {
    cluster.leaving_counters().filter(|&node| {
        let name = names::counter_pod(&cluster.name, node);
        observed.pods.iter().any(|pod| pod.name == name)
    })
}

/// Where they are; absent if there are none.
pub fn address(cluster: &ValidatedCluster) -> Option<CounterAddress> {
    (cluster.counter.nodes > 0).then(|| CounterAddress {
        leader: plan::counter_leader(cluster),
    })
}

/// One node.
pub fn status(
    cluster: &ValidatedCluster,
    observed: &Observed,
    previous: &SyncClusterStatus,
    node: u16,
    connectivity: Connectivity,
) -> CounterNodeStatus {
    let mut status = measured(cluster, observed, node, connectivity);
    if !cluster.leaving_counters().contains(&node) {
        return status;
    }
    // A process that has ended says nothing more: what it said last is what it left.
    if let Some(before) = previous.counters.iter().find(|before| before.name == status.name)
        && status.position.is_none()
    {
        (status.position, status.published) = (before.position, before.published);
    }
    if let Some(behind) = unpublished(&status) {
        let (volume, nodes) = (names::counter_pod(&cluster.name, node), u32::from(node) + 1);
        status.problem = Some(format!(
            "it is on its way out with {behind} entries that are not in Kafka; they stay in its volume data-{volume}, and go on when spec.counter.nodes \
             is {nodes} again"
        ));
    }
    status
}

/// How many entries of a node are not in Kafka, as far as is known.
pub fn unpublished(node: &CounterNodeStatus) -> Option<i64> {
    let behind = node.position? - node.published.unwrap_or_default();
    (behind > 0).then_some(behind)
}

fn measured(
    cluster: &ValidatedCluster,
    observed: &Observed,
    node: u16,
    connectivity: Connectivity,
) -> CounterNodeStatus {
    let name = names::counter_pod(&cluster.name, node);
    let pod = observed.pods.iter().find(|pod| pod.name == name);
    let problem = pod.and_then(|pod| pod.problem.as_ref()).map(|problem| &problem.message);
    let said = observed.counters.get(&node);
    let leader = said.and_then(|said| said.leader);
    CounterNodeStatus {
        name: names::counter_node(node),
        connectivity,
        position: said.map(|said| number(said.position)),
        published: said.and_then(|said| said.published).map(number),
        digest: said.map(|said| said.digest.clone()),
        leader: leader.map(|leader| names::counter_node(leader.node)),
        term: leader.map(|leader| number(leader.term)),
        problem: problem.or(said.and_then(|said| said.error.as_ref())).cloned(),
    }
}

/// The digest all nodes have, empty if there are no nodes; or why they are not the same, as far as is known.
pub fn judge(cluster: &ValidatedCluster, observed: &Observed) -> Result<Option<String>, Verdict> {
    let leaving: Vec<String> = leaving(cluster, observed)
        .map(|node| {
            let name = names::counter_node(node);
            match observed.counters.get(&node) {
                Some(said) => {
                    let behind = said.position.saturating_sub(said.published.unwrap_or_default());
                    format!("{name}, of which {behind} entries are not in Kafka")
                }
                None => format!("{name}, which does not answer"),
            }
        })
        .collect();
    if !leaving.is_empty() {
        let message = format!("on their way out: {}", list(leaving));
        return Err(Verdict::no("CountersDraining", message));
    }
    let unseen: Vec<String> = cluster
        .counters()
        .filter(|node| !observed.counters.contains_key(node))
        .map(|node| {
            let why = observed.unseen_counters.get(&node).map_or("not asked", String::as_str);
            format!("{} ({why})", names::counter_node(node))
        })
        .collect();
    if !unseen.is_empty() {
        let message = format!("no answer from {}; see its pod", list(unseen));
        return Err(Verdict::unknown("CannotSee", message));
    }
    let way = on_its_way(cluster, observed);
    if !way.is_empty() {
        return Err(Verdict::no("Draining", list(way)));
    }
    let nodes = cluster
        .counters()
        .filter_map(|node| Some((node, observed.counters.get(&node)?)));
    let digests: Vec<(u16, &String)> = nodes.map(|(node, said)| (node, &said.digest)).collect();
    let Some((_, first)) = digests.first() else {
        return Ok(None);
    };
    if digests.iter().all(|(_, digest)| digest == first) {
        return Ok(Some((*first).clone()));
    }
    let each = digests
        .iter()
        .map(|(node, digest)| format!("{} {digest}", names::counter_node(*node)));
    let each = list(each.collect());
    // They were asked one after the other.
    if observed.counters.values().any(|said| said.likes_per_second > 0) {
        let message = format!("likes arrive while the counter nodes are compared: {each}");
        return Err(Verdict::no("Draining", message));
    }
    let message = format!(
        "nothing is on its way, but the totals of the counter nodes are not the same: {each}; they compare themselves twice a second and send what \
         differs, so see the logs of their pods"
    );
    Err(Verdict::no("DigestsDiffer", message))
}

/// What somebody does not have yet.
fn on_its_way(cluster: &ValidatedCluster, observed: &Observed) -> Vec<String> {
    let mut found = Vec::new();
    for node in cluster.counters() {
        let Some(said) = observed.counters.get(&node) else {
            continue;
        };
        let name = names::counter_node(node);
        if let Some(error) = &said.error {
            found.push(format!("{name}: {error}"));
            continue;
        }
        if said.doubled > 0 {
            found.push(format!(
                "{name} has still to take back {} requests that another node counts too",
                said.doubled
            ));
        }
        match said.published {
            None => found.push(format!("{name} does not know yet what of its log is in Kafka")),
            Some(published) if published < said.position => {
                found.push(format!(
                    "{} entries of {name} are not in Kafka",
                    said.position - published
                ));
            }
            Some(_) => {}
        }
        for peer in &said.peers {
            let other = names::counter_node(peer.ordinal);
            match peer.known {
                None => found.push(format!("{other} has not said what it knows of {name}")),
                Some(known) if known < said.position => {
                    found.push(format!(
                        "{} entries of {name} are not at {other}",
                        said.position - known
                    ));
                }
                Some(_) => {}
            }
        }
    }
    found
}
