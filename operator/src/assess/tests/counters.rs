//! Counter nodes: Ready, their cut, Converged, and what is said of each.

use serde_json::{Value, json};
use synccluster_protocol::status::{CounterStatus, Dial, LinkStatus};

use super::*;
use crate::api::{Desired, Established, FreshDial};
use crate::fixture::{blocked, counting, counting_cut, validated};

fn cluster() -> ValidatedCluster {
    validated(counting())
}

fn node(seen: &mut Observed, node: u16) -> &mut CounterStatus {
    seen.counters.get_mut(&node).unwrap()
}

fn peer(seen: &mut Observed, from: u16, to: u16) -> &mut LinkStatus {
    let peers = &mut node(seen, from).peers;
    &mut peers.iter_mut().find(|peer| peer.ordinal == to).unwrap().link
}

fn kafka(seen: &mut Observed, of: u16) -> &mut LinkStatus {
    node(seen, of).kafka.as_mut().unwrap()
}

/// Node 0 is cut for 60 seconds, and everything shows it.
fn partitioned(partition: Value, spoil: impl Fn(&mut Observed)) -> SyncClusterStatus {
    let cluster = counting_cut(partition);
    let mut seen = observed(&cluster);
    for other in [1, 2] {
        *peer(&mut seen, 0, other) = blocked();
        *peer(&mut seen, other, 0) = blocked();
    }
    *kafka(&mut seen, 0) = blocked();
    spoil(&mut seen);
    settled(&cluster, &seen)
}

#[test]
fn ready_and_converged_cover_the_nodes() {
    let status = settled(&cluster(), &observed(&cluster()));
    expect(
        &status,
        "Ready",
        "True/Running",
        "Kafka, the server, 3 clients and 3 counter nodes run, and the gateway",
    );
    expect(
        &status,
        "Converged",
        "True/DigestsEqual",
        "all 3 counter nodes 00000000000c0de5 over their totals",
    );
    let names: Vec<&str> = status.counters.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["counter-0", "counter-1", "counter-2"]);
    let first = &status.counters[0];
    assert_eq!(
        (first.position, first.published, first.term),
        (Some(40), Some(40), Some(2))
    );
    assert_eq!(first.leader.as_deref(), Some("counter-0"));
    assert_eq!(first.digest.as_deref(), Some("00000000000c0de5"));
    let ways = &first.connectivity;
    assert_eq!(
        (ways.desired, ways.fresh_dial, ways.established),
        (Desired::Connected, FreshDial::Open, Established::Open)
    );
    assert!(
        ways.evidence.contains("to counter-1 dial Open") && ways.evidence.contains("to Kafka dial Open"),
        "{}",
        ways.evidence
    );
}

#[test]
fn a_node_that_does_not_run_is_waited_for() {
    let mut seen = observed(&cluster());
    seen.pods.retain(|pod| pod.name != "demo-counter-1");
    expect(
        &settled(&cluster(), &seen),
        "Ready",
        "False/Starting",
        "waiting for demo-counter-1",
    );
    let mut seen = observed(&cluster());
    let pod = seen.pods.iter_mut().find(|pod| pod.name == "demo-counter-2").unwrap();
    pod.ready = false;
    pod.problem = Some(Problem {
        reason: "CrashLooping",
        message: "snapshot is damaged".to_owned(),
    });
    let status = settled(&cluster(), &seen);
    expect(&status, "Stalled", "True/CrashLooping", "snapshot is damaged");
    assert_eq!(status.counters[2].problem.as_deref(), Some("snapshot is damaged"));
}

#[test]
fn converged_takes_equal_totals_that_are_all_in_kafka() {
    let cases: Vec<(&str, Spoil, &str, &str)> = vec![
        (
            "likes wait for Kafka",
            spoil(|o| node(o, 1).published = Some(33)),
            "False/Draining",
            "7 entries of counter-1 are not in Kafka",
        ),
        (
            "nobody knows what is in Kafka",
            spoil(|o| node(o, 1).published = None),
            "False/Draining",
            "counter-1 does not know yet",
        ),
        (
            "a peer lags",
            spoil(|o| node(o, 1).peers[0].known = Some(38)),
            "False/Draining",
            "2 entries of counter-1 are not at counter-0",
        ),
        (
            "a peer has said nothing",
            spoil(|o| node(o, 0).peers[1].known = None),
            "False/Draining",
            "counter-2 has not said what it knows of counter-0",
        ),
        (
            "a node cannot go on",
            spoil(|o| node(o, 2).error = Some("the volume is full".to_owned())),
            "False/Draining",
            "counter-2: the volume is full",
        ),
        (
            "totals are equal, and too high",
            spoil(|o| node(o, 2).doubled = 3),
            "False/Draining",
            "counter-2 has still to take back 3 requests that another node counts too",
        ),
        (
            "totals differ",
            spoil(|o| node(o, 2).digest = "1".to_owned()),
            "False/DigestsDiffer",
            "counter-2 1",
        ),
        (
            "totals differ while likes arrive",
            spoil(|o| {
                node(o, 2).digest = "1".to_owned();
                node(o, 0).likes_per_second = 5;
            }),
            "False/Draining",
            "likes arrive",
        ),
        (
            "a node is silent",
            spoil(|o| {
                o.counters.remove(&1);
                o.unseen_counters.insert(1, "no answer within 2 s".to_owned());
            }),
            "Unknown/CannotSee",
            "counter-1 (no answer within 2 s)",
        ),
    ];
    for (name, spoil, verdict, message) in cases {
        let mut seen = observed(&cluster());
        spoil(&mut seen);
        let (found, text) = said(&settled(&cluster(), &seen), "Converged");
        assert!(found == verdict && text.contains(message), "{name}: {found}: {text}");
    }
}

#[test]
fn a_cut_node_is_cut_when_both_ends_show_it() {
    let zero = || json!({ "counters": [0] });
    let status = partitioned(zero(), |_| {});
    expect(
        &status,
        "PartitionEnforced",
        "True/Verified",
        "counter-0 to counter-1,counter-0 to counter-2,counter-0 to Kafka,counter-1 to counter-0,counter-2 to counter-0",
    );
    expect(&status, "Converged", "False/Partitioned", "counter-0 is cut off");
    assert_eq!(status.cut.as_deref(), Some("counter-0"));
    assert_eq!(status.partition.as_ref().unwrap().counters, ["counter-0"]);
    let ways = |node: usize| {
        let ways = &status.counters[node].connectivity;
        (ways.desired, ways.fresh_dial, ways.established)
    };
    assert_eq!(ways(0), (Desired::Cut, FreshDial::Blocked, Established::Closed));
    assert_eq!(
        ways(1),
        (Desired::Connected, FreshDial::Open, Established::Open),
        "it reaches those it should"
    );
    let cases: Vec<(&str, Spoil, &str)> = vec![
        (
            "it still reaches Kafka",
            spoil(|o| kafka(o, 0).fresh_dial = Dial::Open),
            "False/NetworkPolicyNotEnforced",
        ),
        (
            "another still reaches it",
            spoil(|o| peer(o, 2, 0).fresh_dial = Dial::Open),
            "False/NetworkPolicyNotEnforced",
        ),
        (
            "a connection to a peer is left",
            spoil(|o| peer(o, 0, 1).established = 1),
            "False/EstablishedConnections",
        ),
        (
            "a peer was told something after the last connection closed",
            spoil(|o| peer(o, 1, 0).last_moved_at = Some(NOW * 1000)),
            "False/EstablishedConnections",
        ),
        (
            "the probe is old",
            spoil(|o| peer(o, 0, 2).probed_at = Some((NOW - 11) * 1000)),
            "False/ProbeStale",
        ),
        (
            "its peer is down",
            spoil(|o| peer(o, 0, 2).fresh_dial = Dial::Refused),
            "Unknown/NodeAway",
        ),
        (
            "Kafka is down",
            spoil(|o| kafka(o, 0).fresh_dial = Dial::Refused),
            "Unknown/KafkaAway",
        ),
        (
            "a peer that may be away cannot be asked",
            spoil(|o| _ = o.counters.remove(&2)),
            "Unknown/CannotSee",
        ),
        (
            "the way between the others is not cut",
            spoil(|o| *peer(o, 1, 2) = blocked()),
            "True/Verified",
        ),
    ];
    for (name, spoil, verdict) in cases {
        let (found, text) = said(&partitioned(zero(), spoil), "PartitionEnforced");
        assert_eq!(found, verdict, "{name}: {text}");
    }
}

#[test]
fn the_direction_is_about_sites() {
    let status = partitioned(json!({ "counters": [0], "link": "Uplink" }), |_| {});
    expect(&status, "PartitionEnforced", "True/Verified", "counter-1 to counter-0");
}

#[test]
fn a_policy_that_voids_the_cut_of_a_node_is_named() {
    let mut cluster = counting_cut(json!({ "counters": [0] }));
    let theirs = json!({
        "metadata": { "name": "theirs" },
        "spec": {
            "podSelector": { "matchLabels": { "app.kubernetes.io/component": "counter" } },
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{ "ports": [{ "port": 5003 }] }],
            "egress": [{ "ports": [{ "port": 5003 }] }],
        },
    });
    cluster.foreign_policies = vec![serde_json::from_value(theirs).unwrap()];
    let status = settled(&cluster, &observed(&cluster));
    expect(
        &status,
        "PartitionEnforced",
        "False/OverlappingPolicy",
        "counter-0 to counter-1",
    );
}

#[test]
fn a_heal_of_a_node_is_timed() {
    let (whole, parted) = (cluster(), counting_cut(json!({ "counters": [0] })));
    let during = assess(&parted, &observed(&parted), &SyncClusterStatus::default(), after(-100));
    let mut behind = observed(&whole);
    node(&mut behind, 0).published = Some(1);
    let healing = assess(&whole, &digested(behind.clone(), -20), &during, after(-20));
    assert!(healing.convergence.as_ref().unwrap().healed_at.is_some());
    let healing = assess(&whole, &digested(behind, -10), &healing, after(-10));
    expect(
        &healing,
        "Converged",
        "False/Draining",
        "39 entries of counter-0 are not in Kafka",
    );
    let healed = assess(&whole, &observed(&whole), &healing, after(-1));
    expect(&healed, "Converged", "True/DigestsEqual", "the last heal took 19 s");
}

#[test]
fn positions_alone_are_not_worth_a_write_at_once() {
    let before = settled(&cluster(), &observed(&cluster()));
    let mut later = before.clone();
    later.counters[1].position = Some(41);
    assert!(!worth_writing(&before, &later, Some(now()), after(4)));
    assert!(worth_writing(&before, &later, Some(now()), after(5)));
    later.counters[1].leader = Some("counter-1".to_owned());
    assert!(worth_writing(&before, &later, Some(now()), now()), "another leads");
}

/// Three nodes of which one is left, and the status before.
fn leaving() -> (ValidatedCluster, Observed, SyncClusterStatus) {
    let three = observed(&cluster());
    let before = settled(&cluster(), &three);
    let mut resource = counting();
    crate::fixture::set(&mut resource, "/spec/counter/nodes", json!(1));
    let one = validated(resource).after(&before);
    assert_eq!((one.counters(), one.leaving_counters()), (0..1, 1..3));
    (one, three, before)
}

#[test]
fn a_node_on_its_way_out_is_told_of_until_its_pod_is_gone() {
    let (one, mut seen, before) = leaving();
    seen.pods.retain(|pod| pod.name != "demo-counter-1");
    node(&mut seen, 2).published = Some(33);
    let status = assess(&one, &seen, &before, now());
    expect(
        &status,
        "Converged",
        "False/CountersDraining",
        "on their way out: counter-2, of which 7 entries are not in Kafka",
    );
    let names: Vec<&str> = status.counters.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["counter-0", "counter-2"]);
    let problem = status.counters[1].problem.as_deref().unwrap();
    assert!(
        problem.contains("7 entries") && problem.contains("data-demo-counter-2") && problem.contains("nodes is 3"),
        "{problem}"
    );

    // Its process has ended, and its pod is still there: what it said last is what is known.
    seen.counters.remove(&2);
    let last = assess(&one.after(&status), &seen, &status, now());
    assert_eq!(
        (last.counters[1].position, last.counters[1].published),
        (Some(40), Some(33))
    );
    expect(&last, "Converged", "False/CountersDraining", "does not answer");

    let (one, mut seen, _) = leaving();
    seen.pods
        .retain(|pod| !["demo-counter-1", "demo-counter-2"].contains(&pod.name.as_str()));
    let gone = assess(&one.after(&last), &seen, &last, now());
    assert_eq!(gone.counters.len(), 1);
    let told: Vec<_> = crate::events::between(&last, &gone);
    let note = told.iter().find(|event| event.reason == "LikesLeftBehind");
    let note = note.unwrap().note.clone().unwrap();
    assert!(
        note.contains("counter-2 is gone") && note.contains("data-demo-counter-2"),
        "{note}"
    );
}

#[test]
fn the_status_says_where_clients_ask_for_a_node() {
    let leader = |counter: Value| {
        let cluster = validated(crate::fixture::with("/spec/counter", counter));
        settled(&cluster, &observed(&cluster))
            .counter
            .map(|counter| counter.leader)
    };
    let expose = json!({ "nodePort": { "host": "likes.example.org" } });
    assert_eq!(leader(json!({ "nodes": 0, "expose": expose })), None);
    assert_eq!(
        leader(json!({ "nodes": 3 })).as_deref(),
        Some("demo-counter.shop.svc:5001")
    );
    let outside = leader(json!({ "nodes": 3, "expose": expose }));
    assert_eq!(outside.as_deref(), Some("likes.example.org:30500"));
}

#[test]
fn a_node_that_has_left_nothing_goes_without_a_word() {
    let (one, mut seen, before) = leaving();
    let status = assess(&one, &seen, &before, now());
    assert_eq!(
        (status.counters.len(), status.counters[2].problem.as_deref()),
        (3, None)
    );
    seen.pods
        .retain(|pod| !["demo-counter-1", "demo-counter-2"].contains(&pod.name.as_str()));
    let gone = assess(&one, &seen, &status, now());
    assert!(
        crate::events::between(&status, &gone)
            .iter()
            .all(|event| event.reason != "LikesLeftBehind")
    );
}
