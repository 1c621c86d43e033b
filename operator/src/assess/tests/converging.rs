//! Converged, and how long a heal took.

use serde_json::json;
use synccluster_protocol::Lsn;
use synccluster_protocol::status::ConnectorPhase;

use super::*;
use crate::fixture::cut;

#[test]
fn converged_takes_silence_and_equal_digests() {
    let cases: Vec<(&str, Spoil, &str)> = vec![
        (
            "a change waits for Kafka",
            spoil(|o| connector(o, Site::Server).lag_seconds = 1),
            "False/Draining",
        ),
        (
            "an uplink takes its snapshot",
            spoil(|o| connector(o, Site::Client(1)).phase = ConnectorPhase::Snapshotting),
            "False/Draining",
        ),
        (
            "records wait at a sink",
            spoil(|o| sink(o, Site::Client(1)).sources[0].lag_records = 1),
            "False/Draining",
        ),
        (
            "the server has not seen a topic",
            spoil(|o| {
                sink(o, Site::Server).sources.pop();
            }),
            "False/Draining",
        ),
        (
            "nobody looked for more since the last record",
            spoil(|o| sink(o, Site::Client(1)).sources[0].end_measured_at = Some((NOW - 9) * 1000)),
            "False/Draining",
        ),
        (
            "WAL up to the digest is not confirmed",
            spoil(|o| digest(o, Site::Client(1)).lsn = Lsn(2)),
            "False/Draining",
        ),
        (
            "a change is parked",
            spoil(|o| sink(o, Site::Client(1)).parked = 1),
            "False/Parked",
        ),
        (
            "a digest differs",
            spoil(|o| digest(o, Site::Client(1)).digest = "1".into()),
            "False/DigestsDiffer",
        ),
        (
            "a digest is missing",
            spoil(|o| sink(o, Site::Client(1)).digest = None),
            "False/Comparing",
        ),
        (
            "a digest is from before the drain",
            spoil(|o| digest(o, Site::Client(1)).measured_at = (NOW - 61) * 1000),
            "False/Comparing",
        ),
        (
            "a digest is old",
            spoil(|o| digest(o, Site::Client(1)).measured_at = (NOW - 40) * 1000),
            "Unknown/DigestStale",
        ),
        (
            "a connector is silent",
            spoil(|o| {
                o.connectors.remove(&Site::Client(1));
            }),
            "Unknown/CannotSee",
        ),
        (
            "WAL without changes waits",
            spoil(|o| connector(o, Site::Server).lag_bytes = Some(1 << 20)),
            "True/DigestsEqual",
        ),
    ];
    for (name, spoil, verdict) in cases {
        let mut seen = observed(&valid());
        spoil(&mut seen);
        assert_eq!(said(&settled(&valid(), &seen), "Converged").0, verdict, "{name}");
    }
}

#[test]
fn a_digest_counts_only_if_it_was_measured_after_the_drain() {
    let cluster = valid();
    let first = assess(&cluster, &observed(&cluster), &SyncClusterStatus::default(), now());
    expect(
        &first,
        "Converged",
        "False/Comparing",
        "server,client-1,client-2,client-3",
    );
    expect(
        &assess(&cluster, &digested(observed(&cluster), 6), &first, after(6)),
        "Converged",
        "True/DigestsEqual",
        "",
    );
}

#[test]
fn a_heal_is_timed_from_the_end_of_the_cut_to_equal_digests() {
    let (whole, parted) = (valid(), cut(json!({ "clients": [2] })));
    let during = assess(&parted, &observed(&parted), &SyncClusterStatus::default(), after(-100));
    let mut draining = observed(&whole);
    sink(&mut draining, Site::Server).sources[1].lag_records = 10_000;
    let healing = assess(&whole, &draining, &during, after(-20));
    expect(
        &healing,
        "Converged",
        "False/Draining",
        "10000 records of demo.client-2",
    );
    let healing = assess(&whole, &digested(observed(&whole), -8), &healing, after(-8));
    expect(&healing, "Converged", "False/Comparing", "");
    let healed = assess(&whole, &observed(&whole), &healing, after(-1));
    expect(&healed, "Converged", "True/DigestsEqual", "the last heal took 19 s");
    let convergence = healed.convergence.clone().unwrap();
    assert_eq!((convergence.last_heal_seconds, convergence.healed_at), (Some(19), None));
    let later = assess(&whole, &observed(&whole), &healed, now());
    assert_eq!(
        later.convergence.unwrap().last_heal_seconds,
        Some(19),
        "it is remembered"
    );
}

#[test]
fn a_client_that_was_scaled_away_is_not_waited_for() {
    let cluster = valid();
    let mut seen = observed(&cluster);
    let mut former = seen.sinks[&Site::Server].sources[0].clone();
    (former.topic, former.lag_records) = ("demo.client-9".to_owned(), 5);
    sink(&mut seen, Site::Server).sources.push(former);
    assert!(is(&settled(&cluster, &seen), "Converged", "True"));
}
