//! A Kafka that is somebody else's.

use serde_json::json;
use synccluster_protocol::status::Dial;
use synccluster_runtime::kafka::Security;

use super::*;
use crate::dereference::Dereferenced;
use crate::fixture::{found, set, settings, with};
use crate::validate::validate;

fn external(keys: Option<&[(&str, &str)]>) -> ValidatedCluster {
    cut_off(keys, None)
}

fn cut_off(keys: Option<&[(&str, &str)]>, partition: Option<serde_json::Value>) -> ValidatedCluster {
    let mut resource = with(
        "/spec/kafka",
        json!({ "external": { "bootstrapServers": "192.0.2.5:9093", "secret": "shop-kafka" } }),
    );
    if let Some(partition) = partition {
        set(&mut resource, "/spec/partition", partition);
    }
    let parse = |keys: &[(&str, &str)]| {
        let keys = keys
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()));
        Security::parse(&keys.collect())
    };
    let found = Dereferenced {
        kafka: keys.map(parse),
        ..found()
    };
    validate(&serde_json::from_value(resource).unwrap(), found, &settings()).unwrap()
}

const USER: &[(&str, &str)] = &[("username", "ada"), ("password", "hunter2")];

fn look(cluster: &ValidatedCluster, spoil: impl Fn(&mut Observed)) -> SyncClusterStatus {
    let mut seen = observed(cluster);
    seen.pods.retain(|pod| pod.component != Component::Kafka);
    seen.kafka = Dial::Open;
    seen.made_topics = vec!["demo.client-9".to_owned(), "demo.server".to_owned()];
    spoil(&mut seen);
    assess(cluster, &seen, &SyncClusterStatus::default(), now())
}

#[test]
fn it_is_ready_without_brokers_of_ours_and_says_what_was_made() {
    let status = look(&external(Some(USER)), |_| {});
    expect(&status, "Ready", "True/Running", "run");
    let made = status.external.unwrap().kafka.unwrap();
    assert_eq!((made.address.as_str(), made.topics.len()), ("192.0.2.5:9093", 2));
    let away = look(&external(Some(USER)), |seen| seen.kafka = Dial::Refused);
    expect(&away, "Ready", "False/Starting", "Kafka at 192.0.2.5:9093 to answer");
}

#[test]
fn what_is_wrong_with_its_secret_is_said_with_the_remedy() {
    const ONE_YEAR: &str = include_str!("../../../../workloads/runtime/src/kafka/security/one-year.pem");
    let missing = look(&external(None), |_| {});
    expect(
        &missing,
        "Stalled",
        "True/KafkaSecretNotFound",
        "Secret shop-kafka does not exist in namespace shop",
    );
    let half = look(&external(Some(&[("username", "ada")])), |_| {});
    expect(&half, "Stalled", "True/KafkaSecretInvalid", "no password: add password");
    let certificate = external(Some(&[("ca.crt", ONE_YEAR)]));
    expect(&look(&certificate, |_| {}), "Stalled", "False/NoProblem", "");
    let mut seen = observed(&certificate);
    seen.kafka = Dial::Open;
    let later = assess(
        &certificate,
        &seen,
        &SyncClusterStatus::default(),
        crate::fixture::after(366 * 24 * 3600),
    );
    expect(
        &later,
        "Stalled",
        "True/KafkaCertificateExpired",
        "in ca.crt expired at 2027-11-21",
    );
    let refused = look(&external(Some(USER)), |seen| {
        seen.kafka_refused = Some("Kafka at 192.0.2.5:9093 cannot be spoken to: correct them".to_owned());
        seen.unseen_topics = seen.kafka_refused.clone();
    });
    expect(&refused, "Stalled", "True/KafkaRefused", "correct them");
}

#[test]
fn topics_that_cannot_be_looked_at_are_still_there() {
    let cluster = external(Some(USER));
    let before = look(&cluster, |_| {});
    let mut seen = observed(&cluster);
    seen.unseen_topics = Some("the operator does not reach Kafka".to_owned());
    let after = assess(&cluster, &seen, &before, now());
    assert_eq!(after.external, before.external);
}

#[test]
fn a_policy_of_somebody_elses_at_one_end_voids_a_cut_where_the_other_end_is_not_ours() {
    let mut cluster = cut_off(Some(USER), Some(json!({ "clients": [2] })));
    let mut named = |egress: serde_json::Value| {
        let policy = json!({ "metadata": { "name": "theirs" }, "spec": { "podSelector": {}, "policyTypes": ["Egress"], "egress": [egress] } });
        cluster.foreign_policies = vec![serde_json::from_value(policy).unwrap()];
        let status = look(&cluster, |seen| {
            connector(seen, Site::Client(2)).link.fresh_dial = Dial::Open;
        });
        said(&status, "PartitionEnforced").0
    };
    for opens in [
        json!({}),
        json!({ "to": [{ "ipBlock": { "cidr": "192.0.2.0/24" } }], "ports": [{ "port": 9093 }] }),
        json!({ "to": [{ "namespaceSelector": {} }] }),
    ] {
        assert_eq!(named(opens.clone()), "False/OverlappingPolicy", "{opens}");
    }
    for other in [
        json!({ "to": [{ "ipBlock": { "cidr": "198.51.100.0/24" } }] }),
        json!({ "ports": [{ "port": 9092 }] }),
    ] {
        assert_eq!(named(other.clone()), "False/Enforcing", "{other}");
    }
}
