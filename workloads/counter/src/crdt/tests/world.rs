//! Nodes without disk and network: logs are vectors, and what is on its way is one too.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Duration,
};

use proptest::{prelude::*, test_runner::TestCaseError};

use super::Event;
use crate::{
    crdt::{Add, Entry, Group, Incarnation, Ordinal, Origin, Part, Position, Remember, Request, Search, State, What},
    mesh::entropy::{Entropy, PATIENCE},
    node::stable::Stable,
};

/// How many requests clients send at a time.
pub const REQUESTS: usize = 16;
/// How long those are remembered that are not numbered, in seconds. An event takes one.
const TIME: u64 = 50;
/// The same for those that are.
pub const IDLE: u64 = 80;
const REMEMBER: Remember = Remember {
    time: Duration::from_secs(TIME),
    count: 1000,
    idle: Duration::from_secs(IDLE),
    runs: 1000,
};

pub struct Node {
    pub state: State,
    /// All it ever wrote, and how much of that is no longer there.
    log: Vec<Entry>,
    truncated: u64,
    snapshot: Vec<(Origin, Part)>,
    stable: Stable,
    started: u64,
    /// A connection to each other node.
    entropy: BTreeMap<usize, Entropy>,
}

#[derive(Clone)]
enum Packet {
    Entries(Origin, Vec<Entry>),
    Whole(Origin, Part),
    Word(Origin, Vec<(Origin, Position)>, Position),
}

pub struct World {
    pub nodes: Vec<Node>,
    ways: Vec<(usize, usize, Packet)>,
    cuts: BTreeSet<(usize, usize)>,
    now: u64,
    /// When each request was first sent, and how often its name was used before.
    names: Vec<(u64, usize)>,
    acknowledged: BTreeSet<Request>,
    /// Logs of lost disks.
    lost: BTreeMap<Origin, Vec<Entry>>,
}

/// Every request always says the same.
pub fn add(request: usize) -> Add {
    let text: Request = match request % 2 {
        0 => format!("client-{}/{}", request % 4, request / 4),
        _ => format!("request {request}"),
    }
    .parse()
    .unwrap();
    Add {
        id: format!("id-{}", request % 3).parse().unwrap(),
        by: "somebody".parse().unwrap(),
        n: if request % 5 == 4 {
            -2
        } else {
            1 + i32::try_from(request).unwrap()
        },
        request: Some(text),
    }
}

fn ordinal(node: usize) -> Ordinal {
    Ordinal(u16::try_from(node).unwrap())
}

impl Node {
    fn new(node: usize, incarnation: u64, count: usize, now: u64) -> Self {
        let own = Origin {
            ordinal: ordinal(node),
            incarnation: Incarnation(incarnation),
        };
        Self {
            state: State::new(own, REMEMBER),
            log: Vec::new(),
            truncated: 0,
            snapshot: Vec::new(),
            stable: Stable::new(own, (0..count).filter(|peer| *peer != node).map(ordinal), false),
            started: now,
            entropy: BTreeMap::new(),
        }
    }

    fn like(&mut self, add: Add, now: u64) {
        let mut group = Group::after(&self.state, now.cast_signed());
        group.like(&self.state, add);
        self.write(&group);
    }

    fn write(&mut self, group: &Group) {
        self.log.extend_from_slice(group.entries());
        self.state.apply(self.state.own(), group.entries()).1.unwrap();
    }

    fn there(&self) -> impl Iterator<Item = &Entry> {
        self.log.iter().filter(|entry| entry.position.0 > self.truncated)
    }

    fn take_back(&mut self) -> HashSet<crate::crdt::Key> {
        if self.state.doubled().is_empty() {
            return HashSet::new();
        }
        self.write_snapshot();
        let mut search = Search::new(self.state.doubled().clone());
        self.there().for_each(|entry| search.read(entry));
        let (voids, missing) = search.end();
        self.state.give_up(&missing);
        let mut group = Group::after(&self.state, 0);
        group.take_back(&self.state, voids);
        self.write(&group);
        missing
    }

    fn write_snapshot(&mut self) {
        let summaries = self.state.summaries();
        let part = |origin| self.state.part(origin).unwrap().clone();
        self.snapshot = summaries
            .iter()
            .map(|summary| (summary.origin, part(summary.origin)))
            .collect();
    }

    fn kept(&self) -> Vec<(Origin, Position)> {
        self.snapshot
            .iter()
            .map(|(origin, part)| (*origin, part.position()))
            .collect()
    }

    fn word(&self) -> Packet {
        let own = self.state.own();
        Packet::Word(own, self.kept(), self.state.position(own))
    }

    fn forget(&mut self, now: u64) {
        let stable = &self.stable;
        self.state
            .forget(Duration::from_secs(now - self.started), |origin| stable.settled(origin));
    }

    fn truncate(&mut self) {
        let kept = self.kept();
        let kept = kept.iter().find(|(origin, _)| *origin == self.state.own());
        let covered = kept.map_or(0, |(_, position)| position.0);
        self.truncated = self.truncated.max(self.stable.position().0.min(covered));
    }

    fn crash(&mut self, count: usize, now: u64) {
        let own = self.state.own();
        let empty = Self::new(own.ordinal.0.into(), own.incarnation.0, count, now);
        let before = std::mem::replace(self, empty);
        (self.log, self.truncated, self.snapshot) = (before.log, before.truncated, before.snapshot);
        for (origin, part) in &self.snapshot {
            self.state.restore(*origin, part.clone());
        }
        let there: Vec<_> = self.there().cloned().collect();
        self.state.apply(own, &there).1.unwrap();
        self.state.find_doubled();
    }

    fn arrive(&mut self, packet: Packet, first_hand: bool) {
        match packet {
            Packet::Entries(origin, entries) if origin.ordinal != self.state.own().ordinal => {
                let before = self.state.position(origin);
                if let (_, Err(gap)) = self.state.apply(origin, &entries) {
                    assert!(gap.begins > before.next(), "{gap:?}");
                }
            }
            Packet::Entries(..) => {}
            Packet::Whole(origin, part) => drop(self.state.merge(origin, part, first_hand)),
            Packet::Word(origin, kept, end) => {
                let state = &self.state;
                self.stable.said(origin, kept, end, |origin| state.position(origin));
            }
        }
    }

    /// Its own log from there on, or all it adds up to where that is no longer there.
    fn tells(&self, from: u64, count: usize) -> Packet {
        let own = self.state.own();
        if from <= self.truncated {
            return Packet::Whole(own, self.state.part(own).unwrap().clone());
        }
        let entries = self.there().filter(|entry| entry.position.0 >= from);
        Packet::Entries(own, entries.take(count).cloned().collect())
    }
}

impl World {
    pub fn new(nodes: usize) -> Self {
        Self {
            nodes: (0..nodes).map(|node| Node::new(node, 1, nodes, 0)).collect(),
            ways: Vec::new(),
            cuts: BTreeSet::new(),
            now: 0,
            names: vec![(0, 0); REQUESTS],
            acknowledged: BTreeSet::new(),
            lost: BTreeMap::new(),
        }
    }

    /// A request may be sent again while it is remembered; after that it would be another, of the same client.
    fn named(&mut self, request: usize) -> Add {
        let (add, numbered) = (add(request), request.is_multiple_of(2));
        let remembered = if numbered { IDLE } else { TIME };
        let (first, uses) = &mut self.names[request];
        if *uses == 0 || self.now - *first >= remembered {
            (*first, *uses) = (self.now, *uses + 1);
        }
        let name = if numbered {
            format!("client-{}/{}", request % 4, request / 4 + REQUESTS / 4 * (*uses - 1))
        } else {
            format!("request {request}, {uses}")
        };
        Add {
            request: Some(name.parse().unwrap()),
            ..add
        }
    }

    pub fn happen(&mut self, event: &Event) {
        let count = self.nodes.len();
        self.now += 1;
        match *event {
            Event::Like { node, request } => {
                let add = self.named(request);
                self.acknowledged.extend(add.request.clone());
                self.nodes[node % count].like(add, self.now);
            }
            Event::Plain { node, n } => {
                let plain = Add {
                    n,
                    request: None,
                    ..add(0)
                };
                self.nodes[node % count].like(plain, self.now);
            }
            Event::Tell {
                from,
                to,
                back,
                count: entries,
            } => {
                // From where the other is, or some before, or beyond.
                let (from, to) = (from % count, to % count);
                let known = self.nodes[to].state.position(self.nodes[from].state.own());
                let packet = self.nodes[from].tells((known.0 + 2).saturating_sub(back), entries);
                self.ways.push((from, to, packet));
            }
            Event::TellWhole { from, to, part } => {
                let state = &self.nodes[from % count].state;
                let summaries = state.summaries();
                let origin = summaries[part % summaries.len()].origin;
                let whole = Packet::Whole(origin, state.part(origin).unwrap().clone());
                self.ways.push((from % count, to % count, whole));
            }
            Event::Say { from, to } => {
                let word = self.nodes[from % count].word();
                self.ways.push((from % count, to % count, word));
            }
            Event::Arrive { packet, lost } if !self.ways.is_empty() => {
                let index = packet % self.ways.len();
                let (from, to, packet) = self.ways[index].clone();
                if lost {
                    self.ways.swap_remove(index);
                }
                if !self.cuts.contains(&(from.min(to), from.max(to))) {
                    self.nodes[to].arrive(packet, false);
                }
            }
            Event::Arrive { .. } => {}
            Event::Cut { one, two, cut } => {
                let link = ((one % count).min(two % count), (one % count).max(two % count));
                if cut {
                    self.cuts.insert(link)
                } else {
                    self.cuts.remove(&link)
                };
            }
            Event::TakeBack { node } => self.take_back(node % count),
            Event::Snapshot { node } => self.nodes[node % count].write_snapshot(),
            Event::Crash { node } => self.nodes[node % count].crash(count, self.now),
            Event::Wait { time } => self.now += time,
            Event::Forget { node } => self.nodes[node % count].forget(self.now),
            Event::Truncate { node } => self.nodes[node % count].truncate(),
            Event::LoseDisk { node } => {
                let node = node % count;
                let own = self.nodes[node].state.own();
                let anew = Node::new(node, own.incarnation.0 + 1, count, self.now);
                let before = std::mem::replace(&mut self.nodes[node], anew);
                self.lost.insert(own, before.log);
                // With the process its connections ended.
                self.ways
                    .retain(|(from, to, packet)| *to != node && (*from != node || !matches!(packet, Packet::Word(..))));
            }
        }
    }

    fn take_back(&mut self, node: usize) {
        let missing = self.nodes[node].take_back();
        assert!(
            missing.is_empty() || !self.lost.is_empty(),
            "{missing:?} cannot be taken back"
        );
    }

    /// All links are mended, or all with one node, and it is left to what nodes do at their heartbeats.
    pub fn settle(&mut self, hub: Option<usize>) {
        let count = self.nodes.len();
        for node in &mut self.nodes {
            node.entropy.clear();
        }
        let mut quiet = 0;
        for _ in 0..PATIENCE * count * 6 {
            let before: Vec<_> = self.nodes.iter().map(|node| node.state.summaries()).collect();
            self.now += 1;
            for (from, to) in (0..count).flat_map(|from| (0..count).map(move |to| (from, to))) {
                if from != to && hub.is_none_or(|hub| [from, to].contains(&(hub % count))) {
                    self.beat(from, to);
                }
            }
            for node in 0..count {
                self.take_back(node);
                self.nodes[node].write_snapshot();
                self.nodes[node].forget(self.now);
                self.nodes[node].truncate();
            }
            // What one has learnt the next tells after some heartbeats only.
            let is_quiet = self.nodes.iter().map(|node| node.state.summaries()).eq(before);
            quiet = if is_quiet { quiet + 1 } else { 0 };
            if quiet > 2 * PATIENCE {
                return;
            }
        }
    }

    fn beat(&mut self, from: usize, to: usize) {
        let word = self.nodes[to].word();
        self.nodes[from].arrive(word, true);
        let (ours, theirs) = (self.nodes[from].state.summaries(), self.nodes[to].state.summaries());
        let (own, peer) = (self.nodes[from].state.own(), self.nodes[to].state.own());
        let known = self.nodes[to].state.position(own);
        let mut packets = vec![self.nodes[from].tells(known.0 + 1, usize::MAX)];
        for origin in self.nodes[from]
            .entropy
            .entry(to)
            .or_default()
            .due(own, peer, &ours, &theirs)
        {
            packets.push(Packet::Whole(
                origin,
                self.nodes[from].state.part(origin).unwrap().clone(),
            ));
        }
        for packet in packets {
            let first_hand = !matches!(packet, Packet::Whole(origin, _) if origin != own);
            self.nodes[to].arrive(packet, first_hand);
        }
    }

    /// All know the same, that is what the logs say, and each request counts once: of those that a lost disk had counted, or its node after
    /// that, what was known is known.
    pub fn check(&self) -> Result<(), TestCaseError> {
        let first = &self.nodes[0].state;
        let (mut sums, mut counts, mut spoilt) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        let live = self.nodes.iter().map(|node| (node.state.own(), &node.log));
        for (origin, log) in live.chain(self.lost.iter().map(|(origin, log)| (*origin, log))) {
            let known = usize::try_from(first.position(origin).0).unwrap();
            let is_lost = self.lost.contains_key(&origin);
            prop_assert!(
                known == log.len() || is_lost,
                "{} of {} entries of {origin}",
                known,
                log.len()
            );
            for (index, entry) in log.iter().enumerate() {
                let (request, n, count) = match &entry.what {
                    What::Add(add) => (add.request.clone(), i64::from(add.n), 1),
                    What::Void(void) => (Some(void.request.clone()), -i64::from(void.n), -1),
                };
                if index < known {
                    *sums.entry(entry.id().to_string()).or_insert(0) += n;
                }
                let Some(request) = request else { continue };
                if self.lost.keys().any(|lost| lost.ordinal == origin.ordinal) {
                    spoilt.insert(request);
                } else {
                    *counts.entry(request).or_insert(0) += count;
                }
            }
        }
        for request in self.acknowledged.difference(&spoilt) {
            prop_assert_eq!(counts.get(request), Some(&1), "{}", request);
        }
        for node in &self.nodes {
            let ids = node.state.page("", None, 100);
            let totals = ids
                .iter()
                .map(|id| (id.to_string(), node.state.total(id.as_str()).total));
            prop_assert_eq!(&totals.collect::<BTreeMap<_, _>>(), &sums);
            prop_assert_eq!(node.state.digest(), first.digest());
            for summary in node.state.summaries() {
                prop_assert!(node.state.part(summary.origin).unwrap().sound());
            }
        }
        Ok(())
    }
}
