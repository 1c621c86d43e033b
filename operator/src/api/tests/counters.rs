//! spec.counter, and spec.partition.counters.

use super::*;
use crate::fixture::counting;

#[test]
fn there_are_up_to_32_counter_nodes() {
    for wrong in [-1, 33] {
        refused(
            "/spec/counter",
            json!({ "nodes": wrong }),
            "counter.nodes must be between 0 and 32",
        );
    }
    for right in [0, 1, 32] {
        accepted("/spec/counter", json!({ "nodes": right }));
    }
}

#[test]
fn windows_have_a_length() {
    for wrong in ["1", "0m", "1.5m", "1d", "minute"] {
        refused(
            "/spec/counter",
            json!({ "nodes": 1, "windows": [wrong] }),
            "counter.windows must be whole numbers of seconds, minutes or hours",
        );
    }
    refused(
        "/spec/counter",
        json!({ "windows": ["25h"] }),
        "counter.windows must not be longer than 24h",
    );
    accepted("/spec/counter", json!({ "windows": ["10s", "24h"] }));
    refused(
        "/spec/counter",
        json!({ "grace": "soon" }),
        "counter.grace must be a whole number of seconds",
    );
    let windows = &schema()["properties"]["spec"]["properties"]["counter"]["properties"]["windows"];
    assert_eq!(
        (&windows["minItems"], &windows["x-kubernetes-list-type"]),
        (&json!(1), &json!("set"))
    );
}

#[test]
fn nodes_are_exposed_at_a_host_and_as_many_ports() {
    let exposed = |node_port: Value| json!({ "nodes": 3, "expose": { "nodePort": node_port } });
    for right in [
        json!({ "host": "likes.example.org" }),
        json!({ "host": "10.0.0.7", "port": 30000 }),
        json!({ "host": "2001:db8::7", "port": 32735 }),
    ] {
        accepted("/spec/counter", exposed(right));
    }
    for wrong in [
        "",
        "Likes.example.org",
        "http://likes",
        "likes:80",
        "[2001:db8::7]",
        "a b",
    ] {
        refused(
            "/spec/counter",
            exposed(json!({ "host": wrong })),
            "counter.expose.nodePort.host must be a host name or an IP address such as likes.example.org",
        );
    }
    for wrong in [80, 29999, 32736] {
        refused(
            "/spec/counter",
            exposed(json!({ "host": "a", "port": wrong })),
            "counter.expose.nodePort.port must be between 30000 and 32735",
        );
    }
    let required = |below: &str| schema().pointer(below).unwrap()["required"].clone();
    let expose = "/properties/spec/properties/counter/properties/expose";
    assert_eq!(required(expose), json!(["nodePort"]));
    assert_eq!(required(&format!("{expose}/properties/nodePort")), json!(["host"]));
}

#[test]
fn topics_keep_their_partitions_while_there_are_nodes() {
    for wrong in [0, 101] {
        refused(
            "/spec/counter",
            json!({ "topics": { "partitions": wrong } }),
            "counter.topics.partitions must be between 1 and 100",
        );
    }
    let with = |nodes: u8, partitions: u8| json!({ "nodes": nodes, "topics": { "partitions": partitions } });
    change_refused(
        "/spec/counter",
        with(3, 4),
        with(3, 8),
        "counter.topics.partitions cannot be changed while there are counter nodes",
    );
    let changed = |from: Value, to: Value| {
        messages(
            &crate::fixture::with("/spec/counter", to),
            Some(&crate::fixture::with("/spec/counter", from)),
        )
    };
    let named = |name: &str| json!({ "nodes": 3, "topics": { "likes": name } });
    for wrong in ["", "a b", ".likes", "ärger"] {
        refused(
            "/spec/counter",
            named(wrong),
            "counter.topics.likes must be the name of a topic",
        );
    }
    change_refused(
        "/spec/counter",
        named("shop.likes"),
        named("likes"),
        "counter.topics.likes and aggregations cannot be changed while there are counter nodes",
    );
    assert_eq!(changed(with(0, 4), with(3, 8)), Vec::<String>::new());
    assert_eq!(changed(with(3, 8), with(5, 8)), Vec::<String>::new());
}

#[test]
fn limits_are_numbers_and_a_time() {
    for (field, wrong) in [("ids", 0), ("ids", 10_000_001), ("clients", 0), ("clients", -1)] {
        refused(
            "/spec/counter",
            json!({ "limits": { field: wrong } }),
            &format!("counter.limits.{field} must be between 1 and 10000000"),
        );
    }
    for wrong in ["", "0h", "1d", "for ever"] {
        refused(
            "/spec/counter",
            json!({ "limits": { "forgetClientsAfter": wrong } }),
            "counter.limits.forgetClientsAfter must be a whole number of seconds, minutes or hours such as 24h",
        );
    }
    accepted(
        "/spec/counter",
        json!({ "nodes": 3, "limits": { "ids": 10_000_000, "clients": 1, "forgetClientsAfter": "90m" } }),
    );
}

#[test]
fn volumes_of_nodes_keep_their_size_and_class() {
    let size = |size: &str| json!({ "storage": { "size": size } });
    refused(
        "/spec/counter",
        size("1Mi"),
        "counter.storage.size must be a quantity of at least 64Mi",
    );
    change_refused(
        "/spec/counter",
        size("1Gi"),
        size("2Gi"),
        "counter.storage.size cannot be changed",
    );
}

#[test]
fn a_partition_names_counter_nodes_that_exist() {
    let cut = |counters: Value| {
        let mut resource = counting();
        set(&mut resource, "/spec/partition", json!({ "counters": counters }));
        messages(&resource, None)
    };
    assert_eq!(cut(json!([0, 2])), Vec::<String>::new());
    for wrong in [json!([3]), json!([-1]), json!([0, 7])] {
        let messages = cut(wrong.clone());
        assert!(
            messages.len() == 1 && messages[0].contains("use ordinals from 0 to spec.counter.nodes - 1"),
            "{wrong}: {messages:?}"
        );
    }
    refused(
        "/spec/partition",
        json!({ "counters": [0] }),
        "before lowering spec.counter.nodes",
    );
    refused("/spec/partition", json!({ "counters": [] }), "partition cuts nobody");
    let counters = "/properties/spec/properties/partition/properties/counters";
    assert_eq!(schema().pointer(counters).unwrap()["x-kubernetes-list-type"], "set");
}
