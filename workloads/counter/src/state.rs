//! What a node tells of itself at the health port.

use std::{sync::Arc, time::Instant};

use synccluster_protocol::status::{CounterLeaderStatus, CounterStatus, LinkStatus};
use synccluster_runtime::{
    clock::now_millis,
    health::{Health, Metric, Pulse},
};

use crate::{
    leader::{Leader, clock},
    mesh::Mesh,
    node::Node,
    publish::Reason,
    windows,
};

/// Where it learns it from.
pub struct State {
    /// The node.
    pub node: Arc<Node>,
    /// The ways to its peers.
    pub mesh: Mesh,
    /// Its part in leading.
    pub leader: Arc<Leader>,
    /// What it does with Kafka, if it has one.
    pub kafka: Option<Kafka>,
    /// Beats while it is kept.
    pub pulse: Arc<Pulse>,
}

/// What a node does with Kafka.
pub struct Kafka {
    /// Why the log is not published, if it is not.
    pub publishing: Reason,
    /// The windows it counts.
    pub windows: Arc<windows::State>,
}

impl Kafka {
    fn error(&self) -> Option<String> {
        self.publishing.get().or_else(|| self.windows.status().error)
    }
}

impl Health for State {
    type Status = CounterStatus;

    fn live(&self) -> Result<(), String> {
        self.pulse.check()
    }

    fn ready(&self) -> Result<(), String> {
        self.node.failure().map_or(Ok(()), Err)
    }

    fn status(&self) -> CounterStatus {
        let node = &self.node;
        let own = node.origin();
        let heartbeat = node.members().heartbeat(Instant::now(), clock::now());
        let (position, digest, ids, doubled) = {
            let state = node.state();
            (state.position(own), state.digest(), state.ids(), state.doubled().len())
        };
        CounterStatus {
            cluster: node.cluster().clone(),
            node: own.ordinal.0,
            incarnation: own.incarnation.to_string(),
            position: position.0,
            published: node.log().published_position().map(|position| position.0),
            stable: node.stable_position().0,
            log_bytes: node.log().bytes(),
            peers: self.mesh.status(),
            digest: format!("{digest:016x}"),
            ids: ids as u64,
            doubled: doubled as u64,
            kafka: self.kafka.as_ref().map(|kafka| kafka.windows.probe().status()),
            leader: self.leader.known().map(|claim| CounterLeaderStatus {
                node: claim.leader.0,
                term: claim.term,
            }),
            alone: *node.alone().borrow(),
            clients: node.clients(),
            likes_per_second: heartbeat.load.likes_per_second,
            error: node.error().or_else(|| self.kafka.as_ref().and_then(Kafka::error)),
            measured_at: Some(now_millis()),
        }
    }

    fn metrics(&self) -> String {
        let status = self.status();
        let labels = format!("cluster=\"{}\",node=\"{}\"", status.cluster, status.node);
        let waiting = status
            .published
            .map(|published| status.position.saturating_sub(published));
        let connected = |link: &LinkStatus| link.established > 0;
        let peers = status.peers.iter().filter(|peer| connected(&peer.link)).count() as u64;
        [
            Metric::counter(
                "synccluster_counter_entries_total",
                "Entries of the node's log.",
                status.position,
            ),
            Metric::counter(
                "synccluster_counter_likes_total",
                "Likes acknowledged since the start.",
                self.node.likes(),
            ),
            Metric::gauge("synccluster_counter_ids", "Ids that are counted.", status.ids),
            Metric::gauge(
                "synccluster_counter_log_bytes",
                "Bytes of the log on disk.",
                status.log_bytes,
            ),
            Metric::gauge(
                "synccluster_counter_unpublished",
                "Entries that are not in Kafka yet.",
                waiting.unwrap_or(status.position),
            ),
            Metric::gauge(
                "synccluster_counter_peers_connected",
                "Peers with an established connection.",
                peers,
            ),
            Metric::gauge(
                "synccluster_counter_leader_term",
                "The term of the leader this node knows; 0 while it knows none.",
                status.leader.map_or(0, |leader| leader.term),
            ),
            Metric::gauge(
                "synccluster_counter_alone",
                "1 while the node is alone: it has heard no majority of the nodes for 3 s.",
                status.alone.into(),
            ),
            Metric::gauge(
                "synccluster_counter_clients",
                "Clients connected by WebSocket.",
                status.clients.into(),
            ),
        ]
        .into_iter()
        .chain(self.kafka.iter().flat_map(|kafka| kafka.windows.status().metrics()))
        .map(|metric| metric.text(&labels))
        .collect()
    }
}
