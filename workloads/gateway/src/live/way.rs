//! How far a write has come. Pure.

use std::collections::BTreeMap;

use serde::Serialize;
use synccluster_protocol::{Site, Version};

use super::hops::Times;
use crate::{kubernetes::resource::Partition, rows::row::rfc3339};

/// What a site has of a row now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Has {
    /// It cannot be asked; why.
    Unreachable(String),
    /// Neither a row nor a tombstone.
    Nothing,
    /// A row or a tombstone of this version, and when that was committed there, in microseconds since the Unix epoch, if Postgres knows.
    Version(Version, Option<i64>),
}

/// A step of a write's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Committed at the site that made it.
    Local,
    /// Read from that site's WAL.
    Captured,
    /// In that site's topic.
    InKafka,
    /// Committed at another site.
    Applied,
}

/// How it stands with a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is behind us.
    Done,
    /// Not yet.
    Pending,
    /// Nobody can tell.
    Unknown,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Hop {
    /// Which.
    pub hop: Step,
    /// Where; for `captured` and `in_kafka` the site whose topic it is.
    #[schema(value_type = String, example = "client-1")]
    pub site: Site,
    /// Whether it is done.
    pub state: State,
    /// When it was done, if that is known.
    #[schema(format = DateTime)]
    pub at: Option<String>,
    /// Of a pending step: `cut` while its own link is cut, `waiting` otherwise, nothing where no SyncCluster tells. Of others what more there
    /// is to say, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "cut")]
    pub detail: Option<String>,
}

/// The whole way of one write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Way {
    /// The version the write made.
    #[schema(example = "1790000000000000000")]
    pub version: String,
    /// Whether every step is done.
    pub settled: bool,
    /// In order.
    pub hops: Vec<Hop>,
}

/// The newest version of a row anywhere: the write that will win, or has.
pub fn newest(sites: &BTreeMap<Site, Has>) -> Option<Version> {
    let version = |has: &Has| match has {
        Has::Version(version, _) => Some(*version),
        _ => None,
    };
    sites.values().filter_map(version).max()
}

/// The way of the write that made `version`, from what every site has now and what was seen of the write. `listening` is since when the
/// topics have been read: what is not known of an older write may have happened before. `partition` says who is cut, if that is known.
pub fn way(
    version: Version,
    sites: &BTreeMap<Site, Has>,
    seen: Option<&Times>,
    listening: Option<i64>,
    partition: Option<&Partition>,
) -> Way {
    // A site that has been removed may still have rows at the others.
    let home = Site::from_node(version.node()).unwrap_or(Site::Server);
    let nowhere = Times::default();
    let seen = seen.unwrap_or(&nowhere);
    let applied: Vec<Hop> = sites
        .iter()
        .filter(|(site, _)| **site != home)
        .map(|(site, has)| applied(version, *site, has, seen.at(*site)))
        .collect();
    let elsewhere = applied
        .iter()
        .any(|hop| hop.state == State::Done && hop.detail.is_none());
    let on_the_way = |hop, at: Option<i64>, later: bool| Hop {
        hop,
        site: home,
        state: match at {
            Some(_) => State::Done,
            // What comes after it was seen, so it was, too.
            None if later || elsewhere => State::Done,
            None if listening.is_some_and(|since| version.micros() >= since) => State::Pending,
            None => State::Unknown,
        },
        at: at.map(rfc3339),
        detail: None,
    };
    let committed = match sites.get(&home) {
        Some(Has::Version(there, at)) if *there == version => *at,
        _ => None,
    };
    let local = Hop {
        hop: Step::Local,
        site: home,
        state: State::Done,
        at: seen.at(home).or(committed).map(rfc3339),
        detail: None,
    };
    let captured = on_the_way(Step::Captured, seen.captured, seen.in_kafka.is_some());
    let in_kafka = on_the_way(Step::InKafka, seen.in_kafka, false);
    let mut hops: Vec<Hop> = [local, captured, in_kafka].into_iter().chain(applied).collect();
    if let Some(partition) = partition {
        for hop in hops.iter_mut().filter(|hop| hop.state == State::Pending) {
            let why = if is_cut(hop, home, partition) { "cut" } else { "waiting" };
            hop.detail = Some(why.to_owned());
        }
    }
    Way {
        version: version.to_string(),
        settled: hops.iter().all(|hop| hop.state == State::Done),
        hops,
    }
}

/// Whether the link is cut that a step goes over. What one client writes comes to another through the server's topic.
fn is_cut(hop: &Hop, home: Site, partition: &Partition) -> bool {
    match hop.hop {
        Step::Local => false,
        Step::Captured | Step::InKafka => partition.cuts_uplink(home),
        Step::Applied => {
            let through_server = home != Site::Server && hop.site != Site::Server;
            partition.cuts_downlink(hop.site) || (through_server && partition.cuts_uplink(Site::Server))
        }
    }
}

fn applied(version: Version, site: Site, has: &Has, seen: Option<i64>) -> Hop {
    let (state, at, detail) = match has {
        Has::Version(there, at) if *there == version => (State::Done, seen.or(*at), None),
        Has::Version(newer, _) if *newer > version => {
            let detail = seen.is_none().then(|| format!("a newer write is there: {newer}"));
            (State::Done, seen, detail)
        }
        Has::Unreachable(why) if seen.is_none() => (State::Unknown, None, Some(why.clone())),
        // It was there and is not any more: a restored backup, or a row that makes way for another one for a moment.
        Has::Unreachable(_) => (State::Done, seen, None),
        Has::Version(..) | Has::Nothing => (State::Pending, None, None),
    };
    Hop {
        hop: Step::Applied,
        site,
        state,
        at: at.map(rfc3339),
        detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::resource::Link;
    use State::{Done, Pending, Unknown};

    const ONE: Site = Site::Client(1);
    const TWO: Site = Site::Client(2);
    const OLD: i64 = 100;
    const NEW: i64 = 300;

    /// A write of client-1 at second 200 of the epoch.
    fn version() -> Version {
        Version::new(200, 1)
    }

    fn has(micros: i64) -> Has {
        Has::Version(Version::new(micros, 1), Some(micros + 1))
    }

    fn away() -> Has {
        Has::Unreachable("no route".into())
    }

    fn states(server: Has, one: Has, two: Has, seen: Option<&Times>, listening: Option<i64>) -> ([State; 5], bool) {
        let sites = [(Site::Server, server), (ONE, one), (TWO, two)].into();
        let way = way(version(), &sites, seen, listening, None);
        let order: Vec<_> = way.hops.iter().map(|hop| (hop.hop, hop.site)).collect();
        let expected = [
            (Step::Local, ONE),
            (Step::Captured, ONE),
            (Step::InKafka, ONE),
            (Step::Applied, Site::Server),
            (Step::Applied, TWO),
        ];
        assert_eq!(order, expected);
        let states: Vec<State> = way.hops.iter().map(|hop| hop.state).collect();
        (states.try_into().unwrap(), way.settled)
    }

    #[test]
    fn a_step_is_done_pending_or_unknown() {
        let in_kafka = Times {
            in_kafka: Some(1),
            ..Times::default()
        };
        let captured = Times {
            captured: Some(1),
            ..Times::default()
        };
        let applied = Times {
            at: vec![(TWO, 1)],
            ..Times::default()
        };
        let all = Some(0);
        let nothing: Option<&Times> = None;
        #[rustfmt::skip]
        let cases = [
            ("everywhere, long ago", has(200), has(200), has(200), nothing, None, [Done; 5]),
            ("just written", Has::Nothing, has(200), Has::Nothing, None, all, [Done, Pending, Pending, Pending, Pending]),
            ("written before anybody listened", has(OLD), has(200), has(OLD), None, Some(250), [Done, Unknown, Unknown, Pending, Pending]),
            ("nobody listens", has(OLD), has(200), has(OLD), None, None, [Done, Unknown, Unknown, Pending, Pending]),
            ("read, not yet sent", Has::Nothing, has(200), Has::Nothing, Some(&captured), all, [Done, Done, Pending, Pending, Pending]),
            ("in Kafka", Has::Nothing, has(200), Has::Nothing, Some(&in_kafka), all, [Done, Done, Done, Pending, Pending]),
            ("at the server", has(200), has(200), has(OLD), None, all, [Done, Done, Done, Done, Pending]),
            ("replaced at the server", has(NEW), has(200), has(OLD), None, all, [Done, Pending, Pending, Done, Pending]),
            ("replaced everywhere", has(NEW), has(NEW), has(NEW), Some(&in_kafka), all, [Done; 5]),
            ("client-2 cannot be asked", has(200), has(200), away(), None, all, [Done, Done, Done, Done, Unknown]),
            ("client-2 was seen and is away", has(200), has(200), away(), Some(&applied), all, [Done; 5]),
            ("its own site is away", has(200), away(), has(200), None, all, [Done; 5]),
        ];
        for (what, server, one, two, seen, listening, expected) in cases {
            let (states, settled) = states(server, one, two, seen, listening);
            assert_eq!(states, expected, "{what}");
            assert_eq!(settled, expected == [Done; 5], "{what}");
        }
    }

    #[test]
    fn a_write_of_the_server_goes_to_every_client() {
        let version = Version::new(200, 0);
        let there = Has::Version(version, Some(7));
        let sites = [(Site::Server, there.clone()), (ONE, there), (TWO, Has::Nothing)].into();
        let way = way(version, &sites, None, None, None);
        let applied: Vec<_> = way.hops[3..].iter().map(|hop| (hop.site, hop.state)).collect();
        assert_eq!(applied, [(ONE, Done), (TWO, Pending)]);
        assert!(!way.settled);
    }

    #[test]
    fn a_step_whose_link_is_cut_is_told_from_one_that_waits() {
        let details = |home: Site, partition: &Partition| {
            let version = Version::new(200, home.node());
            let sites = [Site::Server, ONE, TWO].map(|site| {
                let there = site == home;
                (
                    site,
                    if there {
                        Has::Version(version, None)
                    } else {
                        Has::Nothing
                    },
                )
            });
            let way = way(version, &sites.into(), None, Some(0), Some(partition));
            let detail = |hop: &Hop| hop.detail.clone().unwrap_or_default();
            way.hops.iter().map(detail).collect::<Vec<_>>().join(" ")
        };
        let cut = |clients: &[u16], server: bool, link: Link| Partition {
            clients: clients.to_vec(),
            server,
            link,
            ..Partition::default()
        };
        // Of client-1: local, captured, in Kafka, applied at the server, applied at client-2.
        for (partition, expected) in [
            (Partition::default(), " waiting waiting waiting waiting"),
            (cut(&[1], false, Link::Both), " cut cut waiting waiting"),
            (cut(&[1], false, Link::Downlink), " waiting waiting waiting waiting"),
            (cut(&[2], false, Link::Both), " waiting waiting waiting cut"),
            (cut(&[1, 2], false, Link::Uplink), " cut cut waiting waiting"),
            (cut(&[], true, Link::Downlink), " waiting waiting cut waiting"),
            (cut(&[], true, Link::Uplink), " waiting waiting waiting cut"),
            (cut(&[], true, Link::Both), " waiting waiting cut cut"),
        ] {
            assert_eq!(details(ONE, &partition), expected, "{partition:?}");
        }
        // Of the server: its own topic is where clients read.
        let by_server = details(Site::Server, &cut(&[2], true, Link::Uplink));
        assert_eq!(by_server, " cut cut waiting waiting");
    }

    #[test]
    fn what_is_not_pending_says_nothing_of_cuts() {
        let sites = [(Site::Server, has(200)), (ONE, has(200)), (TWO, away())].into();
        let partition = Partition {
            clients: vec![1, 2],
            ..Partition::default()
        };
        let way = way(version(), &sites, None, Some(0), Some(&partition));
        let details: Vec<_> = way.hops.iter().map(|hop| hop.detail.as_deref()).collect();
        assert_eq!(details, [None, None, None, None, Some("no route")]);
    }

    #[test]
    fn what_was_seen_is_more_exact_than_what_is_found() {
        let seen = Times {
            at: vec![(ONE, 5), (TWO, 6)],
            ..Times::default()
        };
        let sites = [(ONE, has(200)), (TWO, has(NEW))].into();
        let way = way(version(), &sites, Some(&seen), None, None);
        let at = |place: usize| way.hops[place].at.clone();
        assert_eq!((at(0), at(3)), (Some(rfc3339(5)), Some(rfc3339(6))));
        assert_eq!(way.hops[3].detail, None);
    }

    #[test]
    fn the_newest_write_is_the_one_that_is_followed() {
        let sites = [(Site::Server, has(OLD)), (ONE, has(NEW)), (TWO, away())].into();
        assert_eq!(newest(&sites), Some(Version::new(NEW, 1)));
        assert_eq!(newest(&[(ONE, Has::Nothing)].into()), None);
    }
}
