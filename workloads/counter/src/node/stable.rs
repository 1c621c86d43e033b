//! Up to where the own log is needed by nobody.
//!
//! An entry may still have to be taken back: when a peer turns out to count its request too. That can no longer happen once the peer knows
//! the entry, and everything the peer's own log held when it said so is known here: whatever it counts after that, it counts knowing better.

use std::collections::BTreeMap;

use crate::crdt::{Ordinal, Origin, Position};

/// What a peer has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word {
    /// Up to where it knows this node's log.
    knows: Position,
    /// Where its own log was then.
    own: (Origin, Position),
}

/// Keeps what peers and Kafka have confirmed.
#[derive(Debug)]
pub struct Stable {
    peers: BTreeMap<Ordinal, (Position, Option<Word>)>,
    published: Option<Position>,
    publishes: bool,
}

impl Stable {
    /// With these peers; `publishes` when Kafka has to have the log as well.
    pub fn new(peers: impl IntoIterator<Item = Ordinal>, publishes: bool) -> Self {
        let peers = peers.into_iter().map(|peer| (peer, (Position(0), None))).collect();
        Self {
            peers,
            published: None,
            publishes,
        }
    }

    /// A peer says up to where it knows this node's log, and where its own is. `here` is how far a log is known here.
    pub fn said(&mut self, knows: Position, own: (Origin, Position), here: impl Fn(Origin) -> Position) {
        let Some((stable, waiting)) = self.peers.get_mut(&own.0.ordinal) else {
            return;
        };
        // One word is waited for at a time, or a busy peer's next would always come before the last has come true.
        let word = waiting.take().unwrap_or(Word { knows, own });
        if here(word.own.0) >= word.own.1 {
            *stable = word.knows.max(*stable);
        } else if word.own.0 == own.0 {
            *waiting = Some(word);
        }
    }

    /// The log is in Kafka up to here.
    pub fn published(&mut self, position: Option<Position>) {
        self.published = position;
    }

    /// Up to where everybody has what he needs.
    pub fn position(&self) -> Position {
        let peers = self.peers.values().map(|(stable, _)| *stable);
        let kafka = self.publishes.then(|| self.published.unwrap_or_default());
        peers.chain(kafka).min().unwrap_or(Position(u64::MAX))
    }

    /// Who lacks the most: to say whom a log waits for that has grown too large.
    pub fn behind(&self) -> String {
        let stable = self.position();
        let kafka = self.publishes && self.published.unwrap_or_default() == stable;
        let peers = self.peers.iter().filter(|(_, (known, _))| *known == stable);
        let mut names: Vec<_> = peers.map(|(peer, _)| format!("node {peer}")).collect();
        names.extend(kafka.then(|| "Kafka".to_owned()));
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crdt::Incarnation;

    fn peer(ordinal: u16, incarnation: u64) -> Origin {
        Origin {
            ordinal: Ordinal(ordinal),
            incarnation: Incarnation(incarnation),
        }
    }

    #[test]
    fn a_word_counts_when_all_the_peer_had_written_by_then_is_known_here() {
        let mut stable = Stable::new([Ordinal(1)], false);
        let (at, theirs) = (Position, peer(1, 1));
        stable.said(at(5), (theirs, at(9)), |_| at(8));
        assert_eq!(stable.position(), at(0));
        stable.said(at(6), (theirs, at(20)), |_| at(9));
        assert_eq!(stable.position(), at(5));
        stable.said(at(6), (theirs, at(20)), |_| at(20));
        assert_eq!(stable.position(), at(6));
    }

    #[test]
    fn a_peer_that_lost_its_disk_speaks_for_itself_anew() {
        let mut stable = Stable::new([Ordinal(1)], false);
        stable.said(Position(5), (peer(1, 1), Position(9)), |_| Position(8));
        stable.said(Position(2), (peer(1, 2), Position(1)), |_| Position(1));
        stable.said(Position(2), (peer(1, 2), Position(1)), |_| Position(1));
        assert_eq!(stable.position(), Position(2));
    }

    #[test]
    fn the_last_one_decides_and_is_named() {
        let mut stable = Stable::new([Ordinal(1), Ordinal(2)], true);
        stable.said(Position(5), (peer(1, 1), Position(0)), |_| Position(0));
        assert_eq!(
            (stable.position(), stable.behind().as_str()),
            (Position(0), "node 2, Kafka")
        );
        stable.said(Position(7), (peer(2, 1), Position(0)), |_| Position(0));
        stable.published(Some(Position(6)));
        assert_eq!((stable.position(), stable.behind().as_str()), (Position(5), "node 1"));
        assert_eq!(Stable::new([], false).position(), Position(u64::MAX));
    }
}
