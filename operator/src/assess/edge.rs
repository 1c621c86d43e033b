//! The ways that a partition can cut, and what was measured of each.

use std::fmt;

use synccluster_protocol::Site;
use synccluster_protocol::status::LinkStatus;

use crate::names::{self, Component};
use crate::observe::{Observed, PodFact};
use crate::plan::{COUNTER_MESH_PORT, KAFKA_PORT};
use crate::validate::ValidatedCluster;

/// A way, from who dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// A site's connector to Kafka.
    Uplink(Site),
    /// A site's sink to Kafka.
    Downlink(Site),
    /// A counter node to Kafka.
    Publish(u16),
    /// A counter node to another.
    Peer {
        /// Who dials.
        from: u16,
        /// Whom.
        to: u16,
    },
}

impl Edge {
    /// All ways of a cluster.
    pub fn all(cluster: &ValidatedCluster) -> impl Iterator<Item = Self> {
        let sites = cluster
            .sites()
            .flat_map(|site| [Self::Uplink(site), Self::Downlink(site)]);
        let nodes = cluster.counters();
        sites.chain(nodes.flat_map(|node| Self::of_counter(cluster, node)))
    }

    /// The ways of a counter node to the others and to Kafka.
    pub fn of_counter(cluster: &ValidatedCluster, from: u16) -> impl Iterator<Item = Self> {
        let others = cluster.counters().filter(move |to| *to != from);
        others
            .map(move |to| Self::Peer { from, to })
            .chain([Self::Publish(from)])
    }

    /// Whether it should be cut.
    pub fn is_cut(self, cluster: &ValidatedCluster) -> bool {
        let cut = &cluster.cut;
        match self {
            Self::Uplink(site) => cut.uplink(site),
            Self::Downlink(site) => cut.downlink(site),
            Self::Publish(node) => cut.counters.contains(&node),
            Self::Peer { from, to } => cut.counters.contains(&from) || cut.counters.contains(&to),
        }
    }

    /// Whether it leads to Kafka.
    pub fn is_to_kafka(self) -> bool {
        !matches!(self, Self::Peer { .. })
    }

    /// What was measured by who dials.
    pub fn link(self, observed: &Observed) -> Option<&LinkStatus> {
        match self {
            Self::Uplink(site) => observed.connectors.get(&site).map(|connector| &connector.link),
            Self::Downlink(site) => observed.sinks.get(&site).map(|sink| &sink.link),
            Self::Publish(node) => observed.counters.get(&node)?.kafka.as_ref(),
            Self::Peer { from, to } => {
                let peers = &observed.counters.get(&from)?.peers;
                peers.iter().find(|peer| peer.ordinal == to).map(|peer| &peer.link)
            }
        }
    }

    /// Who could not be asked, and why.
    pub fn unseen(self, observed: &Observed) -> String {
        let site = |site, component: Component| {
            let why = observed.unseen.get(&(site, component));
            format!("{component} of {site}: {}", why.map_or("", String::as_str))
        };
        match self {
            Self::Uplink(at) => site(at, Component::Connector),
            Self::Downlink(at) => site(at, Component::Sink),
            Self::Publish(node) | Self::Peer { from: node, .. } => {
                let why = observed.unseen_counters.get(&node);
                format!("{}: {}", names::counter_node(node), why.map_or("", String::as_str))
            }
        }
    }

    /// Whether this pod is the one that dials.
    pub fn is_from(self, cluster: &ValidatedCluster, pod: &PodFact) -> bool {
        match self {
            Self::Uplink(site) => (pod.site, pod.component) == (Some(site), Component::Connector),
            Self::Downlink(site) => (pod.site, pod.component) == (Some(site), Component::Sink),
            Self::Publish(node) | Self::Peer { from: node, .. } => pod.name == names::counter_pod(&cluster.name, node),
        }
    }

    /// Whether this pod is one that is dialled.
    pub fn is_to(self, cluster: &ValidatedCluster, pod: &PodFact) -> bool {
        match self {
            Self::Uplink(_) | Self::Downlink(_) | Self::Publish(_) => pod.component == Component::Kafka,
            Self::Peer { to, .. } => pod.name == names::counter_pod(&cluster.name, to),
        }
    }

    /// The port that is dialled, and what its container calls it.
    pub fn port(self) -> (u16, &'static str) {
        if self.is_to_kafka() {
            (KAFKA_PORT, "kafka")
        } else {
            (COUNTER_MESH_PORT, "mesh")
        }
    }

    /// What it is among the ways of the same site or node.
    pub fn way(self) -> String {
        match self {
            Self::Uplink(_) => "uplink".to_owned(),
            Self::Downlink(_) => "downlink".to_owned(),
            Self::Publish(_) => "to Kafka".to_owned(),
            Self::Peer { to, .. } => format!("to {}", names::counter_node(to)),
        }
    }
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uplink(site) | Self::Downlink(site) => write!(f, "{site}")?,
            Self::Publish(node) | Self::Peer { from: node, .. } => f.write_str(&names::counter_node(*node))?,
        }
        write!(f, " {}", self.way())
    }
}
