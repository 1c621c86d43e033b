//! Which parts a peer is to be told whole, because what it says it knows does not become what it should be. Pure: time is counted in
//! heartbeats.

use std::collections::{BTreeMap, VecDeque};

use crate::crdt::{Origin, Position, Summary};

/// For so many heartbeats it is left to a part's own node to tell it.
pub const PATIENCE: usize = 4;

/// What was seen at the last heartbeats of one connection.
#[derive(Debug, Default)]
pub struct Entropy {
    beat: usize,
    past: VecDeque<BTreeMap<Origin, Position>>,
    told: BTreeMap<Origin, usize>,
}

impl Entropy {
    /// At a heartbeat: what is known here and what `peer` says it knows. Entries are never lost on a connection, so the own part is told
    /// whole only where it is the same as far and yet another. Another node's part is told where the peer still lacks what was known here
    /// some heartbeats ago: that node does not reach it, or lives no more.
    pub fn due(&mut self, own: Origin, peer: Origin, ours: &[Summary], theirs: &[Summary]) -> Vec<Origin> {
        self.beat += 1;
        let theirs: BTreeMap<_, _> = theirs.iter().map(|summary| (summary.origin, *summary)).collect();
        let old = self.past.front().filter(|_| self.past.len() >= PATIENCE);
        let lacking = |summary: &&Summary| {
            let known = theirs.get(&summary.origin);
            let position = known.map(|known| known.position).unwrap_or_default();
            if summary.origin == own {
                position == summary.position && known.is_some_and(|known| known.digest != summary.digest)
            } else {
                let before = old
                    .and_then(|old| old.get(&summary.origin))
                    .copied()
                    .unwrap_or_default();
                summary.origin != peer && position < before
            }
        };
        let rested = |summary: &&Summary| {
            let told = self.told.get(&summary.origin);
            told.is_none_or(|told| self.beat - told >= PATIENCE)
        };
        let due: Vec<_> = ours
            .iter()
            .filter(lacking)
            .filter(rested)
            .map(|summary| summary.origin)
            .collect();
        self.told.extend(due.iter().map(|origin| (*origin, self.beat)));
        self.past
            .push_back(ours.iter().map(|summary| (summary.origin, summary.position)).collect());
        if self.past.len() > PATIENCE {
            self.past.pop_front();
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crdt::{Incarnation, Ordinal};

    fn summary(ordinal: u16, position: u64, digest: u64) -> Summary {
        let origin = Origin {
            ordinal: Ordinal(ordinal),
            incarnation: Incarnation(1),
        };
        Summary {
            origin,
            position: Position(position),
            digest,
        }
    }

    fn beats(beats: usize, ours: impl Fn(u64) -> Vec<Summary>, theirs: impl Fn(u64) -> Vec<Summary>) -> Vec<Vec<u16>> {
        let (mut entropy, origin) = (Entropy::default(), |ordinal| summary(ordinal, 0, 0).origin);
        let beat = |beat: u64| {
            entropy
                .due(origin(0), origin(1), &ours(beat), &theirs(beat))
                .iter()
                .map(|origin| origin.ordinal.0)
                .collect()
        };
        (0..beats as u64).map(beat).collect()
    }

    #[test]
    fn a_third_nodes_part_is_told_when_the_peer_lacks_it_for_long_and_again_after_a_while() {
        let told = beats(10, |_| vec![summary(2, 5, 1)], |_| vec![]);
        assert_eq!(
            told,
            [
                vec![],
                vec![],
                vec![],
                vec![],
                vec![2],
                vec![],
                vec![],
                vec![],
                vec![2],
                vec![]
            ]
        );
    }

    #[test]
    fn a_peer_that_is_a_little_behind_while_much_happens_is_left_alone() {
        let told = beats(
            20,
            |beat| vec![summary(2, 10 * beat + 30, 1)],
            |beat| vec![summary(2, 10 * beat, 1)],
        );
        assert!(told.iter().all(Vec::is_empty));
    }

    #[test]
    fn the_own_part_is_told_whole_where_it_differs_and_is_no_further() {
        assert_eq!(
            beats(1, |_| vec![summary(0, 5, 1)], |_| vec![summary(0, 5, 2)]),
            [vec![0]]
        );
        assert!(
            beats(9, |_| vec![summary(0, 5, 1)], |_| vec![summary(0, 4, 2)])
                .iter()
                .all(Vec::is_empty)
        );
    }

    #[test]
    fn a_peer_is_never_told_its_own_part() {
        assert!(
            beats(9, |_| vec![summary(1, 5, 1)], |_| vec![])
                .iter()
                .all(Vec::is_empty)
        );
    }
}
