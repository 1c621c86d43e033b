//! Peers: what they are told, what is learnt from them, who is alive.
//!
//! Every node dials every other and tells it its own log as it grows, from where the peer says it is; so between two nodes there are two
//! connections. With every heartbeat the peer answers what it knows, and where that does not become what it should be, whole parts are
//! told: a part that differs, or that of a third node that does not reach the peer itself.

mod accept;
mod dial;
pub(crate) mod entropy;
mod link;
pub mod members;
mod wire;

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use synccluster_protocol::status::CounterPeerStatus;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{config::NodeAddress, crdt::Ordinal, node::Node};
use dial::Peer;

/// The ways to all peers.
#[derive(Clone)]
pub struct Mesh {
    node: Arc<Node>,
    peers: Arc<BTreeMap<Ordinal, Arc<Peer>>>,
}

impl Mesh {
    /// With these nodes; begins to probe the ways.
    pub fn new(node: Arc<Node>, nodes: Vec<NodeAddress>) -> Self {
        let own = node.origin().ordinal;
        let others = nodes.into_iter().filter(|address| address.ordinal != own);
        let peers = others
            .map(|address| (address.ordinal, Arc::new(Peer::new(address))))
            .collect();
        Self {
            node,
            peers: Arc::new(peers),
        }
    }

    /// Tells and listens until `stop`.
    pub async fn run(self, listener: TcpListener, stop: CancellationToken) {
        let mut tasks = JoinSet::new();
        for peer in self.peers.values() {
            tasks.spawn(dial::keep(Arc::clone(&self.node), Arc::clone(peer), stop.clone()));
        }
        tasks.spawn(accept::run(self.node, self.peers, listener, stop));
        while tasks.join_next().await.is_some() {}
    }

    /// All peers, for the status.
    pub fn status(&self) -> Vec<CounterPeerStatus> {
        let members = self.node.members().all(Instant::now());
        let status = |(ordinal, peer): (&Ordinal, &Arc<Peer>)| CounterPeerStatus {
            ordinal: ordinal.0,
            link: peer.link.status(),
            alive: members
                .iter()
                .any(|member| member.ordinal == *ordinal && member.alive()),
            known: peer.known().map(|position| position.0),
        };
        self.peers.iter().map(status).collect()
    }
}
