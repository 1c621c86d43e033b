//! Tables of cases: a cluster in which all is well, one thing spoilt, one statement expected.

use serde_json::json;
use synccluster_protocol::Lsn;
use synccluster_protocol::status::{ConnectorPhase, Dial, LinkStatus};

use super::*;
use crate::apply::Refused;
use crate::fixture::{NOW, after, blocked, cut, now, observed, valid};
use crate::observe::Problem;
use crate::validate::Migrations;

type Spoil = Box<dyn Fn(&mut Observed)>;

fn spoil(spoil: impl Fn(&mut Observed) + 'static) -> Spoil {
    Box::new(spoil)
}

/// Status and reason of a condition, and its message.
fn said(status: &SyncClusterStatus, type_: &str) -> (String, String) {
    let condition = condition(status, type_).unwrap();
    (format!("{}/{}", condition.status, condition.reason), condition.message.clone())
}

#[track_caller]
fn expect(status: &SyncClusterStatus, type_: &str, verdict: &str, message: &str) {
    let (found, text) = said(status, type_);
    assert!(found == verdict && text.contains(message), "{type_}: {found}: {text}");
}

/// The same, with digests measured a second before `time`.
fn digested(mut observed: Observed, time: i64) -> Observed {
    observed.sinks.values_mut().for_each(|sink| sink.digest.as_mut().unwrap().measured_at = (NOW + time - 1) * 1000);
    observed
}

/// The status after the cluster was the same for a while: digests count that were measured after it was seen drained.
fn settled(cluster: &ValidatedCluster, observed: &Observed) -> SyncClusterStatus {
    let first = assess(cluster, observed, &SyncClusterStatus::default(), after(-60));
    assess(cluster, observed, &first, now())
}

#[test]
fn a_cluster_in_which_all_is_well() {
    let status = settled(&valid(), &observed(&valid()));
    expect(&status, "Ready", "True/Running", "3 clients");
    expect(&status, "Reconciling", "False/Settled", "");
    expect(&status, "Stalled", "False/NoProblem", "");
    expect(&status, "PartitionEnforced", "False/NoPartition", "");
    expect(&status, "Converged", "True/DigestsEqual", "digest 00000000deadbeef over 12 rows");
    expect(&status, "SlotsHealthy", "True/WalKept", "");
    expect(&status, "ClocksAgree", "True/WithinSkew", "");
    assert_eq!((status.clients, status.ready_clients, status.cut.as_deref()), (3, 3, None));
    assert_eq!(status.selector.as_deref(), Some("synccluster.dev/cluster=demo,app.kubernetes.io/component=postgres"));
    let names: Vec<&str> = status.sites.iter().map(|site| site.name.as_str()).collect();
    assert_eq!(names, ["server", "client-1", "client-2", "client-3"]);
    assert_eq!(status.convergence.unwrap().digest.as_deref(), Some("00000000deadbeef"));
}

#[test]
fn what_stands_in_the_way_is_named_with_its_remedy() {
    let problem = |reason| Problem { reason, message: "do this".to_owned() };
    let cases: Vec<(&str, Spoil, &str, &str, &str)> = vec![
        ("a pod is missing", spoil(|o| o.pods.retain(|p| p.site != Some(Site::Client(2)) || p.component != Component::Sink)), "False/Starting", "False", "demo-client-2-sink"),
        ("a pod is of an old template", spoil(|o| o.pods.iter_mut().for_each(|p| p.current = false)), "False/Starting", "False", "demo-kafka"),
        ("a pod goes away", spoil(|o| o.pods[1].terminating = true), "False/Starting", "False", "demo-server"),
        ("Kafka is away", spoil(|o| o.pods[0].ready = false), "False/Starting", "False", "demo-kafka"),
        (
            "a migration fails",
            spoil(move |o| { o.pods[2].problem = Some(problem("MigrationFailed")); o.pods[2].ready = false; }),
            "False/MigrationFailed", "True", "do this",
        ),
        (
            "Kubernetes refuses an object",
            spoil(|o| o.outcome.refused.push(Refused { kind: "Service", name: "demo-server".into(), message: "exceeded quota".into() })),
            "False/ObjectRefused", "True", "Service demo-server was refused: exceeded quota",
        ),
    ];
    for (name, spoil, ready, stalled, message) in cases {
        let mut seen = observed(&valid());
        spoil(&mut seen);
        let status = settled(&valid(), &seen);
        let (found, text) = said(&status, "Ready");
        assert!(found == ready && text.contains(message), "{name}: {found}: {text}");
        assert!(is(&status, "Stalled", stalled), "{name}");
        assert!(is(&status, "Reconciling", if stalled == "True" { "False" } else { "True" }), "{name}");
    }
}

#[test]
fn a_missing_config_map_is_named_and_the_rest_goes_on() {
    let mut cluster = valid();
    cluster.migrations = Migrations::Missing { config_map: "demo-schema".to_owned() };
    let status = settled(&cluster, &observed(&cluster));
    expect(&status, "Stalled", "True/MigrationsNotFound", "ConfigMap demo-schema does not exist in namespace shop: create it");
    assert_eq!(status.ready_clients, 3);
    assert!(is(&status, "Converged", "True"));
}

/// Client 2 is cut for 60 seconds, both its workloads say `link`.
fn partitioned(partition: serde_json::Value, spoil: impl Fn(&mut Observed)) -> SyncClusterStatus {
    let cluster = cut(partition);
    let mut seen = observed(&cluster);
    seen.connectors.get_mut(&Site::Client(2)).unwrap().link = blocked();
    seen.sinks.get_mut(&Site::Client(2)).unwrap().link = blocked();
    spoil(&mut seen);
    settled(&cluster, &seen)
}

fn links(seen: &mut Observed) -> [&mut LinkStatus; 2] {
    [&mut seen.connectors.get_mut(&Site::Client(2)).unwrap().link, &mut seen.sinks.get_mut(&Site::Client(2)).unwrap().link]
}

#[test]
fn a_cut_is_enforced_only_when_everything_shows_it() {
    let client_2 = || json!({ "clients": [2] });
    let status = partitioned(client_2(), |_| {});
    expect(&status, "PartitionEnforced", "True/Verified", "client-2 uplink,client-2 downlink");
    expect(&status, "Converged", "False/Partitioned", "client-2");
    assert_eq!(status.cut.as_deref(), Some("client-2"));
    assert!(status.partition.as_ref().unwrap().enforced_at.is_some());
    let site = &status.sites[2].connectivity;
    assert_eq!((site.desired, site.fresh_dial, site.established), (crate::api::Desired::Cut, crate::api::FreshDial::Blocked, crate::api::Established::Closed));
    assert!(site.evidence.contains("no connection since"), "{}", site.evidence);

    let cases: Vec<(&str, Spoil, &str)> = vec![
        ("the uplink still has a connection", spoil(|o| links(o)[0].established = 1), "False/EstablishedConnections"),
        ("something moved after the last one closed", spoil(|o| links(o)[1].last_moved_at = Some(NOW * 1000)), "False/EstablishedConnections"),
        ("fresh dials get through, long after", spoil(|o| links(o)[1].fresh_dial = Dial::Open), "False/NetworkPolicyNotEnforced"),
        ("nobody probed lately", spoil(|o| links(o)[0].probed_at = Some((NOW - 11) * 1000)), "False/ProbeStale"),
        ("nobody probed at all", spoil(|o| links(o)[0].probed_at = None), "False/ProbeStale"),
        ("the dial is refused: Kafka is down", spoil(|o| links(o)[0].fresh_dial = Dial::Refused), "Unknown/KafkaAway"),
        ("it is not known since when nothing is open", spoil(|o| links(o)[0].closed_since = None), "False/Enforcing"),
        ("the sink does not answer", spoil(|o| { o.sinks.remove(&Site::Client(2)); }), "Unknown/CannotSee"),
        (
            "nobody reaches Kafka",
            spoil(|o| {
                o.kafka = Dial::Blocked;
                o.connectors.values_mut().for_each(|c| c.link.fresh_dial = Dial::Blocked);
                o.sinks.values_mut().for_each(|s| s.link.fresh_dial = Dial::Blocked);
            }),
            "Unknown/NoPositiveControl",
        ),
        ("only the operator does not reach Kafka", spoil(|o| o.kafka = Dial::Blocked), "True/Verified"),
    ];
    for (name, spoil, verdict) in cases {
        let status = partitioned(client_2(), spoil);
        assert_eq!(said(&status, "PartitionEnforced").0, verdict, "{name}");
    }
}

#[test]
fn only_the_way_that_is_cut_counts() {
    for (link, open) in [("Uplink", 1), ("Downlink", 0)] {
        let status = partitioned(json!({ "clients": [2], "link": link }), |seen| {
            let way = &mut *links(seen)[open];
            *way = LinkStatus { fresh_dial: Dial::Open, established: 3, closed_since: None, ..blocked() };
        });
        expect(&status, "PartitionEnforced", "True/Verified", "");
        assert_eq!(status.sites[2].connectivity.fresh_dial, crate::api::FreshDial::Blocked);
    }
}

#[test]
fn policies_have_ten_seconds_to_come_into_force() {
    let cluster = cut(json!({ "clients": [2] }));
    let seen = observed(&cluster);
    let first = assess(&cluster, &seen, &SyncClusterStatus::default(), now());
    expect(&first, "PartitionEnforced", "False/Enforcing", "not blocked yet");
    expect(&assess(&cluster, &seen, &first, after(9)), "PartitionEnforced", "False/Enforcing", "");
    let mut later = observed(&cluster);
    for link in links(&mut later) {
        link.probed_at = Some((NOW + 10) * 1000);
    }
    expect(&assess(&cluster, &later, &first, after(11)), "PartitionEnforced", "False/NetworkPolicyNotEnforced", "client-2 uplink");
}

#[test]
fn a_partition_keeps_its_beginning_while_it_stays_the_same() {
    let at = |partition: serde_json::Value, previous: &SyncClusterStatus, time| {
        let cluster = cut(partition);
        assess(&cluster, &observed(&cluster), previous, time)
    };
    let first = at(json!({ "clients": [2], "healAfter": "5m" }), &SyncClusterStatus::default(), now());
    let same = at(json!({ "clients": [2], "healAfter": "10m" }), &first, after(30));
    let other = at(json!({ "clients": [1, 2], "healAfter": "5m" }), &same, after(40));
    let times = |status: &SyncClusterStatus| {
        let partition = status.partition.clone().unwrap();
        (partition.since.unwrap().0.as_second() - NOW, partition.heal_at.unwrap().0.as_second() - NOW)
    };
    assert_eq!((times(&first), times(&same), times(&other)), ((0, 300), (0, 600), (40, 340)));
}

#[test]
fn converged_takes_silence_and_equal_digests() {
    let cases: Vec<(&str, Spoil, &str)> = vec![
        ("a change waits for Kafka", spoil(|o| o.connectors.get_mut(&Site::Server).unwrap().lag_seconds = 1), "False/Draining"),
        ("an uplink takes its snapshot", spoil(|o| o.connectors.get_mut(&Site::Client(1)).unwrap().phase = ConnectorPhase::Snapshotting), "False/Draining"),
        ("records wait at a sink", spoil(|o| o.sinks.get_mut(&Site::Client(1)).unwrap().sources[0].lag_records = 1), "False/Draining"),
        ("the server has not seen a topic", spoil(|o| { o.sinks.get_mut(&Site::Server).unwrap().sources.pop(); }), "False/Draining"),
        ("nobody looked for more since the last record", spoil(|o| o.sinks.get_mut(&Site::Client(1)).unwrap().sources[0].end_measured_at = Some((NOW - 9) * 1000)), "False/Draining"),
        ("WAL up to the digest is not confirmed", spoil(|o| o.sinks.get_mut(&Site::Client(1)).unwrap().digest.as_mut().unwrap().lsn = Lsn(2)), "False/Draining"),
        ("a change is parked", spoil(|o| o.sinks.get_mut(&Site::Client(1)).unwrap().parked = 1), "False/Parked"),
        ("a digest differs", spoil(|o| o.sinks.get_mut(&Site::Client(1)).unwrap().digest.as_mut().unwrap().digest = "1".into()), "False/DigestsDiffer"),
        ("a digest is missing", spoil(|o| o.sinks.get_mut(&Site::Client(1)).unwrap().digest = None), "False/Comparing"),
        ("a digest is from before the drain", spoil(|o| o.sinks.get_mut(&Site::Client(1)).unwrap().digest.as_mut().unwrap().measured_at = (NOW - 61) * 1000), "False/Comparing"),
        ("a digest is old", spoil(|o| o.sinks.get_mut(&Site::Client(1)).unwrap().digest.as_mut().unwrap().measured_at = (NOW - 40) * 1000), "Unknown/DigestStale"),
        ("a connector is silent", spoil(|o| { o.connectors.remove(&Site::Client(1)); }), "Unknown/CannotSee"),
        ("WAL without changes waits", spoil(|o| o.connectors.get_mut(&Site::Server).unwrap().lag_bytes = Some(1 << 20)), "True/DigestsEqual"),
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
    expect(&first, "Converged", "False/Comparing", "server,client-1,client-2,client-3");
    expect(&assess(&cluster, &digested(observed(&cluster), 6), &first, after(6)), "Converged", "True/DigestsEqual", "");
}

#[test]
fn a_heal_is_timed_from_the_end_of_the_cut_to_equal_digests() {
    let (whole, parted) = (valid(), cut(json!({ "clients": [2] })));
    let during = assess(&parted, &observed(&parted), &SyncClusterStatus::default(), after(-100));
    let mut draining = observed(&whole);
    draining.sinks.get_mut(&Site::Server).unwrap().sources[1].lag_records = 10_000;
    let healing = assess(&whole, &draining, &during, after(-20));
    expect(&healing, "Converged", "False/Draining", "10000 records of demo.client-2");
    let healing = assess(&whole, &digested(observed(&whole), -8), &healing, after(-8));
    expect(&healing, "Converged", "False/Comparing", "");
    let healed = assess(&whole, &observed(&whole), &healing, after(-1));
    expect(&healed, "Converged", "True/DigestsEqual", "the last heal took 19 s");
    let convergence = healed.convergence.clone().unwrap();
    assert_eq!((convergence.last_heal_seconds, convergence.healed_at), (Some(19), None));
    let later = assess(&whole, &observed(&whole), &healed, now());
    assert_eq!(later.convergence.unwrap().last_heal_seconds, Some(19), "it is remembered");
}

#[test]
fn a_client_that_was_scaled_away_is_not_waited_for() {
    let cluster = valid();
    let mut seen = observed(&cluster);
    let mut former = seen.sinks[&Site::Server].sources[0].clone();
    (former.topic, former.lag_records) = ("demo.client-9".to_owned(), 5);
    seen.sinks.get_mut(&Site::Server).unwrap().sources.push(former);
    assert!(is(&settled(&cluster, &seen), "Converged", "True"));
}

#[test]
fn lost_wal_and_clocks_ahead_are_said() {
    let slot = |wal_status: &'static str| {
        let mut seen = observed(&valid());
        seen.connectors.get_mut(&Site::Client(1)).unwrap().slot.as_mut().unwrap().wal_status = wal_status.to_owned();
        settled(&valid(), &seen)
    };
    expect(&slot("extended"), "SlotsHealthy", "True/WalKept", "");
    expect(&slot("unreserved"), "SlotsHealthy", "False/SlotAtRisk", "client-1");
    expect(&slot("lost"), "SlotsHealthy", "False/SlotLost", "raise");

    let mut seen = observed(&valid());
    seen.sinks.get_mut(&Site::Server).unwrap().sources[0].clock_ahead_millis = Some(12_300);
    let status = settled(&valid(), &seen);
    expect(&status, "ClocksAgree", "False/ClockAhead", "client-1 by 13 s, seen at server");
    seen.sinks.clear();
    expect(&settled(&valid(), &seen), "ClocksAgree", "Unknown/CannotSee", "");
}

#[test]
fn a_condition_keeps_its_time_while_its_status_stays() {
    let first = assess(&valid(), &digested(observed(&valid()), -60), &SyncClusterStatus::default(), after(-60));
    let second = assess(&valid(), &observed(&valid()), &first, now());
    let time = |status: &SyncClusterStatus, type_| condition(status, type_).unwrap().last_transition_time.0.as_second() - NOW;
    assert_eq!((time(&second, "Ready"), time(&second, "Converged")), (-60, 0));
}

#[test]
fn a_spec_that_cannot_be_understood_leaves_what_was_known() {
    let before = settled(&valid(), &observed(&valid()));
    let error = validate::Error::NoSuchClient { ordinal: 4, clients: 3 };
    let status = invalid(&error, &before, 8, now());
    expect(&status, "Stalled", "True/InvalidSpec", "use ordinals from 1 to 3");
    assert_eq!((status.observed_generation, status.sites), (Some(8), before.sites));
}

#[test]
fn a_paused_cluster_says_so() {
    let status = paused(&settled(&valid(), &observed(&valid())), 8, now());
    expect(&status, "Reconciling", "False/Paused", "spec.paused is true");
    expect(&status, "Converged", "Unknown/Paused", "");
}

#[test]
fn a_quiet_cluster_causes_no_writes() {
    let cluster = valid();
    let before = settled(&cluster, &observed(&cluster));
    let mut seen = observed(&cluster);
    for connector in seen.connectors.values_mut() {
        connector.link.probed_at = Some((NOW + 100) * 1000);
        connector.lag_bytes = Some(5000);
    }
    let later = assess(&cluster, &digested(seen, 100), &before, after(100));
    assert!(!worth_writing(&before, &later, Some(now()), after(100)));
    assert!(!worth_writing(&before, &later, None, after(100)));
}

#[test]
fn what_matters_is_written_at_once_and_numbers_now_and_then() {
    let cluster = valid();
    let before = settled(&cluster, &observed(&cluster));
    let mut numbers = before.clone();
    numbers.sites[1].conflicts = Some(3);
    assert!(!worth_writing(&before, &numbers, Some(now()), after(4)));
    assert!(worth_writing(&before, &numbers, Some(now()), after(5)));
    let mut important = before.clone();
    important.conditions[0].status = "False".to_owned();
    assert!(worth_writing(&before, &important, Some(now()), now()));
}

#[test]
fn a_cut_proves_every_minute_that_it_is_watched() {
    let before = partitioned(json!({ "clients": [2] }), |_| {});
    let later = |seconds: i64| {
        let mut later = before.clone();
        for site in &mut later.sites {
            site.connectivity.probed_at = at((NOW - 1 + seconds) * 1000);
        }
        worth_writing(&before, &later, Some(now()), after(seconds))
    };
    assert_eq!((later(59), later(60)), (false, true));
}
