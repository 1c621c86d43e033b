//! The engine against a naive recount, through commits, crashes and memory that is too small.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const GRACE: i64 = 30_000;
const SKEW: i64 = 10_000;

fn rules(sizes: &str, closed_counts: usize) -> Rules {
    Rules {
        sizes: sizes.parse().unwrap(),
        grace: GRACE,
        max_clock_skew: SKEW,
        closed_counts,
    }
}

#[derive(Clone, Debug)]
struct Event {
    id: String,
    n: i64,
    at: i64,
    now: i64,
}

#[derive(Clone, Debug)]
enum Step {
    Event(Event),
    Commit,
    Crash,
    /// Nothing has come for long by this time. What becomes of it is committed, or the worker is killed before.
    Quiet(i64, bool),
}

type Key = (usize, String, i64);

/// Count, late and final.
type Counted = (i64, i64, bool);

/// Where a worker's output goes, and what it left when it was killed.
struct World {
    rules: Rules,
    events: Vec<Event>,
    /// Where stream time was told to go, and before which event.
    advances: Vec<(usize, i64)>,
    topics: Vec<Vec<(i64, Key, Counted)>>,
    /// How often each was said to be final, other than for what is late alone.
    finals: BTreeMap<Key, usize>,
    stored: Option<(usize, Checkpoint)>,
    engine: Engine,
    gap: i64,
}

impl World {
    fn new(rules: Rules, gap: i64) -> Self {
        Self {
            events: Vec::new(),
            advances: Vec::new(),
            topics: rules.sizes.iter().map(|_| Vec::new()).collect(),
            finals: BTreeMap::new(),
            stored: None,
            engine: Engine::new(rules.clone()),
            rules,
            gap,
        }
    }

    fn event(&mut self, event: Event) {
        self.engine.add(&event.id, event.n, event.at, event.now);
        self.events.push(event);
    }

    fn ends(&self) -> Vec<i64> {
        self.topics
            .iter()
            .map(|topic| topic.last().map_or(0, |(offset, ..)| offset + self.gap))
            .collect()
    }

    fn commit(&mut self) {
        let missing = self.engine.missing();
        if !missing.is_empty() {
            for (size, from) in &missing {
                for (_, key, counted) in &self.topics[*size] {
                    if key.2 >= *from {
                        self.engine.recall(&aggregate(key, *counted));
                    }
                }
            }
            self.engine.recalled(&missing);
            assert!(self.engine.missing().is_empty());
        }
        let ends = self.ends();
        let mut next = ends.clone();
        let (topics, finals) = (&mut self.topics, &mut self.finals);
        let checkpoint = self.engine.emit(&ends, 0, |out, _| {
            let key = (out.size, out.id.to_owned(), out.start);
            if out.is_final && !out.late_only {
                *finals.entry(key.clone()).or_default() += 1;
            }
            topics[out.size].push((next[out.size], key, (out.count, out.late, out.is_final)));
            next[out.size] += 1;
        });
        self.stored = Some((self.events.len(), checkpoint));
    }

    fn quiet(&mut self, now: i64, is_committed: bool) {
        self.commit();
        let to = now - SKEW;
        if !self.engine.is_over_at(to) {
            return;
        }
        self.engine.advance(to);
        if is_committed {
            self.advances.push((self.events.len(), to));
            self.commit();
        } else {
            self.crash();
        }
    }

    fn crash(&mut self) {
        let Some((counted, checkpoint)) = &self.stored else {
            self.engine = Engine::new(self.rules.clone());
            self.events
                .iter()
                .for_each(|e| self.engine.add(&e.id, e.n, e.at, e.now));
            return;
        };
        let checkpoint: Checkpoint = serde_json::from_str(&serde_json::to_string(checkpoint).unwrap()).unwrap();
        self.engine = Engine::resume(self.rules.clone(), &checkpoint);
        for (size, topic) in self.rules.sizes.iter().zip(&self.topics) {
            for (offset, key, counted) in topic
                .iter()
                .filter(|(offset, ..)| *offset >= checkpoint.from[&size.to_string()])
            {
                self.engine.restore(&aggregate(key, *counted), *offset);
            }
        }
        self.events[*counted..]
            .iter()
            .for_each(|e| self.engine.add(&e.id, e.n, e.at, e.now));
    }

    fn emitted(&self) -> BTreeMap<Key, Counted> {
        let records = self.topics.iter().flatten();
        records.map(|(_, key, counted)| (key.clone(), *counted)).collect()
    }
}

fn aggregate(key: &Key, (count, late, is_final): Counted) -> Aggregate<'_> {
    Aggregate {
        size: key.0,
        id: &key.1,
        start: key.2,
        count,
        late,
        is_final,
        late_only: false,
    }
}

/// Every event looked at once, windows by window, with nothing forgotten; and the windows of which something came in time.
fn recount(
    World {
        rules,
        events,
        advances,
        ..
    }: &World,
) -> (BTreeMap<Key, Counted>, BTreeSet<Key>) {
    let mut in_time = BTreeSet::new();
    let mut counted: BTreeMap<Key, Counted> = BTreeMap::new();
    let mut closed = i64::MIN;
    let advanced = |before| {
        let here = advances.iter().filter(move |(event, _)| *event == before);
        here.map(|(_, to)| to - GRACE).max().unwrap_or(i64::MIN)
    };
    for (before, event) in events.iter().enumerate() {
        closed = closed.max(advanced(before));
        if event.at <= event.now + SKEW {
            closed = closed.max(event.at - GRACE);
        }
        for (index, size) in rules.sizes.iter().enumerate() {
            let start = event.at.div_euclid(size.millis()) * size.millis();
            let cell = counted.entry((index, event.id.clone(), start)).or_default();
            if start + size.millis() <= closed {
                cell.1 += event.n;
            } else {
                cell.0 += event.n;
                in_time.insert((index, event.id.clone(), start));
            }
        }
    }
    closed = closed.max(advanced(events.len()));
    for ((index, _, start), cell) in &mut counted {
        cell.2 = *start + rules.sizes.iter().nth(*index).unwrap().millis() <= closed;
    }
    (counted, in_time)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let event = (0u8..6, prop_oneof![1i64..5, -3i64..0], -1_500_000i64..60_000, 0i64..100);
    let step = prop_oneof![
        12 => event.prop_map(|(id, n, behind, clock)| {
            // Most events are recent; some are far behind, a few ahead of the clock.
            let behind = if clock < 70 { behind / 50 } else { behind };
            Step::Event(Event { id: format!("id-{id}"), n, at: behind, now: 0 })
        }),
        2 => Just(Step::Commit),
        1 => Just(Step::Crash),
        1 => any::<bool>().prop_map(|is_committed| Step::Quiet(0, is_committed)),
    ];
    prop::collection::vec(step, 1..120).prop_map(|mut steps| {
        // The wall clock goes on by 20 s a step; events are relative to it.
        for (index, step) in steps.iter_mut().enumerate() {
            let wall = 10_000_000 + i64::try_from(index).unwrap() * 20_000;
            match step {
                Step::Event(event) => {
                    event.now = wall;
                    event.at += wall;
                }
                Step::Quiet(now, _) => *now = wall,
                Step::Commit | Step::Crash => {}
            }
        }
        steps
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn windows_equal_a_naive_recount(
        steps in steps(),
        sizes in prop::sample::select(vec!["1m,5m,10m", "1m", "7s,90s", "10m,1h"]),
        closed_counts in prop::sample::select(vec![0usize, 3, 1000]),
        gap in prop::sample::select(vec![1i64, 2, 300_000]),
    ) {
        let rules = rules(sizes, closed_counts);
        let mut world = World::new(rules, gap);
        for step in steps {
            match step {
                Step::Event(event) => world.event(event),
                Step::Commit => world.commit(),
                Step::Crash => world.crash(),
                Step::Quiet(now, is_committed) => world.quiet(now, is_committed),
            }
        }
        world.commit();
        let (wanted, in_time) = recount(&world);
        prop_assert_eq!(&world.emitted(), &wanted);
        // Said once, whatever comes late and whoever is killed.
        prop_assert!(world.finals.values().all(|times| *times == 1), "{:?}", world.finals);
        for key in in_time.iter().filter(|key| wanted[*key].2) {
            prop_assert!(world.finals.contains_key(key), "{:?} was never said to be final", key);
        }
        // Once final, final for good.
        let mut over = BTreeSet::new();
        for (_, key, counted) in world.topics.iter().flatten() {
            prop_assert!(counted.2 || !over.contains(key), "{:?} is open again", key);
            if counted.2 {
                over.insert(key);
            }
        }
    }
}

fn event(at: i64, now: i64) -> Event {
    Event {
        id: "a".to_owned(),
        n: 1,
        at,
        now,
    }
}

#[test]
fn what_did_not_change_is_not_emitted_again() {
    let mut world = World::new(rules("1m,5m", 10), 1);
    world.event(event(1000, 1000));
    world.commit();
    world.commit();
    assert_eq!(world.topics.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn where_nothing_comes_any_more_a_window_is_final_once() {
    let mut world = World::new(rules("1m,5m", 10), 1);
    world.event(event(1000, 1000));
    let over = 60_000 + GRACE + SKEW;
    for (now, is_committed) in [
        (over - 1, true),
        (over, false),
        (over, true),
        (over, true),
        (over + 60_000, true),
    ] {
        world.quiet(now, is_committed);
    }
    let said = |size: usize| -> Vec<_> { world.topics[size].iter().map(|(_, _, counted)| *counted).collect() };
    assert_eq!(said(0), [(1, 0, false), (1, 0, true)]);
    assert_eq!(said(1), [(1, 0, false)], "it is not over");
    // Late as it would be if another had come, and stream time goes on from where it was.
    world.event(event(2000, over));
    world.event(event(over, over));
    world.commit();
    let key = (0, "a".to_owned(), 0);
    assert_eq!(world.emitted()[&key], (1, 1, true));
    assert_eq!(world.finals[&key], 1, "nothing but what is late is new");
    assert_eq!(world.engine.stream_time(), Some(over));
}

#[test]
fn a_clock_that_is_behind_takes_stream_time_nowhere() {
    let mut engine = Engine::new(rules("1m", 10));
    engine.add("a", 1, 500_000, 500_000);
    engine.advance(400_000);
    assert_eq!(engine.stream_time(), Some(500_000));
    assert!(!engine.is_over_at(400_000) && !engine.is_over_at(i64::MIN));
}

#[test]
fn a_window_that_a_clock_from_the_future_opened_is_over_when_its_time_has_come() {
    let mut world = World::new(rules("1m", 10), 1);
    world.event(event(3_600_000, 1000));
    world.quiet(3_600_000, true);
    assert_eq!(world.engine.stream_time(), None);
    world.quiet(3_660_000 + GRACE + SKEW, true);
    assert_eq!(world.emitted()[&(0, "a".to_owned(), 3_600_000)], (1, 0, true));
}

#[test]
fn a_clock_from_the_future_closes_no_window() {
    let mut world = World::new(rules("1m", 10), 1);
    world.event(event(1000, 1000));
    world.event(event(3_600_000, 1000));
    world.event(event(2000, 2000));
    world.commit();
    assert_eq!(world.emitted()[&(0, "a".to_owned(), 0)], (2, 0, false));
    assert_eq!(world.emitted()[&(0, "a".to_owned(), 3_600_000)], (1, 0, false));
    assert_eq!(
        world.engine.tally(),
        Tally {
            events: 3,
            late: 0,
            ahead: 1
        }
    );
    assert_eq!(world.engine.stream_time(), Some(2000));
}

#[test]
fn a_longer_grace_does_not_open_what_was_final() {
    let mut world = World::new(rules("1m", 10), 1);
    world.event(event(1000, 1000));
    world.event(event(90_000, 90_000));
    world.commit();
    assert_eq!(world.emitted()[&(0, "a".to_owned(), 0)], (1, 0, true));
    world.rules.grace = 3_600_000;
    world.crash();
    world.event(event(2000, 91_000));
    world.commit();
    assert_eq!(world.emitted()[&(0, "a".to_owned(), 0)], (1, 1, true));
}

#[test]
fn a_restart_does_not_read_all_that_was_emitted_since_a_wrong_clock_opened_a_window() {
    let mut world = World::new(rules("1m", 10), 400_000);
    world.event(event(3_600_000, 1000));
    for n in 0..6 {
        world.event(event(1000 + n, 1000));
        world.commit();
    }
    let (_, checkpoint) = world.stored.clone().unwrap();
    let end = world.ends()[0];
    assert!(end - checkpoint.from["1m"] <= 1_600_000, "{checkpoint:?} of {end}");
}

#[test]
fn memory_is_given_back_when_windows_are_over() {
    let mut world = World::new(rules("1m,5m,10m", 100), 1);
    for minute in 0..600 {
        for id in 0..50 {
            let at = minute * 60_000 + id;
            world.event(Event {
                id: format!("{minute}-{id}"),
                n: 1,
                at,
                now: at,
            });
        }
        world.commit();
    }
    let (counts, ids) = world.engine.held();
    assert!(
        counts <= 50 * 3 + 50 * 7 + 50 * 12 + 300 && ids <= 50 * 12 + 200,
        "{counts} counts of {ids} ids"
    );
}
