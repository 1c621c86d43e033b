//! Up to where logs are needed by nobody.
//!
//! An entry may still have to be taken back: when a peer turns out to count its request too. That can no longer happen once the peer knows
//! the entry for good, and everything the peer's own log held when it said so is known here: whatever it counts after that, it counts knowing
//! better. *For good* is what is in its snapshot: what it has in memory alone it learns anew after a crash.

use std::collections::BTreeMap;

use crate::crdt::{Ordinal, Origin, Position};

/// What a peer has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word {
    /// Up to where it knows this node's log.
    knows: Position,
    /// Where its own log was then.
    end: Position,
}

/// A peer, in the incarnation that was heard last.
#[derive(Debug, Default)]
struct Peer {
    origin: Option<Origin>,
    /// Up to where it knows each log.
    knows: BTreeMap<Origin, Position>,
    /// Up to where it needs nothing of this node's log.
    stable: Position,
    /// One word is waited for at a time, or a busy peer's next would always come before the last has come true.
    waiting: Option<Word>,
}

/// Keeps what peers and Kafka have confirmed.
#[derive(Debug)]
pub struct Stable {
    own: Origin,
    peers: BTreeMap<Ordinal, Peer>,
    published: Option<Position>,
    publishes: bool,
}

impl Stable {
    /// Of this node, with these peers; `publishes` when Kafka has to have the log as well.
    pub fn new(own: Origin, peers: impl IntoIterator<Item = Ordinal>, publishes: bool) -> Self {
        Self {
            own,
            peers: peers.into_iter().map(|peer| (peer, Peer::default())).collect(),
            published: None,
            publishes,
        }
    }

    /// A peer says up to where it knows logs for good, and then where its own is. `here` is how far a log is known here.
    pub fn said(
        &mut self,
        origin: Origin,
        knows: impl IntoIterator<Item = (Origin, Position)>,
        end: Position,
        here: impl Fn(Origin) -> Position,
    ) {
        let Some(peer) = self.peers.get_mut(&origin.ordinal) else {
            return;
        };
        if peer.origin != Some(origin) {
            // Having lost its disk, it knows nothing of what it knew.
            *peer = Peer::default();
            peer.origin = Some(origin);
        }
        let mut of_own = Position(0);
        for (origin, position) in knows {
            let further = peer.knows.entry(origin).or_default();
            *further = position.max(*further);
            if origin == self.own {
                of_own = position;
            }
        }
        let word = peer.waiting.take().unwrap_or(Word { knows: of_own, end });
        if here(origin) >= word.end {
            peer.stable = word.knows.max(peer.stable);
        } else {
            peer.waiting = Some(word);
        }
    }

    /// The log is in Kafka up to here.
    pub fn published(&mut self, position: Option<Position>) {
        self.published = position;
    }

    /// Up to where everybody has what he needs of this node's log.
    pub fn position(&self) -> Position {
        let kafka = self.publishes.then(|| self.published.unwrap_or_default());
        kafka
            .into_iter()
            .chain([self.settled(self.own)])
            .min()
            .unwrap_or_default()
    }

    /// Up to where no node will count again what a log counts, as far as it is known here. Its own node need not say that it knows it.
    pub fn settled(&self, origin: Origin) -> Position {
        let position = |peer: &Peer| {
            if origin == self.own {
                peer.stable
            } else {
                peer.knows.get(&origin).copied().unwrap_or_default()
            }
        };
        let others = self.peers.values().filter(|peer| peer.origin != Some(origin));
        others.map(position).min().unwrap_or(Position(u64::MAX))
    }

    /// Who lacks the most of this node's log: to say whom it waits for when it has grown too large.
    pub fn behind(&self) -> String {
        let stable = self.position();
        let kafka = self.publishes && self.published.unwrap_or_default() == stable;
        self.names(stable, kafka)
    }

    /// Which nodes lack the most of this node's log.
    pub fn nodes_behind(&self) -> String {
        self.names(self.settled(self.own), false)
    }

    fn names(&self, stable: Position, kafka: bool) -> String {
        let peers = self.peers.iter().filter(|(_, peer)| peer.stable == stable);
        let mut names: Vec<_> = peers.map(|(ordinal, _)| format!("node {ordinal}")).collect();
        names.extend(kafka.then(|| "Kafka".to_owned()));
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crdt::Incarnation;

    const OWN: Origin = peer(0, 1);

    const fn peer(ordinal: u16, incarnation: u64) -> Origin {
        Origin {
            ordinal: Ordinal(ordinal),
            incarnation: Incarnation(incarnation),
        }
    }

    /// Of the own log the peer knows so much, its own ends there, and so much of that is known here.
    fn said(stable: &mut Stable, peer: Origin, knows: u64, end: u64, here: u64) {
        stable.said(peer, [(OWN, Position(knows))], Position(end), |_| Position(here));
    }

    #[test]
    fn a_word_counts_when_all_the_peer_had_written_by_then_is_known_here() {
        let mut stable = Stable::new(OWN, [Ordinal(1)], false);
        said(&mut stable, peer(1, 1), 5, 9, 8);
        assert_eq!(stable.position(), Position(0));
        said(&mut stable, peer(1, 1), 6, 20, 9);
        assert_eq!(stable.position(), Position(5));
        said(&mut stable, peer(1, 1), 6, 20, 20);
        assert_eq!(stable.position(), Position(6));
    }

    #[test]
    fn a_peer_that_lost_its_disk_speaks_for_itself_anew() {
        let mut stable = Stable::new(OWN, [Ordinal(1)], false);
        said(&mut stable, peer(1, 1), 5, 9, 9);
        assert_eq!(stable.position(), Position(5));
        said(&mut stable, peer(1, 2), 2, 1, 0);
        assert_eq!(stable.position(), Position(0));
        said(&mut stable, peer(1, 2), 2, 1, 1);
        assert_eq!(stable.position(), Position(2));
    }

    #[test]
    fn the_last_one_decides_and_is_named() {
        let mut stable = Stable::new(OWN, [Ordinal(1), Ordinal(2)], true);
        said(&mut stable, peer(1, 1), 5, 0, 0);
        assert_eq!(
            (
                stable.position(),
                stable.behind().as_str(),
                stable.nodes_behind().as_str()
            ),
            (Position(0), "node 2, Kafka", "node 2")
        );
        said(&mut stable, peer(2, 1), 7, 0, 0);
        stable.published(Some(Position(6)));
        assert_eq!((stable.position(), stable.behind().as_str()), (Position(5), "node 1"));
        assert_eq!(Stable::new(OWN, [], false).position(), Position(u64::MAX));
    }

    #[test]
    fn anothers_log_is_settled_when_all_but_its_own_node_know_it() {
        let (mut stable, theirs) = (Stable::new(OWN, [Ordinal(1), Ordinal(2)], true), peer(1, 1));
        let here = |_| Position(0);
        stable.said(theirs, [], Position(9), here);
        stable.said(
            peer(2, 1),
            [(theirs, Position(4)), (peer(3, 1), Position(7))],
            Position(0),
            here,
        );
        assert_eq!(
            [stable.settled(theirs), stable.settled(peer(3, 1))],
            [Position(4), Position(0)]
        );
        // One that lost its disk has to learn what its former self wrote.
        stable.said(peer(1, 2), [], Position(0), here);
        assert_eq!(stable.settled(theirs), Position(0));
    }
}
