//! ClickHouse and what fills it.

use super::*;
use crate::fixture;

fn planned(clickhouse: Value) -> Objects {
    plan(&fixture::validated(fixture::with(
        "/spec/analytics",
        json!({ "clickhouse": clickhouse }),
    )))
}

fn find<'a>(objects: &'a Objects, kind: Kind, name: &str) -> Option<&'a Value> {
    objects
        .apply
        .iter()
        .find(|object| object.kind == kind && object.name == name)
        .map(|object| &object.body)
}

#[test]
fn without_analytics_there_is_nothing_of_it() {
    let objects = plan(&fixture::valid());
    assert!(
        objects
            .apply
            .iter()
            .all(|object| !object.name.contains("clickhouse") && !object.name.contains("analytics"))
    );
    assert!(
        objects
            .secrets
            .iter()
            .all(|wanted| wanted.opens != secrets::Opens::ClickHouse)
    );
}

#[test]
fn a_managed_clickhouse_is_reached_by_its_sink_and_by_those_with_the_label() {
    let objects = planned(json!({ "managed": {} }));
    for kind in [Kind::ConfigMap, Kind::Service, Kind::StatefulSet] {
        assert!(find(&objects, kind, "demo-clickhouse").is_some(), "{kind:?}");
    }
    let policy = find(&objects, Kind::NetworkPolicy, "demo-clickhouse").unwrap();
    let from = &policy["spec"]["ingress"][0]["from"];
    assert_eq!(
        from[0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"],
        "analytics"
    );
    assert_eq!(
        from[1]["podSelector"]["matchLabels"]["synccluster.dev/access"],
        "demo-clickhouse"
    );
    assert!(
        objects
            .secrets
            .iter()
            .any(|wanted| wanted.name == "demo-clickhouse" && wanted.opens == secrets::Opens::ClickHouse)
    );
    let pod = &find(&objects, Kind::StatefulSet, "demo-clickhouse").unwrap()["spec"]["template"]["spec"];
    assert_eq!(pod["containers"][0]["image"], "clickhouse/clickhouse-server:test");
    assert_eq!(pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"], true);
    assert!(
        !pod.to_string().contains("\"value\":\"password\""),
        "passwords come from the Secret"
    );
}

#[test]
fn an_external_clickhouse_is_not_touched_and_reached_by_its_port() {
    let objects = planned(json!({ "external": { "secret": "warehouse", "port": 443 } }));
    assert!(find(&objects, Kind::StatefulSet, "demo-clickhouse").is_none());
    assert!(
        objects
            .secrets
            .iter()
            .all(|wanted| wanted.opens != secrets::Opens::ClickHouse)
    );
    let policy = find(&objects, Kind::NetworkPolicy, "demo-analytics").unwrap();
    assert_eq!(
        policy["spec"]["egress"][2],
        json!({ "ports": [{ "protocol": "TCP", "port": 443 }] })
    );
    let pod = &find(&objects, Kind::Deployment, "demo-analytics").unwrap()["spec"]["template"]["spec"];
    assert_eq!(pod["volumes"][1]["secret"]["secretName"], "warehouse");
}

#[test]
fn the_sink_reaches_kafka_and_the_servers_database() {
    let objects =
        planned(json!({ "managed": {}, "tables": { "configMap": { "name": "demo-tables" } }, "generation": 3 }));
    for (policy, edge) in [("demo-kafka", 0), ("demo-server-postgres", 0)] {
        let policy = find(&objects, Kind::NetworkPolicy, policy).unwrap();
        assert!(
            policy["spec"]["ingress"][edge]["from"]
                .to_string()
                .contains("\"analytics\""),
            "{policy}"
        );
    }
    let client = find(&objects, Kind::NetworkPolicy, "demo-client-1-postgres").unwrap();
    assert!(
        !client.to_string().contains("analytics"),
        "clients' databases are none of its business"
    );
    let pod = &find(&objects, Kind::Deployment, "demo-analytics").unwrap()["spec"]["template"]["spec"];
    let env = pod["containers"][0]["env"].to_string();
    assert!(env.contains("\"CLICKHOUSE_GENERATION\",\"value\":\"3\""), "{env}");
    assert!(env.contains("/etc/synccluster/tables/tables.yaml"), "{env}");
    assert_eq!(pod["volumes"][2]["configMap"]["optional"], true);
}
