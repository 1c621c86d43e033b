//! Who the nodes are and how they are, as heartbeats tell: what `leader` decides by.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::crdt::Ordinal;

/// How often a node tells how it is.
pub const HEARTBEAT: Duration = Duration::from_millis(500);
/// A node that was not heard for so long is dead.
pub const DEAD_AFTER: Duration = Duration::from_millis(1500);

/// How busy a node is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Clients connected by WebSocket.
    pub clients: u32,
    /// Likes acknowledged in the last second.
    pub likes_per_second: u32,
}

/// Whom a node takes for the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Claim {
    /// The generation: the higher one is right.
    pub term: u64,
    /// The leader.
    pub leader: Ordinal,
}

/// What a node tells of itself with every heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Where clients reach it: `host:5002`; empty when it takes no more.
    pub clients: String,
    /// Where its leader API is: `host:5001`.
    pub leader_api: String,
    /// How busy it is.
    pub load: Load,
    /// Whom it takes for the leader.
    pub claim: Option<Claim>,
    /// The highest term it knows of.
    pub term: u64,
    /// Whom it hears itself; nobody when it is leaving, so that nobody waits for it to stand.
    pub hears: Vec<Ordinal>,
    /// When it was made, in milliseconds of its own node's clock; comes back in a [`Vote`].
    pub stamp: u64,
}

/// What a peer answers to a heartbeat that claims to lead, when the peer takes that claim for its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Whom it takes for the leader.
    pub claim: Claim,
    /// The stamp of the heartbeat that is answered.
    pub stamp: u64,
}

/// A node, this one included.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Member {
    /// Which.
    pub ordinal: Ordinal,
    /// What it told last; absent until it was heard for the first time.
    pub heartbeat: Option<Heartbeat>,
    /// How long ago; 0 for this node.
    pub silent: Option<Duration>,
    /// What it last claimed for itself, and how long ago that was heard; for this node, since when it does.
    pub stands: Option<(Claim, Duration)>,
    /// What it answered last to a heartbeat of this node.
    pub vote: Option<Vote>,
}

impl Member {
    /// Whether it was heard within [`DEAD_AFTER`].
    pub fn alive(&self) -> bool {
        self.silent.is_some_and(|silent| silent < DEAD_AFTER)
    }

    /// Whether it lives and takes clients.
    pub fn takes_clients(&self) -> bool {
        let leaves = |heartbeat: &Heartbeat| heartbeat.clients.is_empty();
        self.alive() && !self.heartbeat.as_ref().is_none_or(leaves)
    }

    /// Whom it takes for the leader, as it said last.
    pub fn claim(&self) -> Option<Claim> {
        self.heartbeat.as_ref().and_then(|heartbeat| heartbeat.claim)
    }
}

/// Whether those of all nodes that live are a majority.
pub fn hears_majority(members: &[Member]) -> bool {
    members.iter().filter(|member| member.alive()).count() > members.len() / 2
}

/// What is known of a node, and when it was heard.
#[derive(Default)]
struct Known {
    heard: Option<(Heartbeat, Instant)>,
    stands: Option<(Claim, Instant)>,
    vote: Option<Vote>,
}

/// All configured nodes, as this one knows them. Clones share what they know.
#[derive(Clone)]
pub struct Members {
    own: Ordinal,
    known: Arc<Mutex<BTreeMap<Ordinal, Known>>>,
    hurry: watch::Sender<()>,
}

impl Members {
    /// Of these nodes; `heartbeat` is what this one tells.
    pub fn new(own: Ordinal, nodes: impl IntoIterator<Item = Ordinal>, heartbeat: Heartbeat) -> Self {
        let mut known: BTreeMap<_, _> = nodes.into_iter().map(|ordinal| (ordinal, Known::default())).collect();
        known.entry(own).or_default().heard = Some((heartbeat, Instant::now()));
        Self {
            own,
            known: Arc::new(Mutex::new(known)),
            hurry: watch::Sender::new(()),
        }
    }

    /// This node.
    pub fn own(&self) -> Ordinal {
        self.own
    }

    /// All, by ordinal.
    pub fn all(&self, now: Instant) -> Vec<Member> {
        self.seen(&self.known(), now)
    }

    /// From now on this node tells this claim, at once.
    pub fn claim(&self, claim: Option<Claim>, now: Instant) {
        let mut known = self.known();
        let Some(own) = known.get_mut(&self.own) else { return };
        let Some((heartbeat, _)) = own.heard.as_mut().filter(|(heartbeat, _)| heartbeat.claim != claim) else {
            return;
        };
        heartbeat.claim = claim;
        let stands = claim.filter(|claim| claim.leader == self.own);
        own.stands = stands.map(|claim| (claim, now));
        drop(known);
        self.hurry();
    }

    /// The same for no claim, if `over` finds so. What a peer says meanwhile is seen by `over`, or finds the claim gone.
    pub fn give_up(&self, now: Instant, over: impl FnOnce(&[Member]) -> bool) -> bool {
        let mut known = self.known();
        let members = self.seen(&known, now);
        let ends = over(&members);
        if ends && let Some(own) = known.get_mut(&self.own) {
            own.stands = None;
            if let Some((heartbeat, _)) = &mut own.heard {
                heartbeat.claim = None;
            }
        }
        drop(known);
        if ends {
            self.hurry();
        }
        ends
    }

    /// From now on this node tells that it takes no more clients.
    pub fn leave(&self) {
        self.edit(|own| own.clients.clear());
        self.hurry();
    }

    /// From now on this node tells this load.
    pub fn load(&self, load: Load) {
        self.edit(|own| own.load = load);
    }

    /// From now on this node tells this as the highest term it knows of.
    pub fn term(&self, term: u64) {
        self.edit(|own| own.term = own.term.max(term));
    }

    /// Peers are told at once, not with the next beat.
    pub fn hurry(&self) {
        self.hurry.send_replace(());
    }

    /// Changes when peers are to be told at once.
    pub fn hurries(&self) -> watch::Receiver<()> {
        self.hurry.subscribe()
    }

    /// A peer was heard. One that is not configured is not taken in. If it claims to lead and this node takes that claim for its own, that
    /// is the answer.
    pub fn heard(&self, ordinal: Ordinal, heartbeat: Heartbeat, now: Instant) -> Option<Vote> {
        let mut known = self.known();
        let own = known.get(&self.own)?.heard.as_ref()?.0.claim;
        let peer = known.get_mut(&ordinal).filter(|_| ordinal != self.own)?;
        let claim = heartbeat.claim.filter(|claim| claim.leader == ordinal);
        // An older connection may bring an older claim.
        let newer = |claim: &Claim| peer.stands.is_none_or(|(last, _)| last.term <= claim.term);
        if let Some(claim) = claim.filter(newer) {
            peer.stands = Some((claim, now));
        }
        let stamp = heartbeat.stamp;
        peer.heard = Some((heartbeat, now));
        claim.filter(|_| own == claim).map(|claim| Vote { claim, stamp })
    }

    /// A peer has answered a heartbeat of this node.
    pub fn voted(&self, ordinal: Ordinal, vote: Option<Vote>) {
        let mut known = self.known();
        if let (Some(peer), Some(vote)) = (known.get_mut(&ordinal), vote)
            && peer
                .vote
                .is_none_or(|last| last.stamp <= vote.stamp || last.claim.term < vote.claim.term)
        {
            peer.vote = Some(vote);
        }
    }

    /// What this node tells now; `stamp` is its clock before.
    pub fn heartbeat(&self, now: Instant, stamp: Duration) -> Heartbeat {
        let known = self.known();
        let own = known.get(&self.own).and_then(|own| own.heard.as_ref());
        let stays = own.is_some_and(|(heartbeat, _)| !heartbeat.clients.is_empty());
        let hears = self
            .seen(&known, now)
            .into_iter()
            .filter(|member| stays && member.alive());
        let hears = hears.map(|member| member.ordinal).collect();
        let stamp = u64::try_from(stamp.as_millis()).unwrap_or(u64::MAX);
        own.map(|(heartbeat, _)| Heartbeat {
            hears,
            stamp,
            ..heartbeat.clone()
        })
        .unwrap_or_default()
    }

    fn seen(&self, known: &BTreeMap<Ordinal, Known>, now: Instant) -> Vec<Member> {
        let member = |(&ordinal, known): (&Ordinal, &Known)| {
            let ago = |at: Instant| now.saturating_duration_since(at);
            let silent = |at| if ordinal == self.own { Duration::ZERO } else { ago(at) };
            Member {
                ordinal,
                heartbeat: known.heard.as_ref().map(|(heartbeat, _)| heartbeat.clone()),
                silent: known.heard.as_ref().map(|(_, at)| silent(*at)),
                stands: known.stands.map(|(claim, at)| (claim, ago(at))),
                vote: known.vote,
            }
        };
        known.iter().map(member).collect()
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<Ordinal, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn edit(&self, change: impl FnOnce(&mut Heartbeat)) {
        let mut known = self.known();
        if let Some((own, _)) = known.get_mut(&self.own).and_then(|own| own.heard.as_mut()) {
            change(own);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_leaves_lives_and_takes_no_clients_and_stands_for_nothing() {
        let now = Instant::now();
        let heartbeat = Heartbeat {
            clients: "a:5002".to_owned(),
            ..Heartbeat::default()
        };
        let members = Members::new(Ordinal(0), (0..2).map(Ordinal), heartbeat.clone());
        members.heard(Ordinal(1), heartbeat, now);
        let takes = || members.all(now).iter().map(Member::takes_clients).collect::<Vec<_>>();
        assert_eq!(takes(), [true, true]);
        members.leave();
        assert_eq!(takes(), [false, true]);
        let told = members.heartbeat(now, Duration::ZERO);
        assert_eq!((told.clients.as_str(), told.hears), ("", vec![]));
        members.heard(Ordinal(1), members.heartbeat(now, Duration::ZERO), now);
        assert_eq!(takes(), [false, false]);
        assert!(members.all(now).iter().all(Member::alive));
    }

    #[test]
    fn a_peer_is_alive_while_it_is_heard_and_this_node_always() {
        let heartbeat = Heartbeat {
            clients: "a:5002".to_owned(),
            ..Heartbeat::default()
        };
        let members = Members::new(Ordinal(1), (0..3).map(Ordinal), heartbeat);
        let now = Instant::now();
        members.heard(Ordinal(0), Heartbeat::default(), now);
        members.heard(Ordinal(7), Heartbeat::default(), now);
        let alive = |after| -> Vec<bool> { members.all(now + after).iter().map(Member::alive).collect() };
        assert_eq!(alive(Duration::from_secs(1)), [true, true, false]);
        assert_eq!(alive(Duration::from_secs(2)), [false, true, false]);
        let majority = |after| hears_majority(&members.all(now + after));
        assert!(majority(Duration::from_secs(1)) && !majority(Duration::from_secs(2)));
        let by_itself = Members::new(Ordinal(0), [Ordinal(0)], Heartbeat::default());
        assert!(hears_majority(&by_itself.all(now)));
        assert_eq!(members.heartbeat(now, Duration::ZERO).hears, [Ordinal(0), Ordinal(1)]);
    }

    #[test]
    fn what_this_node_tells_changes_by_its_own_word_alone() {
        let members = Members::new(Ordinal(0), (0..2).map(Ordinal), Heartbeat::default());
        let now = Instant::now();
        let claim = Claim {
            term: 4,
            leader: Ordinal(1),
        };
        members.claim(Some(claim), now);
        members.heard(Ordinal(0), Heartbeat::default(), now);
        assert_eq!(members.heartbeat(now, Duration::ZERO).claim, Some(claim));
    }

    #[test]
    fn a_vote_is_answered_to_the_claim_that_is_told_and_to_no_other() {
        let members = Members::new(Ordinal(0), (0..2).map(Ordinal), Heartbeat::default());
        let now = Instant::now();
        let claim = |term, leader| Claim {
            term,
            leader: Ordinal(leader),
        };
        let tells = |claim, stamp| Heartbeat {
            claim,
            stamp,
            ..Heartbeat::default()
        };
        assert_eq!(members.heard(Ordinal(1), tells(Some(claim(2, 1)), 7), now), None);
        members.claim(Some(claim(2, 1)), now);
        let vote = Vote {
            claim: claim(2, 1),
            stamp: 8,
        };
        assert_eq!(members.heard(Ordinal(1), tells(Some(claim(2, 1)), 8), now), Some(vote));
        assert_eq!(members.heard(Ordinal(1), tells(None, 9), now), None);
        assert_eq!(members.heard(Ordinal(1), tells(Some(claim(3, 1)), 9), now), None);
        assert_eq!(members.heard(Ordinal(1), tells(Some(claim(2, 0)), 9), now), None);
    }
}
