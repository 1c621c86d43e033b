//! Nodes without disk and network: logs are vectors, and what is on its way is one too.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Duration,
};

use super::Event;
use crate::crdt::{
    Add, Entry, Group, Incarnation, Key, Ordinal, Origin, Part, Position, Remember, Request, Search, State,
};

/// How many different requests clients send.
pub const REQUESTS: usize = 16;
const REMEMBER: Remember = Remember {
    time: Duration::from_hours(1),
    count: 1000,
};

pub struct Node {
    pub state: State,
    log: Vec<Entry>,
    snapshot: Vec<(Origin, Part)>,
    doubled: HashSet<Key>,
}

#[derive(Clone)]
enum Packet {
    Entries(Origin, Vec<Entry>),
    Whole(Origin, Part),
}

pub struct World {
    pub nodes: Vec<Node>,
    ways: Vec<(usize, usize, Packet)>,
    cuts: BTreeSet<(usize, usize)>,
    acknowledged: BTreeSet<usize>,
    plain: i64,
    now: i64,
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

impl Node {
    fn new(ordinal: usize) -> Self {
        let own = Origin {
            ordinal: Ordinal(u16::try_from(ordinal).unwrap()),
            incarnation: Incarnation(1),
        };
        Self {
            state: State::new(own, REMEMBER),
            log: Vec::new(),
            snapshot: Vec::new(),
            doubled: HashSet::new(),
        }
    }

    fn like(&mut self, add: Add, now: i64) {
        let mut group = Group::after(&self.state, now);
        group.like(&self.state, add);
        self.write(&group);
    }

    fn write(&mut self, group: &Group) {
        self.log.extend_from_slice(group.entries());
        let (learned, result) = self.state.apply(self.state.own(), group.entries());
        result.unwrap();
        self.doubled.extend(learned.doubled);
    }

    fn take_back(&mut self) {
        let mut search = Search::new(std::mem::take(&mut self.doubled));
        self.log.iter().for_each(|entry| search.read(entry));
        let mut group = Group::after(&self.state, 0);
        group.take_back(&self.state, search.end().0);
        self.write(&group);
    }

    fn crash(&mut self) {
        let mut state = State::new(self.state.own(), REMEMBER);
        for (origin, part) in &self.snapshot {
            state.restore(*origin, part.clone());
        }
        state.apply(state.own(), &self.log).1.unwrap();
        self.doubled = state.doubled();
        self.state = state;
    }

    pub fn totals(&self) -> BTreeMap<String, i64> {
        let ids = self.state.page("", None, 100);
        ids.iter()
            .map(|id| (id.to_string(), self.state.total(id.as_str()).total))
            .collect()
    }
}

impl World {
    pub fn new(nodes: usize) -> Self {
        Self {
            nodes: (0..nodes).map(Node::new).collect(),
            ways: Vec::new(),
            cuts: BTreeSet::new(),
            acknowledged: BTreeSet::new(),
            plain: 0,
            now: 0,
        }
    }

    pub fn happen(&mut self, event: &Event) {
        let count = self.nodes.len();
        self.now += 1;
        match *event {
            Event::Like { node, request } => {
                self.nodes[node % count].like(add(request), self.now);
                self.acknowledged.insert(request);
            }
            Event::Plain { node, n } => {
                let plain = Add {
                    n,
                    request: None,
                    ..add(0)
                };
                self.nodes[node % count].like(plain, self.now);
                self.plain += i64::from(n);
            }
            Event::Tell {
                from,
                to,
                back,
                count: entries,
            } => self.tell(from % count, to % count, back, entries),
            Event::TellWhole { from, to, part } => {
                let state = &self.nodes[from % count].state;
                let summaries = state.summaries();
                let origin = summaries[part % summaries.len()].origin;
                let whole = Packet::Whole(origin, state.part(origin).unwrap().clone());
                self.ways.push((from % count, to % count, whole));
            }
            Event::Arrive { packet, lost } if !self.ways.is_empty() => {
                let index = packet % self.ways.len();
                let (from, to, packet) = self.ways[index].clone();
                if lost {
                    self.ways.swap_remove(index);
                }
                if !self.cuts.contains(&(from.min(to), from.max(to))) {
                    self.arrive(to, packet);
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
            Event::TakeBack { node } => self.nodes[node % count].take_back(),
            Event::Snapshot { node } => {
                let node = &mut self.nodes[node % count];
                let state = &node.state;
                let part =
                    |summary: &crate::crdt::Summary| (summary.origin, state.part(summary.origin).unwrap().clone());
                node.snapshot = state.summaries().iter().map(part).collect();
            }
            Event::Crash { node } => self.nodes[node % count].crash(),
        }
    }

    /// From where the other is, or some before, or beyond.
    fn tell(&mut self, from: usize, to: usize, back: u64, count: usize) {
        let origin = self.nodes[from].state.own();
        let known = self.nodes[to].state.position(origin);
        let begin = Position((known.0 + 2).saturating_sub(back));
        let log = &self.nodes[from].log;
        let entries: Vec<_> = log
            .iter()
            .filter(|entry| entry.position >= begin)
            .take(count)
            .cloned()
            .collect();
        self.ways.push((from, to, Packet::Entries(origin, entries)));
    }

    fn arrive(&mut self, to: usize, packet: Packet) {
        let node = &mut self.nodes[to];
        let learned = match packet {
            Packet::Entries(origin, entries) if origin != node.state.own() => {
                let before = node.state.position(origin);
                let (learned, result) = node.state.apply(origin, &entries);
                if let Err(gap) = result {
                    assert!(gap.begins > before.next(), "{gap:?}");
                }
                learned
            }
            Packet::Whole(origin, part) => node.state.merge(origin, part, false),
            Packet::Entries(..) => return,
        };
        node.doubled.extend(learned.doubled);
    }

    /// All links are mended, and everybody tells everybody until there is nothing more to tell.
    pub fn settle(&mut self) {
        for _ in 0..10 {
            for from in 0..self.nodes.len() {
                self.nodes[from].take_back();
                for to in 0..self.nodes.len() {
                    self.tell(from, to, 1, usize::MAX);
                    let (_, _, packet) = self.ways.pop().unwrap();
                    self.arrive(to, packet);
                }
            }
        }
    }

    pub fn expected(&self) -> BTreeMap<String, i64> {
        let mut expected = BTreeMap::new();
        for &request in &self.acknowledged {
            let add = add(request);
            *expected.entry(add.id.to_string()).or_default() += i64::from(add.n);
        }
        let liked = self.nodes.iter().any(|node| node.state.knows(&add(0).id));
        if liked {
            *expected.entry(add(0).id.to_string()).or_default() += self.plain;
        }
        expected
    }
}
