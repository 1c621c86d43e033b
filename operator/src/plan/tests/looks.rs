//! A console for Kafka and Superset: what there is of them, and who reaches them.

use super::*;
use crate::fixture::{resource, set, with};

/// Both, and a cut that must not matter to them.
pub fn wanted() -> ValidatedCluster {
    let mut resource = resource();
    set(&mut resource, "/spec/partition", json!({ "clients": [2] }));
    set(
        &mut resource,
        "/spec/console",
        json!({ "image": "console:1", "port": 9000, "env": { "KAFKA_BROKERS": "mine:1", "A": "b" } }),
    );
    set(
        &mut resource,
        "/spec/analytics",
        json!({ "superset": { "image": "superset:6", "storage": { "class": "fast" } } }),
    );
    validated(resource)
}

fn selects(component: &str) -> Value {
    json!({ "podSelector": { "matchLabels": { names::CLUSTER_LABEL: "demo", names::COMPONENT_LABEL: component } } })
}

fn lets_in(objects: &Objects, policy: &str, who: &Value) -> bool {
    let policy = named(objects, Kind::NetworkPolicy, policy).unwrap();
    policy["spec"]["ingress"][0]["from"].as_array().unwrap().contains(who)
}

#[test]
fn there_is_neither_unless_somebody_asks() {
    let everything: String = plan(&valid()).apply.iter().map(|o| o.body.to_string()).collect();
    assert!(!everything.contains("superset") && !everything.contains("console"));
    assert!(
        plan(&valid())
            .secrets
            .iter()
            .all(|wanted| wanted.opens != secrets::Opens::Superset)
    );
}

#[test]
fn a_console_is_told_where_kafka_is_in_the_ways_that_are_known() {
    let objects = plan(&wanted());
    let container = &templates(&objects)["demo-console"]["spec"]["containers"][0];
    assert_eq!(container["image"], "console:1");
    assert_eq!(container["ports"][0]["containerPort"], 9000);
    let env: BTreeMap<&str, &str> = container["env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["name"].as_str().unwrap(), one["value"].as_str().unwrap()))
        .collect();
    assert_eq!(env.len(), container["env"].as_array().unwrap().len(), "each name once");
    for name in [
        "KAFKA_BOOTSTRAP_SERVERS",
        "KAFKA_BROKERCONNECT",
        "KAFKA_CLUSTERS_0_BOOTSTRAPSERVERS",
    ] {
        assert_eq!(env[name], "demo-kafka:9092", "{name}");
    }
    assert_eq!(
        (env["KAFKA_BROKERS"], env["A"], env["KAFKA_CLUSTERS_0_NAME"]),
        ("mine:1", "b", "demo")
    );
    let akhq: Value = serde_json::from_str(env["AKHQ_CONFIGURATION"]).unwrap();
    assert_eq!(
        akhq["akhq"]["connections"]["demo"]["properties"]["bootstrap.servers"],
        "demo-kafka:9092"
    );
}

#[test]
fn a_console_reaches_kafka_and_is_reached_by_those_with_the_label() {
    let objects = plan(&wanted());
    let policy = named(&objects, Kind::NetworkPolicy, "demo-console").unwrap();
    assert_eq!(
        policy["spec"]["egress"],
        json!([{ "to": [selects("kafka")], "ports": [{ "protocol": "TCP", "port": 9092 }] }])
    );
    let people = json!([{ "podSelector": { "matchLabels": { names::ACCESS_LABEL: "demo-console" } } }]);
    assert_eq!(
        policy["spec"]["ingress"],
        json!([{ "from": people, "ports": [{ "protocol": "TCP", "port": 9000 }] }])
    );
    assert!(lets_in(&objects, "demo-kafka", &selects("console")));
    assert!(!lets_in(&plan(&valid()), "demo-kafka", &selects("console")));
    let service = named(&objects, Kind::Service, "demo-console").unwrap();
    assert_eq!(
        (
            &service["spec"]["ports"][0]["port"],
            &service["spec"]["ports"][0]["targetPort"]
        ),
        (&json!(80), &json!("web"))
    );
}

#[test]
fn superset_is_provisioned_before_it_serves_and_keeps_its_people() {
    let objects = plan(&wanted());
    let pod = &templates(&objects)["demo-superset"]["spec"];
    let script = "/opt/superset/run.sh";
    assert_eq!(pod["initContainers"][0]["command"], json!([script, "init"]));
    assert_eq!(pod["containers"][0]["command"], json!([script, "serve"]));
    for container in [&pod["initContainers"][0], &pod["containers"][0]] {
        assert_eq!(container["image"], "superset:6");
        let no_password = |one: &Value| one["valueFrom"].is_null() && !one.to_string().contains("assword");
        assert!(
            container["env"].as_array().unwrap().iter().all(no_password),
            "passwords are files"
        );
    }
    let sites = pod["volumes"][0]["projected"]["sources"].as_array().unwrap();
    assert_eq!(sites.len(), 4, "a connection for each site");
    let set = &named(&objects, Kind::StatefulSet, "demo-superset").unwrap()["spec"];
    assert_eq!(set["volumeClaimTemplates"][0]["spec"]["storageClassName"], "fast");
    let secret = objects
        .secrets
        .iter()
        .find(|wanted| wanted.name == "demo-superset")
        .unwrap();
    let mut word = 0;
    let secret = secrets::secret(&wanted(), secret, &mut || {
        word += 1;
        word.to_string()
    });
    assert_ne!(
        secret["stringData"]["admin-password"],
        secret["stringData"]["secret-key"]
    );
}

#[test]
fn superset_reaches_every_site_also_one_that_is_cut_and_nothing_else() {
    let objects = plan(&wanted());
    let policy = named(&objects, Kind::NetworkPolicy, "demo-superset").unwrap();
    assert_eq!(
        policy["spec"]["egress"],
        json!([{ "to": [selects("postgres")], "ports": [{ "protocol": "TCP", "port": 5432 }] }])
    );
    for site in ["server", "client-1", "client-2", "client-3"] {
        let policy = format!("demo-{site}-postgres");
        assert!(lets_in(&objects, &policy, &selects("superset")), "{site}");
        assert!(!lets_in(&plan(&valid()), &policy, &selects("superset")), "{site}");
    }
    assert!(!lets_in(&objects, "demo-kafka", &selects("superset")));
}

#[test]
fn superset_reaches_clickhouse_where_there_is_one() {
    let superset = json!({ "image": "superset:6" });
    let of = |clickhouse: Value| {
        plan(&validated(with(
            "/spec/analytics",
            json!({ "superset": superset, "clickhouse": clickhouse }),
        )))
    };
    for (clickhouse, secret, way) in [
        (
            json!({ "managed": {} }),
            "demo-clickhouse",
            json!({ "to": [selects("clickhouse")], "ports": [{ "protocol": "TCP", "port": 8123 }] }),
        ),
        (
            json!({ "external": { "secret": "warehouse", "port": 443 } }),
            "warehouse",
            json!({ "ports": [{ "protocol": "TCP", "port": 443 }] }),
        ),
    ] {
        let objects = of(clickhouse);
        let policy = named(&objects, Kind::NetworkPolicy, "demo-superset").unwrap();
        assert!(policy["spec"]["egress"].as_array().unwrap().contains(&way), "{policy}");
        let pod = &templates(&objects)["demo-superset"]["spec"];
        let volumes = pod["volumes"].as_array().unwrap();
        let volume = volumes.iter().find(|volume| volume["name"] == "clickhouse").unwrap();
        assert_eq!(volume["secret"]["secretName"], secret);
        for container in [&pod["initContainers"][0], &pod["containers"][0]] {
            assert!(
                container["volumeMounts"]
                    .to_string()
                    .contains("/etc/synccluster/clickhouse")
            );
        }
    }
    assert!(lets_in(
        &of(json!({ "managed": {} })),
        "demo-clickhouse",
        &selects("superset")
    ));
}
