//! Who the nodes are and how they are, as heartbeats tell: what `leader` decides by.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

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
    /// Where clients reach it: `host:5002`.
    pub clients: String,
    /// Where its leader API is: `host:5001`.
    pub leader_api: String,
    /// How busy it is.
    pub load: Load,
    /// Whom it takes for the leader.
    pub claim: Option<Claim>,
    /// Whom it hears itself.
    pub hears: Vec<Ordinal>,
}

/// A node, this one included.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Which.
    pub ordinal: Ordinal,
    /// What it told last; absent until it was heard for the first time.
    pub heartbeat: Option<Heartbeat>,
    /// How long ago; 0 for this node.
    pub silent: Option<Duration>,
}

impl Member {
    /// Whether it was heard within [`DEAD_AFTER`].
    pub fn alive(&self) -> bool {
        self.silent.is_some_and(|silent| silent < DEAD_AFTER)
    }
}

/// What a node told last, and when.
type Heard = Option<(Heartbeat, Instant)>;

/// All configured nodes, as this one knows them. Clones share what they know.
#[derive(Clone)]
pub struct Members {
    own: Ordinal,
    known: Arc<Mutex<BTreeMap<Ordinal, Heard>>>,
}

impl Members {
    /// Of these nodes; `heartbeat` is what this one tells.
    pub fn new(own: Ordinal, nodes: impl IntoIterator<Item = Ordinal>, heartbeat: Heartbeat) -> Self {
        let mut known: BTreeMap<_, _> = nodes.into_iter().map(|ordinal| (ordinal, None)).collect();
        known.insert(own, Some((heartbeat, Instant::now())));
        Self {
            own,
            known: Arc::new(Mutex::new(known)),
        }
    }

    /// This node.
    pub fn own(&self) -> Ordinal {
        self.own
    }

    /// All, by ordinal.
    pub fn all(&self, now: Instant) -> Vec<Member> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let member = |(&ordinal, heard): (&Ordinal, &Heard)| {
            let silent = |at: Instant| {
                let own = ordinal == self.own;
                if own {
                    Duration::ZERO
                } else {
                    now.saturating_duration_since(at)
                }
            };
            Member {
                ordinal,
                heartbeat: heard.as_ref().map(|(heartbeat, _)| heartbeat.clone()),
                silent: heard.as_ref().map(|(_, at)| silent(*at)),
            }
        };
        known.iter().map(member).collect()
    }

    /// From now on this node tells this claim.
    pub fn claim(&self, claim: Option<Claim>) {
        self.edit(|own| own.claim = claim);
    }

    /// From now on this node tells this load.
    pub fn load(&self, load: Load) {
        self.edit(|own| own.load = load);
    }

    /// A peer was heard. One that is not configured is not taken in.
    pub fn heard(&self, ordinal: Ordinal, heartbeat: Heartbeat, now: Instant) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(peer) = known.get_mut(&ordinal).filter(|_| ordinal != self.own) {
            *peer = Some((heartbeat, now));
        }
    }

    /// What this node tells now.
    pub fn heartbeat(&self, now: Instant) -> Heartbeat {
        let alive = |member: &Member| member.alive();
        let hears = self.all(now).into_iter().filter(alive).map(|member| member.ordinal);
        let hears = hears.collect();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let own = known.get(&self.own).cloned().flatten();
        own.map(|(heartbeat, _)| Heartbeat { hears, ..heartbeat })
            .unwrap_or_default()
    }

    fn edit(&self, change: impl FnOnce(&mut Heartbeat)) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Some((own, _))) = known.get_mut(&self.own) {
            change(own);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_alive_while_it_is_heard_and_this_node_always() {
        let members = Members::new(Ordinal(1), (0..3).map(Ordinal), Heartbeat::default());
        let now = Instant::now();
        members.heard(Ordinal(0), Heartbeat::default(), now);
        members.heard(Ordinal(7), Heartbeat::default(), now);
        let alive = |after| -> Vec<bool> { members.all(now + after).iter().map(Member::alive).collect() };
        assert_eq!(alive(Duration::from_secs(1)), [true, true, false]);
        assert_eq!(alive(Duration::from_secs(2)), [false, true, false]);
        assert_eq!(members.heartbeat(now).hears, [Ordinal(0), Ordinal(1)]);
    }

    #[test]
    fn what_this_node_tells_changes_by_its_own_word_alone() {
        let members = Members::new(Ordinal(0), (0..2).map(Ordinal), Heartbeat::default());
        let now = Instant::now();
        let claim = Claim {
            term: 4,
            leader: Ordinal(1),
        };
        members.claim(Some(claim));
        members.heard(Ordinal(0), Heartbeat::default(), now);
        assert_eq!(members.heartbeat(now).claim, Some(claim));
    }
}
