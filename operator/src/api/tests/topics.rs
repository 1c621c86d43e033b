//! The rules of `spec.kafka.topics`.

use serde_json::json;

use super::{accepted, change_refused, refused};

const TOPICS: &str = "/spec/kafka/topics";

#[test]
fn what_contradicts_itself_is_refused_with_what_to_write_instead() {
    for (wrong, expected) in [
        (json!({ "retention": "24h" }), "kafka.topics.retention goes with"),
        (json!({ "cleanupPolicy": "delete" }), "kafka.topics.retention goes with"),
        (
            json!({ "cleanupPolicy": "delete", "retention": "24h", "deleteRetention": "1h" }),
            "kafka.topics.deleteRetention goes with cleanupPolicy compact",
        ),
        (
            json!({ "cleanupPolicy": "compact,delete", "retention": "30m", "segment": "1h" }),
            "kafka.topics.segment must not be longer than kafka.topics.retention",
        ),
        (json!({ "replication": 0 }), "kafka.topics.replication must be between"),
        (
            json!({ "overrides": [{ "site": "client-0" }] }),
            "overrides[].site must be server or client-<i>",
        ),
        (
            json!({ "overrides": [{ "site": "server", "retention": "1h" }] }),
            "set the override's cleanupPolicy as well",
        ),
        (
            json!({ "overrides": [{ "site": "server", "cleanupPolicy": "delete" }] }),
            "set both, or use compact without retention",
        ),
        (
            json!({ "cleanupPolicy": "delete", "retention": "1h", "overrides": [{ "site": "server", "deleteRetention": "1h" }] }),
            "set the override's cleanupPolicy as well",
        ),
        (
            json!({ "deleteRetention": "1.5h" }),
            "kafka.topics.deleteRetention must be a whole number",
        ),
        (
            json!({ "segment": "10" }),
            "kafka.topics.segment must be a whole number",
        ),
    ] {
        refused(TOPICS, wrong, expected);
    }
    refused(
        "/spec/kafka",
        json!({ "brokers": 1, "topics": { "replication": 2 } }),
        "must not be more than kafka.brokers",
    );
}

#[test]
fn what_goes_together_is_taken() {
    accepted(
        TOPICS,
        json!({ "cleanupPolicy": "compact,delete", "retention": "720h", "deleteRetention": "24h", "segment": "1h" }),
    );
    accepted(
        TOPICS,
        json!({ "deleteRetention": "24h", "segment": "90m", "replication": 1 }),
    );
    accepted(
        TOPICS,
        json!({ "overrides": [{ "site": "client-1000", "cleanupPolicy": "compact,delete", "retention": "1h" }, { "site": "server", "segment": "1m" }] }),
    );
}

#[test]
fn copies_are_fixed() {
    let of = |replication: i32| json!({ "brokers": 3, "topics": { "replication": replication } });
    change_refused(
        "/spec/kafka",
        of(3),
        of(2),
        "kafka.topics.replication cannot be changed",
    );
    change_refused(
        "/spec/kafka",
        json!({ "brokers": 3 }),
        of(3),
        "kafka.topics.replication cannot be changed",
    );
}
