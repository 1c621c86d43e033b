//! The rules of `spec.kafka.external`.

use serde_json::json;

use super::{accepted, change_refused, messages, refused};
use crate::fixture::{resource, with};

const SERVERS: &str = "kafka-0.example.com:9093,[2001:db8::1]:9094";

#[test]
fn a_kafka_of_somebody_elses_is_named_by_its_addresses() {
    accepted(
        "/spec/kafka",
        json!({ "external": { "bootstrapServers": "kafka.shop.svc:9092" } }),
    );
    let peers = json!([{ "namespaceSelector": {}, "podSelector": { "matchLabels": { "app": "kafka" } } }]);
    accepted(
        "/spec/kafka",
        json!({
            "external": { "bootstrapServers": SERVERS, "secret": "shop-kafka", "ports": [9095], "peers": peers },
            "topics": { "replication": 3 },
        }),
    );
    for wrong in [
        "kafka.example.com",
        "kafka:0",
        "a:9092, b:9092",
        "a:9092,",
        "sasl://a:9092",
        "",
    ] {
        refused(
            "/spec/kafka",
            json!({ "external": { "bootstrapServers": wrong } }),
            "kafka.external.bootstrapServers must be host:port",
        );
    }
    refused(
        "/spec/kafka",
        json!({ "external": { "bootstrapServers": SERVERS, "secret": "Shop_Kafka" } }),
        "kafka.external.secret must be the name of a Secret",
    );
    refused(
        "/spec/kafka",
        json!({ "external": { "bootstrapServers": SERVERS, "ports": [70000] } }),
        "kafka.external.ports must be between 1 and 65535",
    );
    for mine in [json!({ "image": "apache/kafka:4.3.1" }), json!({ "brokers": 3 })] {
        let mut kafka = mine;
        kafka["external"] = json!({ "bootstrapServers": SERVERS });
        refused("/spec/kafka", kafka, "leave out kafka.image and kafka.brokers");
    }
}

#[test]
fn whose_kafka_it_is_stays() {
    let external = |servers: &str| json!({ "external": { "bootstrapServers": servers } });
    let expected = "kafka.external cannot be added to, or taken from, a SyncCluster that exists";
    change_refused("/spec/kafka", json!({}), external("a:9092"), expected);
    change_refused("/spec/kafka", external("a:9092"), json!({}), expected);
    let (old, new) = (
        with("/spec/kafka", external("a:9092")),
        with("/spec/kafka", external("b:9092")),
    );
    assert_eq!(
        messages(&new, Some(&old)),
        Vec::<String>::new(),
        "the same Kafka may have moved"
    );
    assert_eq!(messages(&resource(), Some(&resource())), Vec::<String>::new());
}
