//! Which node a like goes to. A node remembers which numbers of a client it has counted, as runs without a gap; were the likes of one client
//! spread over the nodes, nearly each would begin a run, and a node has room for so many. Pure: time is an argument.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};

use super::{node::Address, nodes::Node};

/// What is known of the nodes is asked for anew after so long.
const FRESH: Duration = Duration::from_secs(1);
/// A node that is cut off knows no leader and hears nobody: what such a one says is taken only when no leader has been heard of for so long.
const LEADERLESS: Duration = Duration::from_secs(10);
/// A node that did not answer is asked last for so long, whatever the leader hears of it.
const AVOID: Duration = Duration::from_secs(10);

/// A node that likes can go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its ordinal.
    pub ordinal: u16,
    /// Its port for clients.
    pub address: Address,
    alive: bool,
}

/// The nodes, as they were last heard of.
#[derive(Debug, Default)]
pub struct Roster {
    places: Vec<Place>,
    /// When they were asked for, and when a leader said which there are.
    asked: Option<Instant>,
    led: Option<Instant>,
    /// By ordinal, until when.
    avoided: BTreeMap<u16, Instant>,
}

impl Roster {
    /// Whether it is time to ask for the nodes.
    pub fn is_due(&self, now: Instant) -> bool {
        self.asked.is_none_or(|asked| now.duration_since(asked) >= FRESH)
    }

    /// Whether any node is known.
    pub fn is_known(&self) -> bool {
        !self.places.is_empty()
    }

    /// They were asked for, in vain perhaps.
    pub fn asked(&mut self, now: Instant) {
        self.asked = Some(now);
    }

    /// There are these nodes. One without an address is leaving, or has never been heard.
    pub fn learn(&mut self, nodes: &[Node], now: Instant) {
        self.asked(now);
        let is_led = nodes.iter().any(|node| node.leader);
        let was_led = self.led.is_some_and(|led| now.duration_since(led) < LEADERLESS);
        let place = |node: &Node| {
            Some(Place {
                ordinal: node.ordinal,
                address: node.address.as_deref()?.parse().ok()?,
                alive: node.alive,
            })
        };
        let places: Vec<_> = nodes.iter().filter_map(place).collect();
        if places.is_empty() || (was_led && !is_led) {
            return;
        }
        if is_led {
            self.led = Some(now);
        }
        self.places = places;
    }

    /// This node did not answer.
    pub fn avoid(&mut self, ordinal: u16, now: Instant) {
        self.avoided.insert(ordinal, now + AVOID);
    }

    /// Where a client's likes go, and where they go if that is not there. The order depends on nothing but the client and the nodes, so that
    /// every replica has the same, and a node that goes or comes moves its own clients alone (rendezvous hashing). Those that are not heard
    /// come last: perhaps they are there all the same.
    pub fn order(&self, client: &str, now: Instant) -> Vec<Place> {
        let mut order = self.places.clone();
        order.sort_by_cached_key(|place| {
            let is_avoided = self.avoided.get(&place.ordinal).is_some_and(|until| *until > now);
            (is_avoided || !place.alive, Reverse(weight(client, place.ordinal)))
        });
        order
    }
}

fn weight(client: &str, ordinal: u16) -> u64 {
    let hash = Sha256::new_with_prefix(ordinal.to_be_bytes()).chain_update(client);
    let hash = hash.finalize();
    hash.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::nodes::Load;

    fn node(ordinal: u16) -> Node {
        Node {
            ordinal,
            address: Some(format!("demo-counter-{ordinal}:5002")),
            alive: true,
            load: Load::default(),
            leader: ordinal == 0,
        }
    }

    fn roster(nodes: &[Node], now: Instant) -> Roster {
        let mut roster = Roster::default();
        roster.learn(nodes, now);
        roster
    }

    fn ordinals(roster: &Roster, client: &str, now: Instant) -> Vec<u16> {
        let order = roster.order(client, now);
        order.iter().map(|place| place.ordinal).collect()
    }

    fn clients() -> impl Iterator<Item = String> {
        (0..3000).map(|client| format!("page-{client}"))
    }

    #[test]
    fn a_client_has_the_same_order_however_the_nodes_are_listed_and_each_node_its_share() {
        let now = Instant::now();
        let there = roster(&[node(0), node(1), node(2)], now);
        let back = roster(&[node(2), node(0), node(1)], now);
        let mut firsts = BTreeMap::<u16, usize>::new();
        for client in clients() {
            let order = ordinals(&there, &client, now);
            assert_eq!(order, ordinals(&back, &client, now), "{client}");
            *firsts.entry(order[0]).or_default() += 1;
        }
        assert!(
            firsts.len() == 3 && firsts.values().all(|share| (850..1150).contains(share)),
            "{firsts:?}"
        );
    }

    #[test]
    fn a_node_that_comes_or_goes_moves_its_own_clients_alone() {
        let now = Instant::now();
        let three = roster(&[node(0), node(1), node(2)], now);
        let four = roster(&[node(0), node(1), node(2), node(3)], now);
        let mut moved = 0;
        for client in clients() {
            let order = ordinals(&four, &client, now);
            let without: Vec<_> = order.iter().copied().filter(|ordinal| *ordinal != 3).collect();
            assert_eq!(without, ordinals(&three, &client, now), "{client}");
            moved += usize::from(order[0] == 3);
        }
        assert!((600..900).contains(&moved), "{moved}");
    }

    #[test]
    fn who_is_not_heard_or_does_not_answer_is_last_and_its_clients_go_to_their_next() {
        let now = Instant::now();
        let nodes = [node(0), node(1), node(2)];
        let mut known = roster(&nodes, now);
        let order = ordinals(&known, "ann", now);
        let next = [order[1], order[2], order[0]];
        known.avoid(order[0], now);
        assert_eq!(ordinals(&known, "ann", now), next);
        assert_eq!(ordinals(&known, "ann", now + AVOID), order);
        let dead = nodes.map(|node| Node {
            alive: node.ordinal != order[0],
            ..node
        });
        assert_eq!(ordinals(&roster(&dead, now), "ann", now), next);
    }

    #[test]
    fn a_node_that_leaves_has_no_address_and_gets_no_likes() {
        let now = Instant::now();
        let leaves = Node {
            address: None,
            ..node(1)
        };
        let mut known = roster(&[node(0), leaves.clone(), node(2)], now);
        assert!(!ordinals(&known, "ann", now).contains(&1));
        known.learn(&[leaves], now);
        assert_eq!(known.order("ann", now).len(), 2, "nobody at all is no news");
    }

    #[test]
    fn what_a_node_without_a_leader_sees_is_taken_when_there_has_been_none_for_long() {
        let now = Instant::now();
        let cut = [node(1)];
        let mut known = roster(&[node(0), node(1), node(2)], now);
        known.learn(&cut, now + FRESH);
        assert_eq!(known.order("ann", now).len(), 3);
        known.learn(&cut, now + LEADERLESS);
        assert_eq!(ordinals(&known, "ann", now), [1]);
        assert_eq!(ordinals(&roster(&cut, now), "ann", now), [1], "better than nobody");
    }

    #[test]
    fn the_nodes_are_asked_for_again_after_a_while() {
        let now = Instant::now();
        let mut known = Roster::default();
        assert!(known.is_due(now) && !known.is_known());
        known.asked(now);
        assert!(!known.is_due(now) && known.is_due(now + FRESH) && !known.is_known());
    }
}
