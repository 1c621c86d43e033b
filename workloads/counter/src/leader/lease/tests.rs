use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn record(holder: &str, term: u64, version: u64) -> Record {
    Record {
        holder: Some(holder.to_owned()).filter(|holder| !holder.is_empty()),
        term,
        lasts: LEASE,
        version: version.to_string(),
    }
}

fn take(elector: &mut Elector, at: Duration) -> Write {
    let Step::Write(write) = elector.next(at, 0, true) else {
        panic!("nothing to write: {:?}", elector.next(at, 0, true));
    };
    elector.wrote(write.clone(), at, Outcome::Written("9".to_owned()));
    write
}

#[test]
fn a_lease_is_taken_when_it_was_seen_unchanged_for_as_long_as_it_lasts() {
    let mut elector = Elector::new("demo-counter-1".to_owned());
    assert_eq!(elector.next(MS(0), 0, true), Step::Look);
    elector.looked(Some(record("demo-counter-0", 3, 5)), MS(100));
    let holder = Claim {
        term: 3,
        leader: Ordinal(0),
    };
    assert_eq!(elector.claim(MS(2099)), Some(holder));
    assert_eq!(elector.next(MS(200), 0, true), Step::Wait(MS(150)));
    assert_eq!(elector.next(MS(1999), 0, true), Step::Look);
    elector.looked(Some(record("demo-counter-0", 3, 6)), MS(2000));
    assert_eq!(elector.next(MS(3999), 0, true), Step::Look);
    assert_eq!((elector.claim(MS(4000)), elector.leads(MS(4000))), (None, None));
    let write = take(&mut elector, MS(4000));
    assert_eq!((write.over.as_deref(), write.term), (Some("6"), 4));
    assert_eq!((elector.leads(MS(5499)), elector.leads(MS(5500))), (Some(4), None));
}

#[test]
fn the_holder_renews_in_its_term_and_stops_by_its_own_clock() {
    let mut elector = Elector::new("n-0".to_owned());
    elector.looked(Some(record("", 3, 5)), MS(0));
    assert_eq!(take(&mut elector, MS(0)).term, 4);
    assert_eq!(elector.next(MS(100), 0, true), Step::Wait(MS(400)));
    let Step::Write(renew) = elector.next(MS(500), 0, true) else {
        panic!()
    };
    assert_eq!((renew.over.as_deref(), renew.term), (Some("9"), 4));
    elector.wrote(renew, MS(500), Outcome::Unknown);
    assert_eq!((elector.leads(MS(1499)), elector.leads(MS(1500))), (Some(4), None));
    // The answer was lost, the write was not: it goes on in its term, but counts from nothing it does not know.
    assert_eq!(elector.next(MS(1500), 0, true), Step::Look);
    elector.looked(Some(record("n-0", 4, 10)), MS(1600));
    assert_eq!(elector.leads(MS(1600)), None);
    let Step::Write(renew) = elector.next(MS(1600), 0, true) else {
        panic!()
    };
    elector.wrote(renew, MS(1600), Outcome::Written("11".to_owned()));
    assert_eq!(elector.leads(MS(1600)), Some(4));
}

#[test]
fn who_lost_it_to_another_follows() {
    let mut elector = Elector::new("n-0".to_owned());
    elector.looked(Some(record("", 3, 5)), MS(0));
    let write = take(&mut elector, MS(0));
    elector.wrote(write, MS(500), Outcome::Conflict);
    elector.looked(Some(record("n-1", 5, 12)), MS(600));
    assert_eq!(elector.leads(MS(600)), None);
    assert_eq!(
        elector.claim(MS(600)).map(|claim| (claim.term, claim.leader.0)),
        Some((5, 1))
    );
}

#[test]
fn what_the_former_process_held_is_waited_for_and_what_was_given_back_is_not() {
    let mut elector = Elector::new("n-0".to_owned());
    elector.looked(Some(record("n-0", 3, 5)), MS(0));
    assert_eq!(elector.leads(MS(0)), None);
    assert!(matches!(elector.next(MS(100), 0, true), Step::Wait(_)));
    elector.looked(Some(record("", 3, 6)), MS(300));
    assert_eq!(take(&mut elector, MS(300)).term, 4);
    let back = elector.resign().unwrap();
    assert_eq!((back.holder, back.over.as_deref()), (None, Some("9")));
    assert_eq!(elector.leads(MS(301)), None);
}

#[test]
fn what_a_lost_answer_left_in_its_name_is_given_back_all_the_same() {
    let mut elector = Elector::new("n-0".to_owned());
    elector.looked(Some(record("", 3, 5)), MS(0));
    take(&mut elector, MS(0));
    let Step::Write(renew) = elector.next(MS(500), 0, true) else {
        panic!()
    };
    elector.wrote(renew, MS(500), Outcome::Unknown);
    // It was written, and so the version that is given back is an old one.
    let back = elector.resign().unwrap();
    elector.wrote(back, MS(600), Outcome::Conflict);
    assert_eq!(
        (elector.next(MS(600), 0, true), elector.give_back()),
        (Step::Look, None)
    );
    elector.looked(Some(record("n-0", 4, 10)), MS(700));
    let Step::Write(back) = elector.next(MS(700), 0, true) else {
        panic!()
    };
    assert_eq!(
        (back.over.as_deref(), back.holder.as_deref(), back.term),
        (Some("10"), None, 4)
    );
    elector.wrote(back, MS(700), Outcome::Written("11".to_owned()));
    elector.looked(Some(record("", 4, 11)), MS(710));
    assert_eq!(elector.give_back(), None);
    let mut next_process = Elector::new("n-0".to_owned());
    next_process.looked(Some(record("n-0", 4, 10)), MS(0));
    assert_eq!(next_process.give_back(), None, "it has given nothing back");
}

#[test]
fn a_holder_that_hears_no_majority_gives_it_back_and_takes_it_only_if_nobody_else_does() {
    let mut elector = Elector::new("n-0".to_owned());
    elector.looked(Some(record("", 3, 5)), MS(0));
    take(&mut elector, MS(0));
    let Step::Write(back) = elector.next(MS(100), 0, false) else {
        panic!()
    };
    assert_eq!((back.holder.as_ref(), elector.leads(MS(100))), (None, None));
    elector.wrote(back, MS(100), Outcome::Written("10".to_owned()));
    assert_eq!(elector.next(MS(110), 0, false), Step::Look);
    elector.looked(Some(record("", 4, 10)), MS(120));
    assert_eq!(elector.next(MS(619), 0, false), Step::Look);
    let Step::Write(again) = elector.next(MS(620), 0, false) else {
        panic!()
    };
    assert_eq!(again.term, 5);
    elector.wrote(again, MS(620), Outcome::Written("11".to_owned()));
    // By itself it leads, and offers it again after a while, renewing until then.
    for at in (1120..10_620).step_by(500) {
        let Step::Write(renew) = elector.next(MS(at), 0, false) else {
            panic!("{at}")
        };
        assert_eq!((renew.holder.as_deref(), renew.term), (Some("n-0"), 5));
        elector.wrote(renew, MS(at), Outcome::Written("12".to_owned()));
    }
    let Step::Write(back) = elector.next(MS(10_620), 0, false) else {
        panic!()
    };
    assert_eq!(back.holder, None);
}

#[test]
fn a_deleted_lease_is_made_anew_in_a_higher_term_after_its_holder_has_stopped() {
    let mut elector = Elector::new("n-1".to_owned());
    elector.looked(Some(record("n-0", 7, 5)), MS(0));
    for at in [250, 1200, 2100] {
        elector.looked(None, MS(at));
    }
    assert_eq!(elector.next(MS(2249), 7, true), Step::Wait(MS(1)));
    let write = take(&mut Elector { ..elector.clone() }, MS(2250));
    assert_eq!((write.over, write.term), (None, 1));
    let mut empty = elector.clone();
    empty.looked(Some(record("", 0, 9)), MS(300));
    assert!(!matches!(empty.next(MS(2299), 7, true), Step::Write(_)));
    assert!(matches!(empty.next(MS(2300), 7, true), Step::Write(_)));
    let Step::Write(write) = elector.next(MS(2250), 7, true) else {
        panic!()
    };
    assert_eq!(write.term, 8);
}

#[test]
fn who_made_the_lease_waits_like_all_others_when_it_is_deleted_under_him() {
    let mut elector = Elector::new("n-0".to_owned());
    elector.looked(None, MS(0));
    elector.looked(None, MS(900));
    elector.looked(None, MS(1800));
    assert_eq!(take(&mut elector, MS(2000)).over, None);
    // It cannot renew, and another has taken over in the next term before the Lease was deleted: that one leads yet.
    let Step::Write(renew) = elector.next(MS(2500), 1, true) else {
        panic!()
    };
    elector.wrote(renew, MS(2500), Outcome::Unknown);
    elector.looked(None, MS(6000));
    assert_eq!(elector.next(MS(6000), 1, true), Step::Wait(LOOK));
    elector.looked(None, MS(7900));
    assert_eq!(
        elector.next(MS(8149), 1, true),
        Step::Wait(MS(1)),
        "nobody knows what was between the looks"
    );
    for at in [8150, 9000, 9899] {
        elector.looked(None, MS(at));
    }
    let Step::Write(write) = elector.next(MS(9900), 2, true) else {
        panic!()
    };
    assert_eq!((write.over, write.term), (None, 3));
}

/// Something that happens to nodes that share a Lease.
#[derive(Clone, Debug)]
enum Event {
    /// Time passes, for a node that does nothing meanwhile as for all.
    Passes(u64),
    /// A node goes on: it asks, if it waits for nothing. It hears a majority or does not.
    Acts(usize, bool),
    /// What it asked arrives at the API server.
    Arrives(usize),
    /// The answer arrives.
    Answered(usize),
    /// It waits no longer for an answer; what it asked may arrive yet.
    GivesUp(usize),
    /// Something that nobody waits for arrives.
    Late(usize),
    /// A node is killed and started.
    Restarts(usize),
    /// A node gives back what it holds.
    Resigns(usize),
    /// Somebody deletes the Lease; not twice within a moment.
    Deleted,
}

enum Underway {
    Asked(Step, Duration),
    Looked(Option<Record>, Duration),
    Wrote(Write, Duration, Outcome),
}

struct Node {
    elector: Elector,
    name: String,
    offset: Duration,
    percent: u32,
    underway: Option<Underway>,
}

struct World {
    now: Duration,
    lease: Option<Record>,
    versions: u64,
    nodes: Vec<Node>,
    late: Vec<Write>,
    led: BTreeMap<u64, usize>,
    made: Duration,
    deleted: bool,
}

impl World {
    fn new(percents: &[u32]) -> Self {
        let node = |(index, percent): (usize, &u32)| Node {
            elector: Elector::new(format!("n-{index}")),
            name: format!("n-{index}"),
            offset: Duration::from_secs(1000 * index as u64),
            percent: *percent,
            underway: None,
        };
        Self {
            now: Duration::ZERO,
            lease: None,
            versions: 0,
            nodes: percents.iter().enumerate().map(node).collect(),
            late: Vec::new(),
            led: BTreeMap::new(),
            made: Duration::ZERO,
            deleted: false,
        }
    }

    fn clock(&self, node: usize) -> Duration {
        self.nodes[node].offset + self.now * self.nodes[node].percent / 100
    }

    fn write(&mut self, write: &Write) -> Outcome {
        if self.lease.as_ref().map(|lease| &lease.version) != write.over.as_ref() {
            return Outcome::Conflict;
        }
        self.versions += 1;
        let holder = write.holder.clone().unwrap_or_default();
        if self.lease.is_none() {
            self.made = self.now;
        }
        self.lease = Some(record(&holder, write.term, self.versions));
        Outcome::Written(self.versions.to_string())
    }

    fn happens(&mut self, event: &Event) {
        match *event {
            Event::Passes(millis) => self.now += MS(millis),
            Event::Acts(node, majority) => {
                let now = self.clock(node);
                // The Lease knows the term; where it was deleted, the nodes have told one another.
                let highest = self.led.last_key_value().map_or(0, |(term, _)| *term);
                let known = if self.deleted { highest } else { 0 };
                let node = &mut self.nodes[node];
                if node.underway.is_none() {
                    let step = node.elector.next(now, known, majority);
                    node.underway = (!matches!(step, Step::Wait(_))).then_some(Underway::Asked(step, now));
                }
            }
            Event::Arrives(node) => match self.nodes[node].underway.take() {
                Some(Underway::Asked(Step::Look, sent)) => {
                    self.nodes[node].underway = Some(Underway::Looked(self.lease.clone(), sent));
                }
                Some(Underway::Asked(Step::Write(write), sent)) => {
                    let outcome = self.write(&write);
                    self.nodes[node].underway = Some(Underway::Wrote(write, sent, outcome));
                }
                other => self.nodes[node].underway = other,
            },
            Event::Answered(node) => {
                let now = self.clock(node);
                let node = &mut self.nodes[node];
                match node.underway.take() {
                    // An answer that is late is none.
                    Some(Underway::Looked(record, sent)) if now <= sent + MS(700) => node.elector.looked(record, now),
                    Some(Underway::Looked(..)) => {}
                    Some(Underway::Wrote(write, sent, outcome)) => node.elector.wrote(write, sent, outcome),
                    other => node.underway = other,
                }
            }
            Event::GivesUp(node) => {
                let node = &mut self.nodes[node];
                match node.underway.take() {
                    Some(Underway::Asked(Step::Write(write), sent)) => {
                        self.late.push(write.clone());
                        node.elector.wrote(write, sent, Outcome::Unknown);
                    }
                    Some(Underway::Wrote(write, sent, _)) => node.elector.wrote(write, sent, Outcome::Unknown),
                    _ => {}
                }
            }
            Event::Late(index) => {
                if !self.late.is_empty() {
                    let write = self.late.remove(index % self.late.len());
                    self.write(&write);
                }
            }
            Event::Restarts(node) => {
                let node = &mut self.nodes[node];
                if let Some(Underway::Asked(Step::Write(write), _)) = node.underway.take() {
                    self.late.push(write);
                }
                node.elector = Elector::new(node.name.clone());
            }
            Event::Resigns(node) => {
                if let Some(write) = self.nodes[node].elector.resign() {
                    self.nodes[node].underway = None;
                    self.late.push(write);
                }
            }
            Event::Deleted if self.now >= self.made + LEASE * 2 => {
                self.deleted |= self.lease.is_some();
                self.lease = None;
            }
            Event::Deleted => {}
        }
    }

    /// Nobody assigns together with another, or in a term that is over, or in the term of another.
    fn check(&mut self) {
        let leading: Vec<_> = (0..self.nodes.len())
            .filter_map(|node| Some((node, self.nodes[node].elector.leads(self.clock(node))?)))
            .collect();
        assert!(leading.len() < 2, "at {:?} these assign: {leading:?}", self.now);
        if let Some((node, term)) = leading.first() {
            assert_eq!(self.led.entry(*term).or_insert(*node), node);
            assert_eq!(self.led.last_key_value().map(|(term, _)| term), Some(term));
        }
    }
}

fn event() -> impl Strategy<Value = Event> {
    let node = 0..3_usize;
    prop_oneof![
        4 => (1..400_u64).prop_map(Event::Passes),
        1 => (400..3000_u64).prop_map(Event::Passes),
        8 => (node.clone(), prop::bool::weighted(0.9)).prop_map(|(node, majority)| Event::Acts(node, majority)),
        8 => node.clone().prop_map(Event::Arrives),
        8 => node.clone().prop_map(Event::Answered),
        1 => node.clone().prop_map(Event::GivesUp),
        1 => node.clone().prop_map(Event::Late),
        1 => node.clone().prop_map(Event::Restarts),
        1 => node.prop_map(Event::Resigns),
        1 => Just(Event::Deleted),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn two_never_assign_at_a_time_whatever_is_delayed_lost_or_paused(
        percents in prop::collection::vec(92..=108_u32, 3),
        events in prop::collection::vec(event(), 0..300),
    ) {
        let mut world = World::new(&percents);
        for event in &events {
            world.happens(event);
            world.check();
        }
    }
}

#[test]
fn while_all_works_somebody_leads_and_when_it_is_killed_another_does_within_three_seconds() {
    let mut world = World::new(&[100, 100, 100]);
    let mut dead = None;
    let mut without = Duration::ZERO;
    for round in 0..1000 {
        world.happens(&Event::Passes(10));
        for node in (0..3).filter(|node| Some(*node) != dead) {
            for event in [Event::Acts(node, true), Event::Arrives(node), Event::Answered(node)] {
                world.happens(&event);
            }
        }
        world.check();
        let leading = (0..3).find(|node| world.nodes[*node].elector.leads(world.clock(*node)).is_some());
        if round == 400 {
            assert_eq!(dead, None);
            dead = leading;
        }
        without = match leading {
            Some(node) if Some(node) != dead => Duration::ZERO,
            _ => without + MS(10),
        };
        assert!(without < Duration::from_secs(3));
    }
    assert_eq!((without, world.led.len()), (Duration::ZERO, 2));
}
