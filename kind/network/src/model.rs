//! What a node has to know of the cluster, as plain types: made by `parse`, kept by `watch`, thought about by `ruleset`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::Ipv4Addr,
};

use crate::{
    intervals::Cidr,
    select::{Labels, Selector},
};

/// Namespace and name. Objects without a namespace have an empty one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub namespace: String,
    pub name: String,
}

impl fmt::Display for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.namespace, self.name)
    }
}

/// Everything that decides which packets may pass.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    pub pods: BTreeMap<Key, Pod>,
    pub namespaces: BTreeMap<Key, Namespace>,
    pub policies: BTreeMap<Key, Policy>,
}

/// A pod that has an address of its own: not one on the host's network, and not one that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub node: String,
    pub address: Ipv4Addr,
    pub labels: Labels,
    pub ports: Vec<NamedPort>,
}

/// A container port that policies may call by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPort {
    pub name: String,
    pub protocol: Protocol,
    pub port: u16,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    pub labels: Labels,
}

/// A machine of the cluster. Both fields are empty until its kubelet and the controller manager have filled them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    pub internal_ip: Option<Ipv4Addr>,
    pub pod_cidr: Option<Cidr>,
}

/// A `NetworkPolicy`. A direction that is `None` is not restricted by it; `Some` of no rules allows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    pub pods: Selector,
    pub ingress: Option<Vec<Rule>>,
    pub egress: Option<Vec<Rule>>,
}

/// One way in (or out): these peers on these ports. `None` is everybody, or everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    pub peers: Option<Vec<Peer>>,
    pub ports: Option<Vec<Port>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Pods by their labels, in namespaces by theirs. Without `namespaces`: in the namespace of the policy.
    Pods {
        namespaces: Option<Selector>,
        pods: Selector,
    },
    /// Addresses, whoever has them.
    Block { cidr: Cidr, except: Vec<Cidr> },
    /// A block of IPv6 addresses: nobody on an IPv4 network.
    Ipv6,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    pub protocol: Protocol,
    pub number: PortNumber,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortNumber {
    /// First and last.
    Range(u16, u16),
    /// What the target pod calls so: each pod its own number.
    Named(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl fmt::Display for Protocol {
    /// As nftables writes it.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// The two sides on which a packet is judged: egress at its source, ingress at its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Egress,
    Ingress,
}

impl Policy {
    pub fn rules(&self, direction: Direction) -> Option<&[Rule]> {
        match direction {
            Direction::Egress => self.egress.as_deref(),
            Direction::Ingress => self.ingress.as_deref(),
        }
    }
}

impl Pod {
    /// The numbers this pod gives a port name.
    pub fn ports_named(&self, name: &str, protocol: Protocol) -> BTreeSet<u16> {
        self.ports
            .iter()
            .filter(|port| port.name == name && port.protocol == protocol)
            .map(|port| port.port)
            .collect()
    }
}
