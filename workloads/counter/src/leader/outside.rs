//! Where clients find the nodes from outside their network: all at one host, each at a port of its own. Pure.

use super::{Assignment, NodeEntry};
use crate::crdt::Ordinal;

/// A host that leads to the nodes, by ports in the order of their ordinals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outside {
    /// As it is written in an address: a name, an IPv4 address, or an IPv6 address in brackets.
    pub host: String,
    /// The port of node 0; that of node 1 is the next one.
    pub first: u16,
}

impl Outside {
    /// The port of a node; there are none beyond 65535.
    pub fn port(&self, node: Ordinal) -> u32 {
        u32::from(self.first) + u32::from(node.0)
    }

    fn address(&self, node: Ordinal) -> String {
        format!("{}:{}", self.host, self.port(node))
    }

    /// The same node, for a client outside.
    pub fn assignment(&self, inside: &Assignment) -> Assignment {
        Assignment {
            alone: inside.alone,
            ..Assignment::new(inside.node, self.address(inside.node), inside.term)
        }
    }

    /// The same nodes, for a client outside.
    pub fn nodes(&self, mut nodes: Vec<NodeEntry>) -> Vec<NodeEntry> {
        for entry in &mut nodes {
            entry.address = entry.address.as_ref().map(|_| self.address(entry.node));
        }
        nodes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_has_a_port_of_its_own_at_the_host() {
        let outside = Outside {
            host: "likes.example.org".to_owned(),
            first: 30501,
        };
        let inside = Assignment::new(Ordinal(2), "demo-counter-2:5002".to_owned(), 7);
        let told = outside.assignment(&inside);
        assert_eq!(
            (told.node, told.address.as_str(), told.ws.as_str(), told.term),
            (
                Ordinal(2),
                "likes.example.org:30503",
                "ws://likes.example.org:30503/ws",
                7
            )
        );
        let lone = Assignment { alone: true, ..inside };
        assert!(outside.assignment(&lone).alone && !told.alone);
    }

    #[test]
    fn a_node_that_takes_no_clients_takes_none_from_outside() {
        let outside = Outside {
            host: "[::1]".to_owned(),
            first: 30501,
        };
        let entry = |node, address: Option<&str>| NodeEntry {
            node: Ordinal(node),
            address: address.map(str::to_owned),
            alive: true,
            load: crate::mesh::members::Load::default(),
            leader: false,
        };
        let told = outside.nodes(vec![entry(0, Some("node-0:5002")), entry(1, None)]);
        let addresses: Vec<_> = told.iter().map(|entry| entry.address.as_deref()).collect();
        assert_eq!(addresses, [Some("[::1]:30501"), None]);
    }
}
