//! What a node that is asked to stop does first: it takes no more likes, and waits until Kafka and all nodes that live have what it took. It may
//! never come back.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use synccluster_protocol::status::Dial;
use synccluster_runtime::link::{Probe, Verdict};
use tokio::time;

use crate::{
    log::{Log, OwnLog},
    mesh::Mesh,
    node::Node,
};

/// It stops after this long whatever is still missing: that stays in its log.
const LIMIT: Duration = Duration::from_secs(20);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// Where something was missing, it stays for so long when nothing is any more: who looks at its status every second sees how it left.
const SEEN: Duration = Duration::from_secs(2);

/// How far the log has come.
struct Reached {
    end: u64,
    /// In Kafka, where Kafka is waited for.
    published: Option<u64>,
    /// At the nodes that live.
    peers: Vec<(u16, u64)>,
}

impl Reached {
    fn now(log: &Log, mesh: &Mesh, kafka: Option<&Probe>) -> Self {
        // Without a way to Kafka there is nothing to wait for.
        let usable = |probe: &&Probe| probe.verdict() == Verdict::Usable && probe.status().fresh_dial == Dial::Open;
        let published = || log.published_position().map_or(0, |position| position.0);
        let alive = mesh.status().into_iter().filter(|peer| peer.alive);
        Self {
            end: log.end().borrow().0,
            published: kafka.filter(usable).map(|_| published()),
            peers: alive
                .map(|peer| (peer.ordinal, peer.known.unwrap_or_default()))
                .collect(),
        }
    }

    /// Who lacks how much; empty when nobody lacks anything.
    fn lacking(&self) -> String {
        let peers = self.peers.iter().map(|(node, known)| (format!("node {node}"), *known));
        let kafka = self.published.map(|published| ("Kafka".to_owned(), published));
        let lacking = kafka
            .into_iter()
            .chain(peers)
            .filter(|(_, reached)| *reached < self.end);
        let words: Vec<_> = lacking
            .map(|(who, reached)| format!("{who} lacks {}", self.end - reached))
            .collect();
        words.join(", ")
    }
}

/// Returns when it may stop.
pub async fn drain(node: Arc<Node>, mesh: Mesh, kafka: Option<Probe>) {
    node.leave().await;
    let (begun, mut was_lacking) = (Instant::now(), false);
    loop {
        let lacking = Reached::now(node.log(), &mesh, kafka.as_ref()).lacking();
        if lacking.is_empty() {
            break;
        }
        if begun.elapsed() >= LIMIT {
            tracing::warn!(
                lacking,
                "stopping though not everything is elsewhere: it stays in the log, and goes on from there"
            );
            return;
        }
        was_lacking = true;
        // Peers answer what they know.
        node.members().hurry();
        time::sleep(LOOK).await;
    }
    tracing::info!(waited = ?begun.elapsed(), "everything that was acknowledged is elsewhere too");
    if was_lacking {
        time::sleep(SEEN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_lacks_something_is_waited_for_and_named() {
        let reached = |published, peers: &[(u16, u64)]| Reached {
            end: 7,
            published,
            peers: peers.to_vec(),
        };
        assert_eq!(reached(Some(7), &[(0, 7), (2, 7)]).lacking(), "");
        assert_eq!(
            reached(Some(3), &[(0, 7), (2, 6)]).lacking(),
            "Kafka lacks 4, node 2 lacks 1"
        );
        assert_eq!(reached(None, &[]).lacking(), "", "nobody is in reach");
    }
}
