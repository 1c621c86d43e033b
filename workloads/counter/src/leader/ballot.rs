//! Who leads without Kubernetes: the lowest live node that hears a majority, by votes that travel with the heartbeats. Pure.
//!
//! A node that takes a claim for its own promises to take no other for [`PROMISE`] after each heartbeat of the leader it has heard; the
//! answer tells the leader which of its heartbeats that was. The leader counts from when it *made* that heartbeat and stops [`MARGIN`]
//! earlier. So as long as a majority has promised nobody else can have one, whatever is delayed. A node that has just started does not know
//! what it promised: it waits as long first. No node votes for two in a term: its last vote is on
//! its disk.

use std::time::Duration;

use crate::{
    crdt::Ordinal,
    mesh::members::{Claim, DEAD_AFTER, Member},
};

/// How long a vote binds the one who gave it.
pub const PROMISE: Duration = DEAD_AFTER;
/// How much earlier the leader stops to assign.
pub const MARGIN: Duration = Duration::from_millis(300);

/// A node's part in elections.
#[derive(Clone, Copy, Debug)]
pub struct Ballot {
    /// Which.
    pub own: Ordinal,
    /// How many are configured.
    pub nodes: usize,
}

impl Ballot {
    /// The term this node may assign in; `now` is the clock its heartbeats are stamped by.
    pub fn leads(&self, members: &[Member], now: Duration) -> Option<u64> {
        let claim = self.stands(members)?;
        let lasts = |stamp| now < Duration::from_millis(stamp) + PROMISE.saturating_sub(MARGIN);
        let holds = |member: &&Member| {
            let vote = member.vote.filter(|vote| vote.claim == claim);
            member.ordinal == self.own || vote.is_some_and(|vote| lasts(vote.stamp))
        };
        self.is_majority(members.iter().filter(holds).count())
            .then_some(claim.term)
    }

    /// Whether what this node claims is over: the leader was not heard for as long as was promised, or this node itself finds no majority.
    pub fn is_over(&self, members: &[Member], now: Duration) -> bool {
        let Some(claim) = self.claim(members) else {
            return false;
        };
        let leader = members.iter().find(|member| member.ordinal == claim.leader);
        let stands = leader.and_then(|leader| leader.stands);
        let lasts = stands.is_some_and(|(stands, ago)| stands == claim && ago < PROMISE);
        !lasts && self.leads(members, now).is_none()
    }

    /// Whom to vote for, where nobody is claimed. `voted` is the last vote of this node, which was in the highest term.
    pub fn choose(&self, members: &[Member], voted: Claim) -> Option<Claim> {
        if self.claim(members).is_some() {
            return None;
        }
        let stands = |member: &&Member| member.alive() && member.ordinal != self.own;
        let standing = members.iter().filter(stands).filter_map(|member| {
            let claim = member.claim()?;
            let may = claim.term > voted.term || claim == voted;
            (claim.leader == member.ordinal && may).then_some(claim)
        });
        if let Some(claim) = standing.max_by_key(|claim| (claim.term, std::cmp::Reverse(claim.leader))) {
            return Some(claim);
        }
        let mut candidates = members.iter().filter(|member| self.is_candidate(member, members));
        if candidates.next()?.ordinal != self.own {
            return None;
        }
        // Whoever follows another would not vote for this node.
        let free = |member: &&Member| member.alive() && member.claim().is_none();
        let known = members
            .iter()
            .filter_map(|member| Some(member.heartbeat.as_ref()?.term));
        let highest = known.max().unwrap_or(0).max(voted.term);
        self.is_majority(members.iter().filter(free).count()).then(|| Claim {
            term: highest.saturating_add(1),
            leader: self.own,
        })
    }

    fn is_candidate(&self, member: &Member, members: &[Member]) -> bool {
        let hears = if member.ordinal == self.own {
            members.iter().filter(|member| member.alive()).count()
        } else {
            member.heartbeat.as_ref().map_or(0, |heartbeat| heartbeat.hears.len())
        };
        member.alive() && self.is_majority(hears)
    }

    fn is_majority(&self, count: usize) -> bool {
        count > self.nodes / 2
    }

    fn claim(&self, members: &[Member]) -> Option<Claim> {
        members.iter().find(|member| member.ordinal == self.own)?.claim()
    }

    fn stands(&self, members: &[Member]) -> Option<Claim> {
        self.claim(members).filter(|claim| claim.leader == self.own)
    }
}

#[cfg(test)]
mod tests;
