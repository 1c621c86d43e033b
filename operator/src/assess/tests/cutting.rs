//! PartitionEnforced, and what is said of each site's way to Kafka.

use serde_json::json;
use synccluster_protocol::status::{Dial, LinkStatus};

use super::*;
use crate::fixture::{blocked, cut};

/// Client 2 is cut for 60 seconds, both its workloads say `link`.
pub fn partitioned(partition: serde_json::Value, spoil: impl Fn(&mut Observed)) -> SyncClusterStatus {
    let cluster = cut(partition);
    let mut seen = observed(&cluster);
    for link in links(&mut seen) {
        *link = blocked();
    }
    spoil(&mut seen);
    settled(&cluster, &seen)
}

fn links(seen: &mut Observed) -> [&mut LinkStatus; 2] {
    [
        &mut seen.connectors.get_mut(&Site::Client(2)).unwrap().link,
        &mut seen.sinks.get_mut(&Site::Client(2)).unwrap().link,
    ]
}

#[test]
fn a_cut_is_enforced_only_when_everything_shows_it() {
    let client_2 = || json!({ "clients": [2] });
    let status = partitioned(client_2(), |_| {});
    expect(
        &status,
        "PartitionEnforced",
        "True/Verified",
        "client-2 uplink,client-2 downlink",
    );
    expect(&status, "Converged", "False/Partitioned", "client-2");
    assert_eq!(status.cut.as_deref(), Some("client-2"));
    assert!(status.partition.as_ref().unwrap().enforced_at.is_some());
    let site = &status.sites[2].connectivity;
    assert_eq!(
        (site.desired, site.fresh_dial, site.established),
        (
            crate::api::Desired::Cut,
            crate::api::FreshDial::Blocked,
            crate::api::Established::Closed
        )
    );
    assert!(site.evidence.contains("no connection since"), "{}", site.evidence);

    let cases: Vec<(&str, Spoil, &str)> = vec![
        (
            "the uplink still has a connection",
            spoil(|o| links(o)[0].established = 1),
            "False/EstablishedConnections",
        ),
        (
            "something moved after the last one closed",
            spoil(|o| links(o)[1].last_moved_at = Some(NOW * 1000)),
            "False/EstablishedConnections",
        ),
        (
            "fresh dials get through, long after",
            spoil(|o| links(o)[1].fresh_dial = Dial::Open),
            "False/NetworkPolicyNotEnforced",
        ),
        (
            "nobody probed lately",
            spoil(|o| links(o)[0].probed_at = Some((NOW - 11) * 1000)),
            "False/ProbeStale",
        ),
        (
            "nobody probed at all",
            spoil(|o| links(o)[0].probed_at = None),
            "False/ProbeStale",
        ),
        (
            "the dial is refused: Kafka is down",
            spoil(|o| links(o)[0].fresh_dial = Dial::Refused),
            "Unknown/KafkaAway",
        ),
        (
            "it is not known whether nothing is open",
            spoil(|o| links(o)[0].closed_since = None),
            "Unknown/CannotSee",
        ),
        (
            "the name of Kafka does not resolve at one end",
            spoil(|o| links(o)[0].fresh_dial = Dial::Unknown),
            "Unknown/DnsFails",
        ),
        (
            "the name of Kafka does not resolve anywhere",
            spoil(|o| {
                for link in links(o) {
                    link.fresh_dial = Dial::Unknown;
                }
            }),
            "Unknown/DnsFails",
        ),
        (
            "the sink does not answer",
            spoil(|o| {
                o.sinks.remove(&Site::Client(2));
            }),
            "Unknown/CannotSee",
        ),
        (
            "nobody reaches Kafka",
            spoil(|o| {
                o.kafka = Dial::Blocked;
                o.connectors
                    .values_mut()
                    .for_each(|c| c.link.fresh_dial = Dial::Blocked);
                o.sinks.values_mut().for_each(|s| s.link.fresh_dial = Dial::Blocked);
            }),
            "Unknown/NoPositiveControl",
        ),
        (
            "only the operator does not reach Kafka",
            spoil(|o| o.kafka = Dial::Blocked),
            "True/Verified",
        ),
    ];
    for (name, spoil, verdict) in cases {
        let status = partitioned(client_2(), spoil);
        assert_eq!(said(&status, "PartitionEnforced").0, verdict, "{name}");
    }
}

#[test]
fn what_was_not_measured_is_not_said_of_a_site() {
    let status = partitioned(json!({ "clients": [2] }), |o| {
        links(o)[0].fresh_dial = Dial::Unknown;
        links(o)[1].closed_since = None;
    });
    expect(&status, "PartitionEnforced", "Unknown/CannotSee", "/proc/net/tcp");
    let site = &status.sites[2].connectivity;
    assert_eq!(
        (site.fresh_dial, site.established),
        (crate::api::FreshDial::Unknown, crate::api::Established::Unknown)
    );
    for said in ["demo-kafka:9092 does not resolve (DNS)", "connections unknown"] {
        assert!(site.evidence.contains(said), "{}", site.evidence);
    }
}

#[test]
fn only_the_way_that_is_cut_counts() {
    for (link, open) in [("Uplink", 1), ("Downlink", 0)] {
        let status = partitioned(json!({ "clients": [2], "link": link }), |seen| {
            let way = &mut *links(seen)[open];
            *way = LinkStatus {
                fresh_dial: Dial::Open,
                established: 3,
                closed_since: None,
                ..blocked()
            };
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
    expect(
        &assess(&cluster, &seen, &first, after(9)),
        "PartitionEnforced",
        "False/Enforcing",
        "",
    );
    let dialled = |second: i64, looked: i64| {
        let mut later = observed(&cluster);
        for link in links(&mut later) {
            link.probed_at = Some((NOW + second) * 1000);
        }
        assess(&cluster, &later, &first, after(looked))
    };
    let late = dialled(9, 18);
    expect(&late, "PartitionEnforced", "False/Enforcing", "not blocked yet");
    expect(
        &dialled(11, 12),
        "PartitionEnforced",
        "False/NetworkPolicyNotEnforced",
        "client-2 uplink",
    );
}

#[test]
fn a_partition_keeps_its_beginning_while_it_stays_the_same() {
    let at = |partition: serde_json::Value, previous: &SyncClusterStatus, time| {
        let cluster = cut(partition);
        assess(&cluster, &observed(&cluster), previous, time)
    };
    let first = at(
        json!({ "clients": [2], "healAfter": "5m" }),
        &SyncClusterStatus::default(),
        now(),
    );
    let same = at(json!({ "clients": [2], "healAfter": "10m" }), &first, after(30));
    let other = at(json!({ "clients": [1, 2], "healAfter": "5m" }), &same, after(40));
    let times = |status: &SyncClusterStatus| {
        let partition = status.partition.clone().unwrap();
        (
            partition.since.unwrap().0.as_second() - NOW,
            partition.heal_at.unwrap().0.as_second() - NOW,
        )
    };
    assert_eq!(
        (times(&first), times(&same), times(&other)),
        ((0, 300), (0, 600), (40, 340))
    );
}
