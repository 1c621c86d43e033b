use std::{collections::BTreeMap, time::Instant};

use proptest::prelude::*;

use super::*;
use crate::mesh::members::{Heartbeat, Members, Vote};

/// Something that happens to nodes that vote.
#[derive(Clone, Debug)]
enum Event {
    /// Time passes, for a node that does nothing meanwhile as for all.
    Passes(u64),
    /// A node looks whom it takes for the leader.
    Looks(usize),
    /// A node tells another.
    Beats(usize, usize),
    /// One of the messages underway arrives, in any order.
    Arrives(usize),
    /// One does not.
    Lost(usize),
    /// A node is killed and started: it knows its last vote alone.
    Restarts(usize),
    /// A fifth of a second in which all goes well.
    Calm,
    /// The same, but one node does nothing.
    Without(usize),
}

enum Message {
    Beat(usize, usize, Box<Heartbeat>),
    Answer(usize, usize, Option<Vote>),
}

struct Node {
    members: Members,
    voted: Claim,
    percent: u32,
    started: Duration,
    /// It takes no part any more, and tells so.
    leaves: bool,
}

struct World {
    base: Instant,
    now: Duration,
    nodes: Vec<Node>,
    underway: Vec<Message>,
    led: BTreeMap<u64, usize>,
}

fn ordinal(node: usize) -> Ordinal {
    Ordinal(u16::try_from(node).unwrap())
}

fn members(node: usize, nodes: usize) -> Members {
    let heartbeat = Heartbeat {
        clients: format!("node-{node}:5002"),
        ..Heartbeat::default()
    };
    Members::new(ordinal(node), (0..nodes).map(ordinal), heartbeat)
}

impl World {
    fn new(percents: &[u32]) -> Self {
        let node = |(index, percent): (usize, &u32)| Node {
            members: members(index, percents.len()),
            voted: Claim {
                term: 0,
                leader: Ordinal(0),
            },
            percent: *percent,
            started: Duration::ZERO,
            leaves: false,
        };
        Self {
            base: Instant::now(),
            now: Duration::ZERO,
            nodes: percents.iter().enumerate().map(node).collect(),
            underway: Vec::new(),
            led: BTreeMap::new(),
        }
    }

    fn clock(&self, node: usize) -> Duration {
        self.now * self.nodes[node].percent / 100
    }

    /// What leases are measured by: another clock, that shows something else at each node.
    fn stamp(&self, node: usize) -> Duration {
        self.clock(node) + Duration::from_secs(1000 * node as u64)
    }

    fn ballot(&self, node: usize) -> Ballot {
        Ballot {
            own: ordinal(node),
            nodes: self.nodes.len(),
        }
    }

    fn leads(&self, node: usize) -> Option<u64> {
        let members = self.nodes[node].members.all(self.base + self.clock(node));
        self.ballot(node).leads(&members, self.stamp(node))
    }

    fn looks(&mut self, node: usize) {
        if self.nodes[node].leaves {
            return;
        }
        let (now, stamp, ballot) = (self.base + self.clock(node), self.stamp(node), self.ballot(node));
        let bound = self.clock(node) < self.nodes[node].started + PROMISE;
        let own = &mut self.nodes[node];
        own.members.give_up(now, |members| ballot.is_over(members, stamp));
        if !bound && let Some(claim) = ballot.choose(&own.members.all(now), own.voted) {
            own.voted = claim;
            own.members.term(claim.term);
            own.members.claim(Some(claim), now);
        }
    }

    fn beats(&mut self, from: usize, to: usize) {
        let heartbeat = self.nodes[from]
            .members
            .heartbeat(self.base + self.clock(from), self.stamp(from));
        self.underway.push(Message::Beat(from, to, Box::new(heartbeat)));
    }

    fn arrives(&mut self, message: Message) {
        match message {
            Message::Beat(from, to, heartbeat) => {
                let now = self.base + self.clock(to);
                let vote = self.nodes[to].members.heard(ordinal(from), *heartbeat, now);
                self.underway.push(Message::Answer(to, from, vote));
            }
            Message::Answer(from, to, vote) => self.nodes[to].members.voted(ordinal(from), vote),
        }
    }

    fn calm(&mut self, without: Option<usize>) {
        let nodes = self.nodes.len();
        for _ in 0..4 {
            self.now += Duration::from_millis(50);
            for node in (0..nodes).filter(|node| Some(*node) != without) {
                self.looks(node);
                for other in (0..nodes).filter(|other| *other != node && Some(*other) != without) {
                    self.beats(node, other);
                }
            }
            while let Some(message) = self.underway.pop() {
                self.arrives(message);
            }
            self.check();
        }
    }

    fn happens(&mut self, event: &Event) {
        let nodes = self.nodes.len();
        match *event {
            Event::Passes(millis) => self.now += Duration::from_millis(millis),
            Event::Looks(node) => self.looks(node % nodes),
            Event::Beats(from, to) if from % nodes != to % nodes => self.beats(from % nodes, to % nodes),
            Event::Arrives(index) if !self.underway.is_empty() => {
                let message = self.underway.swap_remove(index % self.underway.len());
                self.arrives(message);
            }
            Event::Lost(index) if !self.underway.is_empty() => {
                self.underway.swap_remove(index % self.underway.len());
            }
            Event::Beats(..) | Event::Arrives(_) | Event::Lost(_) => {}
            Event::Restarts(node) => {
                let node = node % nodes;
                let (started, fresh) = (self.clock(node), members(node, nodes));
                fresh.term(self.nodes[node].voted.term);
                let own = &mut self.nodes[node];
                (own.started, own.members) = (started, fresh);
            }
            Event::Calm => self.calm(None),
            Event::Without(node) => self.calm(Some(node % nodes)),
        }
    }

    /// Nobody assigns together with another, or in a term that is over, or in the term of another.
    fn check(&mut self) {
        let leading: Vec<_> = (0..self.nodes.len())
            .filter_map(|node| Some((node, self.leads(node)?)))
            .collect();
        assert!(leading.len() < 2, "at {:?} these assign: {leading:?}", self.now);
        if let Some((node, term)) = leading.first() {
            assert_eq!(self.led.entry(*term).or_insert(*node), node);
            assert_eq!(self.led.last_key_value().map(|(term, _)| term), Some(term));
        }
    }

    /// The one that leads, after so many fifths of a second.
    fn leader_after(&mut self, calm: usize, without: Option<usize>) -> Option<usize> {
        for _ in 0..calm {
            self.calm(without);
        }
        (0..self.nodes.len()).find(|node| Some(*node) != without && self.leads(*node).is_some())
    }
}

fn event() -> impl Strategy<Value = Event> {
    let node = 0..5_usize;
    prop_oneof![
        4 => (1..300_u64).prop_map(Event::Passes),
        1 => (300..2500_u64).prop_map(Event::Passes),
        6 => node.clone().prop_map(Event::Looks),
        8 => (node.clone(), node.clone()).prop_map(|(from, to)| Event::Beats(from, to)),
        16 => any::<usize>().prop_map(Event::Arrives),
        2 => any::<usize>().prop_map(Event::Lost),
        1 => node.clone().prop_map(Event::Restarts),
        6 => Just(Event::Calm),
        6 => Just(Event::Without(0)),
        3 => node.prop_map(Event::Without),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn two_never_assign_at_a_time_whatever_is_delayed_lost_or_paused(
        percents in prop::collection::vec(95..=105_u32, 1..=5),
        events in prop::collection::vec(event(), 0..250),
    ) {
        let mut world = World::new(&percents);
        for event in &events {
            world.happens(event);
            world.check();
        }
    }

    #[test]
    fn after_whatever_happened_somebody_leads_when_all_goes_well(
        percents in prop::collection::vec(95..=105_u32, 1..=5),
        events in prop::collection::vec(event(), 0..150),
    ) {
        let mut world = World::new(&percents);
        for event in &events {
            world.happens(event);
        }
        prop_assert!(world.leader_after(40, None).is_some());
    }
}

#[test]
fn the_lowest_leads_and_when_it_is_killed_the_next_within_three_seconds() {
    let mut world = World::new(&[100; 3]);
    assert_eq!(world.leader_after(10, None), Some(0));
    assert_eq!(world.leader_after(14, Some(0)), Some(1));
    // The one that comes back follows.
    world.happens(&Event::Restarts(0));
    assert_eq!(world.leader_after(20, None), Some(1));
    assert_eq!(world.led, BTreeMap::from([(1, 0), (2, 1)]));
}

#[test]
fn who_leaves_makes_room_though_it_is_still_heard() {
    let mut world = World::new(&[100; 3]);
    assert_eq!(world.leader_after(10, None), Some(0));
    let (now, first) = (world.base + world.clock(0), &mut world.nodes[0]);
    first.leaves = true;
    first.members.leave();
    first.members.claim(None, now);
    assert_eq!(world.leader_after(14, None), Some(1));
}

#[test]
fn one_of_two_nodes_by_itself_does_not_lead_and_one_of_one_does() {
    let mut world = World::new(&[100; 2]);
    assert_eq!(world.leader_after(20, Some(1)), None);
    assert_eq!(World::new(&[100]).leader_after(10, None), Some(0));
}

#[test]
fn a_leader_that_was_paused_does_not_lead_when_it_wakes_up() {
    let mut world = World::new(&[100; 3]);
    assert_eq!(world.leader_after(10, None), Some(0));
    world.now += Duration::from_secs(20);
    assert_eq!(world.leads(0), None);
    assert_eq!(world.leader_after(14, Some(0)), Some(1));
    assert_eq!(world.leads(0), None);
}
