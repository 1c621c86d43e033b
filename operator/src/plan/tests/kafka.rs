//! A Kafka that is somebody else's.

use synccluster_runtime::kafka::Security;

use super::*;
use crate::dereference::Dereferenced;
use crate::fixture::{found, set, settings};
use crate::validate::validate;

fn external() -> Value {
    let mut resource = with(
        "/spec/kafka",
        json!({ "external": { "bootstrapServers": "a.example.com:9093,b.example.com:9094", "secret": "shop-kafka", "ports": [9095] } }),
    );
    set(&mut resource, "/spec/counter", json!({ "nodes": 1 }));
    set(&mut resource, "/spec/console", json!({ "image": "example/console:1" }));
    set(
        &mut resource,
        "/spec/analytics",
        json!({ "clickhouse": { "managed": {} }, "notebooks": { "image": "example/notebooks:1" } }),
    );
    resource
}

fn seen(resource: Value, keys: &[(&str, &str)]) -> ValidatedCluster {
    let keys = keys
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()));
    let found = Dereferenced {
        kafka: Some(Security::parse(&keys.collect())),
        ..found()
    };
    validate(&serde_json::from_value(resource).unwrap(), found, &settings()).unwrap()
}

fn given(resource: Value) -> ValidatedCluster {
    seen(resource, &[("username", "ada"), ("password", "hunter2")])
}

const SPEAKERS: [&str; 8] = [
    "demo-server-connector",
    "demo-server-sink",
    "demo-client-2-connector",
    "demo-gateway",
    "demo-counter",
    "demo-analytics",
    "demo-console",
    "demo-notebooks",
];

#[test]
fn there_is_no_broker_of_ours_and_everybody_speaks_to_theirs() {
    let objects = plan(&given(external()));
    assert!(
        objects
            .apply
            .iter()
            .all(|object| !object.name.starts_with("demo-kafka"))
    );
    let templates = templates(&objects);
    for name in SPEAKERS {
        let container = &templates[name]["spec"]["containers"][0];
        let value = |name: &str| {
            let variables = container["env"].as_array().unwrap();
            variables
                .iter()
                .find(|variable| variable["name"] == name)
                .map(|found| found["value"].clone())
        };
        let expected = json!("a.example.com:9093,b.example.com:9094");
        assert_eq!(value("KAFKA_BOOTSTRAP_SERVERS"), Some(expected), "{name}");
        assert_eq!(value("KAFKA_SECRET"), Some(json!("/etc/synccluster/kafka")), "{name}");
        assert_eq!(value("KAFKA_PORTS"), Some(json!("9095")), "{name}");
        let mounts = container["volumeMounts"].as_array().unwrap();
        assert!(
            mounts.contains(&json!({ "name": "kafka", "mountPath": "/etc/synccluster/kafka", "readOnly": true })),
            "{name}"
        );
        let volumes = templates[name]["spec"]["volumes"].as_array().unwrap();
        assert!(
            volumes
                .contains(&json!({ "name": "kafka", "secret": { "secretName": "shop-kafka", "defaultMode": 0o440 } })),
            "{name}"
        );
    }
    let database = &templates["demo-server"];
    assert!(
        !database.to_string().contains("shop-kafka"),
        "a database does not speak to Kafka"
    );
    let counter = templates["demo-counter"].to_string();
    assert!(
        counter.contains(r#""name":"COUNTER_TOPIC_REPLICATION","value":"-1""#),
        "the brokers' default"
    );
    let written = serde_json::to_string(&templates).unwrap();
    assert!(
        !written.contains("hunter2") && !written.contains("ada\""),
        "nothing of what the Secret says"
    );
}

#[test]
fn a_console_can_say_who_it_is_and_no_object_has_the_password() {
    let mut resource = external();
    let jaas = r#"ScramLoginModule required username="$(KAFKA_USERNAME)" password="$(KAFKA_PASSWORD)";"#;
    set(&mut resource, "/spec/console/env", json!({ "JAAS": jaas }));
    let env = |resource: Value| {
        let template = templates(&plan(&given(resource)))["demo-console"].clone();
        template["spec"]["containers"][0]["env"].as_array().unwrap().clone()
    };
    let variables = env(resource.clone());
    let place = |name: &str| variables.iter().position(|variable| variable["name"] == name).unwrap();
    for (name, key) in [("KAFKA_USERNAME", "username"), ("KAFKA_PASSWORD", "password")] {
        let from = json!({ "secretKeyRef": { "name": "shop-kafka", "key": key, "optional": true } });
        assert_eq!(variables[place(name)], json!({ "name": name, "valueFrom": from }));
        assert!(
            place(name) < place("JAAS"),
            "Kubernetes replaces only what was said before"
        );
    }
    assert_eq!(variables[place("JAAS")]["value"], jaas);

    // What somebody writes himself counts, once.
    let names: Vec<&str> = variables
        .iter()
        .map(|variable| variable["name"].as_str().unwrap())
        .collect();
    for name in &names {
        set(&mut resource, "/spec/console/env", json!({ *name: "mine" }));
        let own: Vec<Value> = env(resource.clone())
            .into_iter()
            .filter(|variable| variable["name"] == *name)
            .collect();
        assert_eq!(own, [json!({ "name": name, "value": "mine" })]);
    }
    for of_the_secret in ["KAFKA_SECRET", "KAFKA_PORTS", "KAFKA_PASSWORD"] {
        assert!(names.contains(&of_the_secret), "{of_the_secret}");
    }
}

#[test]
fn a_cut_is_the_absence_of_the_way_out() {
    let mut resource = external();
    set(&mut resource, "/spec/partition", json!({ "clients": [2] }));
    let objects = plan(&given(resource.clone()));
    let policy = |objects: &Objects, name: &str| named(objects, Kind::NetworkPolicy, name).cloned();
    for edge in ["demo-client-2-uplink", "demo-client-2-downlink"] {
        assert_eq!(policy(&objects, edge), None, "{edge}");
    }
    let anywhere = json!([{ "ipBlock": { "cidr": "0.0.0.0/0" } }, { "ipBlock": { "cidr": "::/0" } }]);
    let ports = json!([9093, 9094, 9095].map(|port| json!({ "protocol": "TCP", "port": port })));
    let out = json!({ "to": anywhere, "ports": ports });
    for edge in [
        "demo-client-1-uplink",
        "demo-server-downlink",
        "demo-gateway",
        "demo-counter-0-kafka",
        "demo-analytics",
        "demo-console",
    ] {
        let egress = policy(&objects, edge).unwrap()["spec"]["egress"].clone();
        assert!(egress.as_array().unwrap().contains(&out), "{edge}: {egress}");
    }
    let peers = json!([{ "ipBlock": { "cidr": "192.0.2.0/24" } }]);
    set(&mut resource, "/spec/kafka/external/peers", peers.clone());
    let narrowed = policy(&plan(&given(resource)), "demo-client-1-uplink").unwrap();
    assert_eq!(narrowed["spec"]["egress"][0]["to"], peers);
}

#[test]
fn a_missing_secret_keeps_what_runs_and_starts_nothing_that_would_wait() {
    let objects = plan(&validated(external()));
    for name in SPEAKERS {
        assert!(
            objects
                .apply
                .iter()
                .all(|object| object.kind < Kind::StatefulSet || object.name != name),
            "{name}"
        );
        assert!(objects.keep.iter().any(|(_, kept)| kept == name), "{name}");
    }
    assert!(
        named(&objects, Kind::StatefulSet, "demo-server").is_some(),
        "databases wait for nothing"
    );
    // One that lacks a key: new pods say so themselves, those that run go on.
    let spoilt = seen(external(), &[("username", "ada")]);
    assert!(plan(&spoilt).keep.is_empty());
}

#[test]
fn a_changed_password_restarts_nothing() {
    let with = |password: &str| seen(external(), &[("username", "ada"), ("password", password)]);
    assert_eq!(plan(&with("one")), plan(&with("two")));
}
