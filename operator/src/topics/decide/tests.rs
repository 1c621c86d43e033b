use super::*;

const NOW: Millis = 1_800_000_000_000;
const HOUR: u64 = 3600;

fn settings(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn wanted(text: &str) -> Wanted {
    let settings = settings(text);
    Wanted {
        purpose: Purpose::Site(Site::Server),
        name: "demo.server".to_owned(),
        retention: settings
            .get("retention.ms")
            .map(|ms| Duration::from_millis(ms.parse().unwrap())),
        settings,
        replication: 1,
        force: false,
        generation: 7,
    }
}

/// A topic with these settings of its own, at brokers with Kafka's defaults.
fn seen(text: &str) -> Seen {
    let own = settings(text);
    let mut effective =
        settings("cleanup.policy=delete retention.ms=604800000 delete.retention.ms=86400000 segment.ms=604800000");
    effective.extend(own.clone());
    Seen {
        partitions: 1,
        replication: 1,
        own,
        effective,
    }
}

fn at(offset: i64) -> Vec<Reader> {
    vec![
        Reader {
            who: Who::Site(Site::Client(1)),
            offset: Some(100),
            cut_since: None,
        },
        Reader {
            who: Who::Site(Site::Client(2)),
            offset: Some(offset),
            cut_since: None,
        },
    ]
}

fn behind_since(seconds: u64) -> Backlog {
    Backlog {
        end: 100,
        oldest: Some(NOW - i64::try_from(seconds * 1000).unwrap()),
    }
}

const COMPACT: &str = "cleanup.policy=compact";
const AN_HOUR: &str = "cleanup.policy=compact,delete retention.ms=3600000";
const A_DAY: &str = "cleanup.policy=compact,delete retention.ms=86400000";

fn refusal(step: &Step) -> &str {
    match step {
        Step::Refuse(why) => why,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn what_is_missing_is_made_and_what_is_so_is_left_alone() {
    assert_eq!(decide(&wanted(COMPACT), None, &at(0), None, NOW), Step::Create);
    assert_eq!(
        decide(&wanted(AN_HOUR), Some(&seen(AN_HOUR)), &at(0), None, NOW),
        Step::Nothing
    );
}

#[test]
fn drift_is_set_back_and_settings_of_others_are_kept() {
    let drifted = seen("cleanup.policy=compact segment.ms=1000 min.insync.replicas=2");
    let Step::Alter { own, change } = decide(&wanted(COMPACT), Some(&drifted), &at(0), None, NOW) else {
        panic!()
    };
    assert_eq!(own, settings("cleanup.policy=compact min.insync.replicas=2"));
    assert_eq!(change, "segment.ms from 1000 to the brokers' default");
}

#[test]
fn forgetting_sooner_waits_until_it_is_known_what_a_site_has_still_to_read() {
    for (from, to) in [
        (COMPACT, A_DAY),
        (A_DAY, AN_HOUR),
        (COMPACT, "cleanup.policy=delete retention.ms=60000"),
    ] {
        assert_eq!(
            decide(&wanted(to), Some(&seen(from)), &at(40), None, NOW),
            Step::Measure(40),
            "{from} to {to}"
        );
    }
    // For ever, as retention.ms has it.
    let ever = seen("cleanup.policy=delete retention.ms=-1");
    assert_eq!(
        decide(&wanted(A_DAY), Some(&ever), &at(40), None, NOW),
        Step::Measure(40)
    );
}

#[test]
fn a_client_that_is_behind_by_more_than_half_the_retention_is_protected() {
    let step = decide(
        &wanted(AN_HOUR),
        Some(&seen(A_DAY)),
        &at(40),
        Some(behind_since(HOUR / 2 + 1)),
        NOW,
    );
    let why = refusal(&step);
    for part in [
        "demo.server is left as it is",
        "client-2",
        "60 records",
        "31m old",
        "a retention of 61m or more",
        "synccluster.dev/force-topics: \"7\"",
    ] {
        assert!(why.contains(part), "{part}: {why}");
    }
    let step = decide(
        &wanted(AN_HOUR),
        Some(&seen(A_DAY)),
        &at(40),
        Some(behind_since(HOUR / 2)),
        NOW,
    );
    assert!(matches!(step, Step::Alter { .. }), "{step:?}");
}

#[test]
fn who_is_not_behind_loses_nothing() {
    for (offset, backlog) in [
        (100, Some(behind_since(9 * HOUR))),
        (40, Some(Backlog { end: 100, oldest: None })),
    ] {
        let step = decide(&wanted(AN_HOUR), Some(&seen(COMPACT)), &at(offset), backlog, NOW);
        assert!(matches!(step, Step::Alter { .. }), "{step:?}");
    }
    assert!(
        matches!(
            decide(&wanted(AN_HOUR), Some(&seen(COMPACT)), &[], None, NOW),
            Step::Alter { .. }
        ),
        "nobody reads it"
    );
}

#[test]
fn a_client_that_is_cut_is_protected_before_it_is_behind() {
    let cut = |seconds: i64| {
        let mut readers = at(100);
        readers[1].cut_since = Some(NOW - seconds * 1000);
        readers
    };
    let half = i64::try_from(HOUR / 2).unwrap();
    let step = decide(&wanted(AN_HOUR), Some(&seen(A_DAY)), &cut(half + 1), None, NOW);
    let why = refusal(&step);
    for part in [
        "client-2 has not reached Kafka for 31m",
        "a retention of 61m or more",
        "force-topics",
    ] {
        assert!(why.contains(part), "{part}: {why}");
    }
    let step = decide(&wanted(AN_HOUR), Some(&seen(A_DAY)), &cut(half), None, NOW);
    assert_eq!(step, Step::Measure(100));
}

#[test]
fn a_site_that_cannot_be_asked_may_be_behind() {
    for (who, said) in [
        (Who::Site(Site::Client(3)), "how far client-3 has read"),
        (Who::Analytics, "how far ClickHouse has read"),
    ] {
        let reader = Reader {
            who,
            offset: None,
            cut_since: None,
        };
        let step = decide(&wanted(AN_HOUR), Some(&seen(A_DAY)), &[reader], None, NOW);
        assert!(refusal(&step).contains(said), "{step:?}");
    }
}

#[test]
fn what_is_forced_and_what_forgets_later_is_done_at_once() {
    let forced = Wanted {
        force: true,
        ..wanted(AN_HOUR)
    };
    let later = wanted(A_DAY);
    for (wanted, from) in [(&forced, A_DAY), (&later, AN_HOUR), (&wanted(COMPACT), AN_HOUR)] {
        let step = decide(wanted, Some(&seen(from)), &at(0), None, NOW);
        assert!(matches!(step, Step::Alter { .. }), "{wanted:?} {step:?}");
    }
}

#[test]
fn what_cannot_be_changed_is_said_with_what_to_do() {
    let several = Seen {
        partitions: 3,
        ..seen(COMPACT)
    };
    let elsewhere = Seen {
        replication: 3,
        ..seen(COMPACT)
    };
    for (seen, expected) in [(several, "3 partitions"), (elsewhere, "kafka-reassign-partitions.sh")] {
        match decide(&wanted(COMPACT), Some(&seen), &at(0), None, NOW) {
            Step::Impossible(why) => assert!(why.contains(expected), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}
