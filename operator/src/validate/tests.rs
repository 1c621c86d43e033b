use serde_json::{Value, json};

use super::*;
use crate::fixture::{found, resource, settings, valid, with};

fn refused(resource: Value) -> String {
    let cluster = serde_json::from_value(resource).unwrap();
    validate(&cluster, found(), &settings()).unwrap_err().to_string()
}

/// The rules of the CRD have refused these already, unless the object is older than the rule.
#[test]
fn what_cannot_be_planned_is_refused_with_what_to_write_instead() {
    let cases = [
        (
            "/metadata/name",
            json!("a2345678901234567890123456789012x"),
            "1 to 32 lower-case",
        ),
        ("/metadata/uid", Value::Null, "metadata.uid is missing"),
        ("/metadata/namespace", Value::Null, "metadata.namespace is missing"),
        (
            "/spec/clients",
            json!(1001),
            "spec.clients must be between 0 and 1000, not 1001",
        ),
        (
            "/spec/clients",
            json!(-1),
            "spec.clients must be between 0 and 1000, not -1",
        ),
        (
            "/spec/partition",
            json!({ "clients": [4] }),
            "client 4, which does not exist: use ordinals from 1 to 3",
        ),
        (
            "/spec/partition",
            json!({ "clients": [0] }),
            "client 0, which does not exist",
        ),
        (
            "/spec/partition",
            json!({ "clients": [1], "healAfter": "soon" }),
            "spec.partition.healAfter: `soon` is not a whole number",
        ),
        (
            "/spec/schema/tables/0/name",
            json!("todos"),
            "is not schema and table joined by a dot",
        ),
        ("/spec/sync/maxClockSkew", json!("0s"), "spec.sync.maxClockSkew"),
        ("/spec/sync/digestInterval", json!("é"), "spec.sync.digestInterval"),
        (
            "/spec/postgres/maxSlotWalKeepSize",
            json!("4GB"),
            "is not a whole number of Mi, Gi or Ti",
        ),
        (
            "/spec/postgres/maxSlotWalKeepSize",
            json!("é"),
            "is not a whole number of Mi, Gi or Ti",
        ),
        (
            "/spec/postgres/parameters",
            json!({ "a b": "c" }),
            "is not the name of a setting",
        ),
        (
            "/spec/counter",
            json!({ "nodes": 33 }),
            "spec.counter.nodes must be between 0 and 32, not 33",
        ),
        (
            "/spec/counter",
            json!({ "windows": ["1m", "60s"] }),
            "spec.counter.windows: `1m,60s` is not a list of 1 to 16 different lengths",
        ),
        (
            "/spec/counter",
            json!({ "topics": { "likes": "demo.server" } }),
            "spec.counter.topics.likes: `demo.server` is not free: a site's changes travel in it",
        ),
        (
            "/spec/partition",
            json!({ "counters": [0] }),
            "names node 0, which does not exist: spec.counter.nodes is 0",
        ),
        ("/spec/kafka/brokers", json!(0), "spec.kafka.brokers must be 1 or 3"),
        (
            "/spec/gateway",
            json!({ "replicas": 101 }),
            "spec.gateway.replicas must be between 0 and 100",
        ),
        (
            "/spec/gateway",
            json!({ "expose": { "nodePort": { "port": 80 } } }),
            "spec.gateway.expose.nodePort.port must be between 30000 and 32767, not 80",
        ),
        (
            "/spec/gateway",
            json!({ "expose": { "nodePort": {}, "ingress": { "host": "a" } } }),
            "exactly one of nodePort, ingress and gatewayApi",
        ),
    ];
    for (pointer, value, expected) in cases {
        let message = refused(with(pointer, value.clone()));
        assert!(message.contains(expected), "{pointer} = {value}: {message}");
    }
}

#[test]
fn counters_that_cannot_be_exposed_are_refused_with_what_to_write_instead() {
    for (node_port, message) in [
        (
            json!({ "host": "a", "port": 32736 }),
            "spec.counter.expose.nodePort.port must be between 30000 and 32735, not 32736",
        ),
        (
            json!({ "host": "a:80" }),
            "spec.counter.expose.nodePort.host: `a:80` is not a host name or an IP address",
        ),
    ] {
        let counter = json!({ "nodes": 3, "expose": { "nodePort": node_port } });
        let refused = refused(with("/spec/counter", counter));
        assert!(refused.contains(message), "{refused}");
    }
}

#[test]
fn texts_become_what_they_mean() {
    let cluster = valid();
    assert_eq!(cluster.max_clock_skew.as_secs(), 10);
    assert_eq!(cluster.postgres.max_slot_wal_keep_mb, 512);
    assert_eq!(duration("f", "2h").unwrap().as_secs(), 7200);
    assert_eq!(mebibytes("f", "3Ti").unwrap(), 3 << 20);
}

#[test]
fn a_cut_has_a_direction() {
    let cut = |partition: Value| crate::fixture::cut(partition).cut;
    let (one, two) = (Site::Client(1), Site::Client(2));
    let both = cut(json!({ "clients": [2] }));
    assert_eq!(
        (
            both.uplink(two),
            both.downlink(two),
            both.uplink(one),
            both.downlink(one)
        ),
        (true, true, false, false)
    );
    let up = cut(json!({ "clients": [2], "link": "Uplink" }));
    assert_eq!((up.uplink(two), up.downlink(two)), (true, false));
    let down = cut(json!({ "clients": [2], "link": "Downlink" }));
    assert_eq!((down.uplink(two), down.downlink(two)), (false, true));
    let server = cut(json!({ "server": true }));
    assert_eq!(
        (
            server.uplink(Site::Server),
            server.downlink(Site::Server),
            server.uplink(one)
        ),
        (true, true, false)
    );
}

#[test]
fn a_config_map_that_is_missing_is_no_error_of_the_resource() {
    let cluster = serde_json::from_value(resource()).unwrap();
    let valid = validate(&cluster, Dereferenced::default(), &settings()).unwrap();
    assert_eq!(
        valid.migrations,
        Migrations::Missing {
            config_map: "demo-schema".to_owned()
        }
    );
}
