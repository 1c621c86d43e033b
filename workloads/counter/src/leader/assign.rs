//! Which node a client goes to. Pure.

use std::{
    collections::{HashMap, VecDeque},
    mem,
    time::Duration,
};

use serde::Deserialize;

use crate::{crdt::Ordinal, mesh::members::Member};

/// For so long a client that was sent somewhere may not be in that node's load yet.
const UNDERWAY: Duration = Duration::from_secs(2);
/// Clients that are remembered at least; twice as many at most.
const REMEMBERED: usize = 50_000;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Who {
    /// The client's name.
    pub client: String,
    /// The node it does not reach.
    pub except: Option<Ordinal>,
}

/// Who was sent where, by one leader in one term.
#[derive(Debug, Default)]
pub struct Assignments {
    term: u64,
    recent: HashMap<String, Ordinal>,
    older: HashMap<String, Ordinal>,
    underway: VecDeque<(Duration, Ordinal)>,
}

impl Assignments {
    /// Where a client goes: where it was sent before while that node lives, else to the live node with the fewest clients, those underway
    /// included; among these to the one with the fewest likes. A node that the client cannot reach is left out if there is another, and one
    /// that is leaving always. None while no node lives.
    pub fn assign(&mut self, term: u64, who: &Who, members: &[Member], now: Duration) -> Option<Ordinal> {
        if term != self.term {
            *self = Self {
                term,
                ..Self::default()
            };
        }
        while self.underway.front().is_some_and(|(at, _)| *at + UNDERWAY <= now) {
            self.underway.pop_front();
        }
        let takes = |member: &&Member| member.takes_clients();
        let except = who
            .except
            .filter(|except| members.iter().filter(takes).any(|member| member.ordinal != *except));
        let live = || {
            members
                .iter()
                .filter(takes)
                .filter(|member| Some(member.ordinal) != except)
        };
        let client = who.client.as_str();
        let before = self.recent.get(client).or_else(|| self.older.get(client)).copied();
        let stays = before.filter(|before| live().any(|member| member.ordinal == *before));
        let load = |member: &&Member| {
            let load = member
                .heartbeat
                .as_ref()
                .map(|heartbeat| heartbeat.load)
                .unwrap_or_default();
            let coming = self.underway.iter().filter(|(_, node)| *node == member.ordinal).count();
            (load.clients as usize + coming, load.likes_per_second, member.ordinal)
        };
        let node = stays.or_else(|| live().min_by_key(load).map(|member| member.ordinal))?;
        if stays.is_none() {
            self.underway.push_back((now, node));
        }
        if self.recent.len() >= REMEMBERED {
            self.older = mem::take(&mut self.recent);
        }
        self.recent.insert(client.to_owned(), node);
        Some(node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::members::{DEAD_AFTER, Heartbeat, Load};

    fn member(ordinal: u16, clients: u32, likes_per_second: u32) -> Member {
        Member {
            ordinal: Ordinal(ordinal),
            heartbeat: Some(Heartbeat {
                clients: format!("node-{ordinal}:5002"),
                load: Load {
                    clients,
                    likes_per_second,
                },
                ..Heartbeat::default()
            }),
            silent: Some(Duration::ZERO),
            ..Member::default()
        }
    }

    fn dead(ordinal: u16) -> Member {
        Member {
            silent: Some(DEAD_AFTER),
            ..member(ordinal, 0, 0)
        }
    }

    fn who(client: &str) -> Who {
        Who {
            client: client.to_owned(),
            except: None,
        }
    }

    const NOW: Duration = Duration::from_secs(100);

    #[test]
    fn a_client_goes_to_the_live_node_with_the_least_load() {
        let mut assignments = Assignments::default();
        let members = [dead(0), member(1, 3, 0), member(2, 2, 9), member(3, 2, 1)];
        assert_eq!(assignments.assign(1, &who("ann"), &members, NOW), Some(Ordinal(3)));
        assert_eq!(assignments.assign(1, &who("bob"), &members, NOW), Some(Ordinal(2)));
        assert_eq!(Assignments::default().assign(1, &who("ann"), &[dead(0)], NOW), None);
    }

    #[test]
    fn many_that_come_at_once_are_spread_before_any_heartbeat_tells_of_them() {
        let mut assignments = Assignments::default();
        let members = [member(0, 0, 0), member(1, 0, 0), member(2, 30, 0)];
        let mut sent = [0; 3];
        for client in 0..60 {
            let node = assignments.assign(1, &who(&client.to_string()), &members, NOW).unwrap();
            sent[usize::from(node.0)] += 1;
        }
        assert_eq!(sent, [30, 30, 0]);
        let later = NOW + UNDERWAY;
        assert_eq!(assignments.assign(1, &who("late"), &members, later), Some(Ordinal(0)));
    }

    #[test]
    fn a_client_stays_while_its_node_lives_and_is_sent_elsewhere_when_it_does_not() {
        let mut assignments = Assignments::default();
        let (idle, busy) = (
            [member(0, 0, 0), member(1, 5, 0)],
            [member(0, 50, 900), member(1, 0, 0)],
        );
        assert_eq!(assignments.assign(1, &who("ann"), &idle, NOW), Some(Ordinal(0)));
        assert_eq!(assignments.assign(1, &who("ann"), &busy, NOW), Some(Ordinal(0)));
        let gone = [dead(0), member(1, 5, 0)];
        assert_eq!(assignments.assign(1, &who("ann"), &gone, NOW), Some(Ordinal(1)));
        assert_eq!(assignments.assign(1, &who("ann"), &idle, NOW), Some(Ordinal(1)));
        assert_eq!(assignments.assign(2, &who("ann"), &idle, NOW), Some(Ordinal(0)));
    }

    #[test]
    fn however_many_clients_ask_a_bounded_number_is_remembered() {
        let mut assignments = Assignments::default();
        let members = [member(0, 0, 0)];
        for client in 0..3 * REMEMBERED {
            let at = NOW + UNDERWAY * u32::try_from(client).unwrap();
            assignments.assign(1, &who(&client.to_string()), &members, at);
        }
        assert!(assignments.recent.len() + assignments.older.len() <= 2 * REMEMBERED);
        assert!(assignments.underway.len() <= 1);
    }

    #[test]
    fn a_node_the_client_cannot_reach_is_left_out_if_there_is_another() {
        let mut assignments = Assignments::default();
        let mut ann = who("ann");
        let members = [member(0, 0, 0), member(1, 5, 0)];
        assert_eq!(assignments.assign(1, &ann, &members, NOW), Some(Ordinal(0)));
        ann.except = Some(Ordinal(0));
        assert_eq!(assignments.assign(1, &ann, &members, NOW), Some(Ordinal(1)));
        let mut leaving = member(0, 0, 0);
        leaving.heartbeat.as_mut().unwrap().clients.clear();
        let left = [leaving, member(1, 5, 0)];
        assert_eq!(assignments.assign(2, &who("bob"), &left, NOW), Some(Ordinal(1)));
        ann.except = Some(Ordinal(1));
        assert_eq!(
            assignments.assign(1, &ann, &[dead(0), member(1, 5, 0)], NOW),
            Some(Ordinal(1))
        );
    }
}
