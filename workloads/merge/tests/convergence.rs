//! One server, three clients, skewed clocks, random writes and delivery: whatever happens, the sites end equal.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use synccluster_merge::{Action, Incoming, Kind, Local, Unseen, current, decide};
use synccluster_protocol::{Site, Version};

const CLIENTS: u16 = 3;
const KEYS: u8 = 4;

#[derive(Clone, Copy, Debug)]
struct Event {
    key: u8,
    value: u32,
    incoming: Incoming,
}

fn site_of(node: u16) -> Site {
    if node == 0 { Site::Server } else { Site::Client(node) }
}

#[derive(Default)]
struct Database {
    rows: BTreeMap<u8, (Version, u32)>,
    tombstones: BTreeMap<u8, Version>,
    skew: i64,
}

impl Database {
    fn local(&self, key: u8) -> Local {
        Local {
            row: self.rows.get(&key).map(|row| row.0),
            tombstone: self.tombstones.get(&key).copied(),
            parent: None,
        }
    }
}

/// One step of a history.
#[derive(Clone, Copy, Debug)]
enum Step {
    Write {
        site: u16,
        key: u8,
        value: u32,
    },
    Delete {
        site: u16,
        key: u8,
    },
    Uplink {
        client: u16,
    },
    Downlink {
        client: u16,
    },
    /// The connector starts again and sends its last event twice.
    Resend {
        client: u16,
    },
    /// The client's volume is lost, with what was not sent, and it begins with an empty database.
    Lose {
        client: u16,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..KEYS;
    prop_oneof![
        40 => (0..=CLIENTS, key.clone(), any::<u32>()).prop_map(|(site, key, value)| Step::Write { site, key, value }),
        10 => (0..=CLIENTS, key).prop_map(|(site, key)| Step::Delete { site, key }),
        30 => (1..=CLIENTS).prop_map(|client| Step::Uplink { client }),
        30 => (1..=CLIENTS).prop_map(|client| Step::Downlink { client }),
        10 => (1..=CLIENTS).prop_map(|client| Step::Resend { client }),
        1 => (1..=CLIENTS).prop_map(|client| Step::Lose { client }),
    ]
}

#[derive(Default)]
struct World {
    now: i64,
    sites: Vec<Database>,
    up: Vec<VecDeque<Event>>,
    sent: Vec<Option<Event>>,
    log: Vec<Event>,
    read: Vec<usize>,
    /// What each write replaced.
    parents: BTreeMap<Version, Version>,
    /// What each client does not know of what it wrote.
    unseen: Vec<Unseen>,
}

impl World {
    fn new(skews: &[i64]) -> Self {
        let n = usize::from(CLIENTS) + 1;
        let sites = skews
            .iter()
            .map(|&skew| Database {
                skew,
                ..Database::default()
            })
            .collect();
        Self {
            now: 1000,
            sites,
            up: vec![VecDeque::new(); n],
            sent: vec![None; n],
            log: Vec::new(),
            read: vec![0; n],
            unseen: vec![Unseen::Nothing; n],
            parents: BTreeMap::new(),
        }
    }

    fn clock(&self, site: u16) -> i64 {
        self.now + self.sites[usize::from(site)].skew
    }

    fn emit(&mut self, site: u16, event: Event) {
        if site == 0 {
            self.log.push(event);
        } else {
            self.up[usize::from(site)].push_back(event);
        }
    }

    /// What the triggers do.
    fn write(&mut self, site: u16, key: u8, value: Option<u32>) {
        let clock = self.clock(site);
        let database = &mut self.sites[usize::from(site)];
        let replaced = database.rows.get(&key).map(|row| row.0);
        let parent = replaced.or(database.tombstones.get(&key).copied());
        let version = Version::next(clock, site, parent);
        self.parents.extend(parent.map(|parent| (version, parent)));
        let kind = match value {
            Some(value) => {
                database.rows.insert(key, (version, value));
                Kind::Row
            }
            None if replaced.is_none() => return,
            None => {
                database.rows.remove(&key);
                database.tombstones.insert(key, version);
                Kind::Tombstone
            }
        };
        let incoming = Incoming {
            kind,
            version,
            parent,
            resent: false,
            unseen: Unseen::Nothing,
        };
        self.emit(
            site,
            Event {
                key,
                value: value.unwrap_or_default(),
                incoming,
            },
        );
    }

    /// What a sink does; it waits while a version is ahead of its clock, so time passes first.
    fn apply(&mut self, site: u16, event: Event) {
        self.now = self
            .now
            .max(event.incoming.version.micros() - self.sites[usize::from(site)].skew);
        let clock = self.clock(site);
        let database = &mut self.sites[usize::from(site)];
        let mut local = database.local(event.key);
        local.parent = current(local).and_then(|(version, _)| self.parents.get(&version).copied());
        let applied = match decide(site_of(site), local, event.incoming, clock).action {
            Action::Keep => return,
            Action::Apply => event,
            Action::Rebury(version) => {
                let incoming = Incoming {
                    kind: Kind::Tombstone,
                    version,
                    parent: None,
                    resent: false,
                    unseen: Unseen::Nothing,
                };
                Event { incoming, ..event }
            }
        };
        match applied.incoming.kind {
            Kind::Row => drop(
                database
                    .rows
                    .insert(event.key, (applied.incoming.version, applied.value)),
            ),
            Kind::Tombstone => {
                database.rows.remove(&event.key);
                database.tombstones.insert(event.key, applied.incoming.version);
            }
        }
        if site == 0 {
            self.log.push(applied);
        }
    }

    fn take(&mut self, step: Step) {
        self.now += 1;
        match step {
            Step::Write { site, key, value } => self.write(site, key, Some(value)),
            Step::Delete { site, key } => self.write(site, key, None),
            Step::Uplink { client } => {
                if let Some(mut event) = self.up[usize::from(client)].pop_front() {
                    event.incoming.unseen = self.unseen[usize::from(client)];
                    self.sent[usize::from(client)] = Some(event);
                    self.apply(0, event);
                }
            }
            Step::Downlink { client } => {
                let place = self.read[usize::from(client)];
                if let Some(&event) = self.log.get(place) {
                    self.read[usize::from(client)] += 1;
                    self.apply(client, event);
                }
            }
            Step::Resend { client } => {
                if let Some(event) = self.sent[usize::from(client)] {
                    self.apply(
                        0,
                        Event {
                            incoming: Incoming {
                                resent: true,
                                ..event.incoming
                            },
                            ..event
                        },
                    );
                }
            }
            Step::Lose { client } => self.lose(client),
        }
    }

    fn lose(&mut self, client: u16) {
        // No database begins at the microsecond of a write of another, and no version here is further ahead of the time.
        self.now += 1000;
        let server = &self.sites[0];
        let versions = server
            .rows
            .values()
            .map(|row| row.0)
            .chain(server.tombstones.values().copied());
        let newest = versions.filter(|version| version.node() == client).max();
        let client = usize::from(client);
        self.unseen[client] = newest.map_or(Unseen::Nothing, Unseen::UpTo);
        self.sites[client] = Database {
            skew: self.sites[client].skew,
            ..Database::default()
        };
        self.up[client].clear();
        (self.sent[client], self.read[client]) = (None, 0);
    }

    fn drain(&mut self) {
        for client in 1..=CLIENTS {
            while !self.up[usize::from(client)].is_empty() {
                self.take(Step::Uplink { client });
            }
        }
        for client in 1..=CLIENTS {
            while self.read[usize::from(client)] < self.log.len() {
                self.take(Step::Downlink { client });
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_history_ends_with_equal_sites(
        skews in prop::collection::vec(-30i64..30, usize::from(CLIENTS) + 1),
        steps in prop::collection::vec(step(), 0..300),
    ) {
        let mut world = World::new(&skews);
        for step in steps {
            world.take(step);
        }
        world.drain();
        for client in &world.sites[1..] {
            prop_assert_eq!(&client.rows, &world.sites[0].rows);
        }
    }
}
