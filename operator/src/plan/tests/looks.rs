//! A console for Kafka, Superset and JupyterLab: what there is of them, and who reaches them.

use super::*;
use crate::fixture::{resource, set, with};

/// All of them, and a cut that must not matter to them.
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
        json!({
            "superset": { "image": "superset:6", "storage": { "class": "fast" } },
            "notebooks": { "image": "notebooks:4", "storage": { "size": "3Gi" } },
        }),
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
fn there_is_none_unless_somebody_asks() {
    let everything: String = plan(&valid()).apply.iter().map(|o| o.body.to_string()).collect();
    for name in ["superset", "console", "notebooks"] {
        assert!(!everything.contains(name), "{name}");
    }
    assert!(
        plan(&valid())
            .secrets
            .iter()
            .all(|wanted| ![secrets::Opens::Superset, secrets::Opens::Notebooks].contains(&wanted.opens))
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

#[test]
fn notebooks_are_told_where_sites_and_kafka_are_and_only_look_unless_somebody_says_otherwise() {
    let pod = |cluster: &ValidatedCluster| templates(&plan(cluster))["demo-notebooks"]["spec"].clone();
    let mut cluster = wanted();
    let looking = pod(&cluster);
    let container = &looking["containers"][0];
    assert_eq!(
        (&container["image"], &container["ports"][0]["containerPort"]),
        (&json!("notebooks:4"), &json!(8888))
    );
    let env = container["env"].as_array().unwrap();
    for (name, value) in [
        ("SYNC_CLUSTER", "demo"),
        ("SYNC_SITES_DIR", "/etc/synccluster/sites"),
        ("KAFKA_BOOTSTRAP_SERVERS", "demo-kafka:9092"),
        ("JUPYTER_TOKEN_FILE", "/etc/synccluster/access/token"),
        ("PGOPTIONS", "-c default_transaction_read_only=on"),
    ] {
        assert!(env.contains(&json!({ "name": name, "value": value })), "{name}");
    }
    let sites = looking["volumes"][0]["projected"]["sources"].as_array().unwrap();
    assert_eq!(sites.len(), 4, "a folder for each site");
    assert_eq!(looking["volumes"][1]["secret"]["secretName"], "demo-notebooks");
    cluster.notebooks.as_mut().unwrap().writes = true;
    assert!(!pod(&cluster)["containers"][0]["env"].to_string().contains("PGOPTIONS"));
}

#[test]
fn notebooks_keep_what_people_write_and_let_in_who_has_the_token() {
    let objects = plan(&wanted());
    let set = &named(&objects, Kind::StatefulSet, "demo-notebooks").unwrap()["spec"];
    let claim = &set["volumeClaimTemplates"][0]["spec"];
    assert_eq!(claim["resources"]["requests"]["storage"], "3Gi");
    let secret = objects
        .secrets
        .iter()
        .find(|wanted| wanted.name == "demo-notebooks")
        .unwrap();
    let secret = secrets::secret(&wanted(), secret, &mut || "a word".to_owned());
    assert_eq!(secret["stringData"], json!({ "token": "a word" }));
    assert_eq!(secret["metadata"]["ownerReferences"][0]["uid"], wanted().uid);
}

#[test]
fn notebooks_reach_every_site_and_kafka_and_nothing_else() {
    let objects = plan(&wanted());
    let policy = named(&objects, Kind::NetworkPolicy, "demo-notebooks").unwrap();
    assert_eq!(
        policy["spec"]["egress"],
        json!([
            { "to": [selects("postgres")], "ports": [{ "protocol": "TCP", "port": 5432 }] },
            { "to": [selects("kafka")], "ports": [{ "protocol": "TCP", "port": 9092 }] },
        ])
    );
    let people = json!([{ "podSelector": { "matchLabels": { names::ACCESS_LABEL: "demo-notebooks" } } }]);
    assert_eq!(
        policy["spec"]["ingress"],
        json!([{ "from": people, "ports": [{ "protocol": "TCP", "port": 8888 }] }])
    );
    for policy in ["demo-kafka", "demo-server-postgres", "demo-client-2-postgres"] {
        assert!(lets_in(&objects, policy, &selects("notebooks")), "{policy}");
        assert!(!lets_in(&plan(&valid()), policy, &selects("notebooks")), "{policy}");
    }
}
