use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde_json::{Value, json};

use synccluster_protocol::Site;

use super::*;
use crate::fixture::{cut, observed};

/// Which policies open which end of client 2's uplink, given one policy of somebody else.
fn ways(spec: Value) -> (bool, bool) {
    let mut cluster = cut(json!({ "clients": [2] }));
    let policy: NetworkPolicy =
        serde_json::from_value(json!({ "metadata": { "name": "theirs" }, "spec": spec })).unwrap();
    cluster.foreign_policies = vec![policy];
    let ways = find(&cluster, &observed(&cluster), Edge::Uplink(Site::Client(2)));
    assert!(ways.names().iter().all(|name| name == "theirs"));
    (!ways.out.is_empty(), !ways.into.is_empty())
}

#[test]
fn a_policy_voids_a_cut_where_it_selects_the_pod_and_allows_the_way() {
    let everything =
        json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [{}], "egress": [{}] });
    assert_eq!(ways(everything), (true, true));
    let egress = |to: Value, ports: Value| {
        ways(json!({ "podSelector": {}, "policyTypes": ["Egress"], "egress": [{ "to": to, "ports": ports }] })).0
    };
    let kafka = || json!([{ "podSelector": { "matchLabels": { "app.kubernetes.io/component": "kafka" } } }]);
    let port = || json!([{ "port": 9092 }]);
    assert!(egress(kafka(), port()));
    assert!(egress(kafka(), json!([])), "no port is every port");
    assert!(egress(json!([]), port()), "no peer is everybody");
    assert!(egress(kafka(), json!([{ "port": 9000, "endPort": 9100 }])));
    assert!(egress(kafka(), json!([{ "port": "kafka" }])));
    assert!(egress(json!([{ "ipBlock": { "cidr": "10.0.0.0/8" } }]), port()));
    assert!(egress(
        json!([{ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "shop" } } }]),
        port()
    ));
    assert!(
        egress(
            json!([{ "namespaceSelector": { "matchLabels": { "team": "unknown" } } }]),
            port()
        ),
        "what is not known may match"
    );

    assert!(!egress(kafka(), json!([{ "port": 5432 }])));
    assert!(!egress(kafka(), json!([{ "port": 9092, "protocol": "UDP" }])));
    assert!(!egress(
        json!([{ "podSelector": { "matchLabels": { "app": "other" } } }]),
        port()
    ));
    assert!(!egress(
        json!([{ "ipBlock": { "cidr": "10.0.0.0/8", "except": ["10.1.2.0/24"] } }]),
        port()
    ));
    assert!(!egress(json!([{ "ipBlock": { "cidr": "fd00::/8" } }]), port()));
    assert!(!egress(
        json!([{ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "other" } } }]),
        port()
    ));
}

#[test]
fn selectors_mean_what_kubernetes_says() {
    let selects = |expression: Value| {
        ways(json!({ "podSelector": { "matchExpressions": [expression] }, "policyTypes": ["Egress"], "egress": [{}] }))
            .0
    };
    let site = "synccluster.dev/site";
    assert!(selects(
        json!({ "key": site, "operator": "In", "values": ["client-2"] })
    ));
    assert!(!selects(
        json!({ "key": site, "operator": "NotIn", "values": ["client-2"] })
    ));
    assert!(selects(json!({ "key": site, "operator": "Exists" })));
    assert!(!selects(json!({ "key": site, "operator": "DoesNotExist" })));
    assert!(selects(json!({ "key": "other", "operator": "NotIn", "values": ["x"] })));
}

#[test]
fn of_a_namespace_its_name_decides_and_what_is_not_known_may_match() {
    let lets_out = |selector: Value| {
        let to = json!([{ "namespaceSelector": selector }]);
        ways(json!({ "podSelector": {}, "policyTypes": ["Egress"], "egress": [{ "to": to }] })).0
    };
    let name = |operator: &str, values: Value| json!({ "key": "kubernetes.io/metadata.name", "operator": operator, "values": values });
    let one = |expression: Value| lets_out(json!({ "matchExpressions": [expression] }));
    assert!(one(name("In", json!(["other", "shop"]))));
    assert!(!one(name("In", json!(["other"]))));
    assert!(one(name("NotIn", json!(["other"]))));
    assert!(!one(name("NotIn", json!(["shop"]))));
    assert!(one(
        json!({ "key": "kubernetes.io/metadata.name", "operator": "Exists" })
    ));
    assert!(!one(
        json!({ "key": "kubernetes.io/metadata.name", "operator": "DoesNotExist" })
    ));
    for (operator, values) in [
        ("In", json!(["red"])),
        ("NotIn", json!(["red"])),
        ("Exists", json!([])),
        ("DoesNotExist", json!([])),
    ] {
        let team = json!({ "key": "team", "operator": operator, "values": values });
        assert!(one(team.clone()), "{operator}");
        let of_others = json!({
            "matchLabels": { "kubernetes.io/metadata.name": "other" },
            "matchExpressions": [team],
        });
        assert!(!lets_out(of_others), "whatever {operator} says of another label");
    }
}

#[test]
fn a_way_to_any_broker_voids_a_cut() {
    let mut cluster = cut(json!({ "clients": [2] }));
    let mut seen = observed(&cluster);
    let mut second = seen.pods[0].clone();
    second.name = "demo-kafka-1".to_owned();
    second.labels.insert("broker".to_owned(), "1".to_owned());
    seen.pods.push(second);
    let everything = json!({ "podSelector": {}, "policyTypes": ["Egress"], "egress": [{}] });
    let into_the_second =
        json!({ "podSelector": { "matchLabels": { "broker": "1" } }, "policyTypes": ["Ingress"], "ingress": [{}] });
    let policy = |name: &str, spec: Value| -> NetworkPolicy {
        serde_json::from_value(json!({ "metadata": { "name": name }, "spec": spec })).unwrap()
    };
    cluster.foreign_policies = vec![policy("out", everything), policy("into", into_the_second)];
    let ways = find(&cluster, &seen, Edge::Uplink(Site::Client(2)));
    assert!(ways.both());
    assert_eq!(ways.names(), ["into", "out"]);
}

#[test]
fn a_policy_that_allows_nothing_here_is_not_blamed() {
    assert_eq!(
        ways(json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] })),
        (false, false)
    );
    assert_eq!(
        ways(json!({ "podSelector": { "matchLabels": { "app": "other" } }, "ingress": [{}], "egress": [{}] })),
        (false, false)
    );
    assert_eq!(
        ways(json!({ "podSelector": {}, "policyTypes": ["Ingress"], "egress": [{}] })),
        (false, false),
        "its egress is not in force"
    );
}

#[test]
fn a_void_cut_is_named_at_once_a_harmless_policy_only_if_nothing_else_explains_it() {
    use crate::assess::{assess, condition};
    use crate::fixture::now;
    let mut cluster = cut(json!({ "clients": [2] }));
    let reason = |cluster: &ValidatedCluster| {
        let status = assess(
            cluster,
            &observed(cluster),
            &crate::api::SyncClusterStatus::default(),
            now(),
        );
        let condition = condition(&status, "PartitionEnforced").unwrap().clone();
        (condition.reason, condition.message)
    };
    let policy =
        |spec: Value| serde_json::from_value(json!({ "metadata": { "name": "theirs" }, "spec": spec })).unwrap();
    cluster.foreign_policies = vec![policy(
        json!({ "podSelector": {}, "ingress": [{}], "egress": [{}], "policyTypes": ["Ingress", "Egress"] }),
    )];
    let (found, message) = reason(&cluster);
    assert_eq!(found, "OverlappingPolicy");
    assert!(message.contains("NetworkPolicy theirs"), "{message}");
    cluster.foreign_policies = vec![policy(
        json!({ "podSelector": {}, "egress": [{}], "policyTypes": ["Egress"] }),
    )];
    assert_eq!(reason(&cluster).0, "Enforcing", "Kafka's own end is closed");
}

/// The gateway reaches Kafka and is nobody's uplink: what lets it there opens nothing, even seen as somebody else's.
#[test]
fn the_gateways_own_policy_voids_no_cut() {
    let mut cluster = cut(json!({ "clients": [2] }));
    let own = crate::plan::plan(&cluster).apply;
    let own = own.iter().find(|object| object.name == "demo-gateway").unwrap();
    assert_eq!(
        own.body["metadata"]["labels"]["synccluster.dev/cluster"], "demo",
        "so it is never listed as foreign"
    );
    cluster.foreign_policies = vec![serde_json::from_value(own.body.clone()).unwrap()];
    for edge in [Edge::Uplink(Site::Client(2)), Edge::Downlink(Site::Client(2))] {
        let ways = find(&cluster, &observed(&cluster), edge);
        assert_eq!(ways, Ways::default());
    }
}
