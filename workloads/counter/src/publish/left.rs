//! Transactions that a node left open and does not come back to end. They hide what all others write behind them, for as long as they are open.
//!
//! The transactional id is the fence: should that node live after all, its session fails, and its next finds what was done for it here.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::AtomicBool},
    time::Instant,
};

use super::{owner::Owner, session::Error};
use crate::{crdt::Ordinal, mesh::members::Member, node::Node, windows::Settings};

/// Sessions in a row, beyond its turn, after which a node ends what those left open that live and do not do it.
const PATIENCE: u32 = 3;

/// The nodes there are and were, as one of them knows them.
#[derive(Clone, Debug)]
pub struct Nodes {
    /// The one that looks.
    pub own: Ordinal,
    /// All that are configured or have likes.
    pub known: BTreeSet<Ordinal>,
    /// Those it hears, itself included.
    pub alive: BTreeSet<Ordinal>,
}

impl Nodes {
    /// As this node knows them now.
    pub fn of(node: &Node) -> Self {
        let members = node.members().all(Instant::now());
        let logs = node.state().summaries().into_iter();
        let configured = members.iter().map(|member| member.ordinal);
        let alive = members.iter().filter(|member| member.alive());
        Self {
            own: node.origin().ordinal,
            known: configured.chain(logs.map(|log| log.origin.ordinal)).collect(),
            alive: alive.map(|member: &Member| member.ordinal).collect(),
        }
    }

    /// Whose transactions this node ends, when `hidden` sessions of its own in a row have not seen the end of what they wrote. The lowest
    /// that lives begins with those that do not. Where that does not help, the next one does so too, as the lowest may have no way to Kafka
    /// itself; and in the end those are fenced that live, and do not get on with Kafka.
    pub fn to_end(&self, hidden: u32) -> BTreeSet<Ordinal> {
        let lower = self.alive.range(..self.own).count();
        let turn = u32::try_from(lower).unwrap_or(u32::MAX);
        let others = self.known.iter().copied().filter(|node| *node != self.own);
        match hidden.saturating_sub(turn) {
            0 => BTreeSet::new(),
            1..=PATIENCE => others.filter(|node| !self.alive.contains(node)).collect(),
            _ => others.collect(),
        }
    }
}

/// Ends what these left open, and commits again what of their last transactions is hidden. Whatever fails has the session fail, and the next
/// one does all of it anew. If this process ends in between, what is hidden waits for its own node to come back.
pub fn end(settings: &Arc<Settings>, nodes: &BTreeSet<Ordinal>, stop: &Arc<AtomicBool>) -> Result<(), Error> {
    if nodes.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = nodes.iter().map(ToString::to_string).collect();
    tracing::warn!(
        nodes = names.join(","),
        "ending transactions that these nodes may have left open"
    );
    let take = |node: &Ordinal| Owner::take(Arc::clone(settings), *node, Arc::clone(stop));
    // All of them before the first is looked at: each hides what is behind it.
    let owners: Vec<_> = nodes.iter().map(take).collect::<Result<_, _>>()?;
    for owner in &owners {
        owner.settle()?;
    }
    for owner in owners {
        if let Some((incarnation, published)) = owner.recover()? {
            // Whoever looks next, looks from here.
            owner.transaction(&incarnation, published, |_| Ok(()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to_end(own: u16, alive: &[u16], hidden: u32) -> Vec<u16> {
        let ordinals = |of: &[u16]| of.iter().copied().map(Ordinal).collect();
        let nodes = Nodes {
            own: Ordinal(own),
            known: ordinals(&[0, 1, 2, 5]),
            alive: ordinals(alive),
        };
        nodes.to_end(hidden).into_iter().map(|node| node.0).collect()
    }

    #[test]
    fn the_lowest_that_lives_ends_what_those_left_open_that_do_not() {
        assert_eq!(to_end(0, &[0, 2], 0), [0_u16; 0], "nothing is hidden");
        assert_eq!(to_end(0, &[0, 2], 1), [1, 5]);
        assert_eq!(to_end(2, &[0, 2], 1), [0_u16; 0], "it is another's turn");
        assert_eq!(to_end(1, &[1, 2], 1), [0, 5]);
        assert_eq!(to_end(2, &[2], 1), [0, 1, 5], "alone");
    }

    #[test]
    fn where_that_does_not_help_others_do_it_too_and_those_that_live_are_fenced() {
        assert_eq!(to_end(2, &[0, 2], 2), [1, 5]);
        assert_eq!(to_end(0, &[0, 2], PATIENCE), [1, 5]);
        assert_eq!(to_end(0, &[0, 2], PATIENCE + 1), [1, 2, 5]);
        assert_eq!(to_end(2, &[0, 2], PATIENCE + 2), [0, 1, 5]);
    }
}
