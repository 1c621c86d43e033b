//! Statements about the plan.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::*;
use crate::fixture::{cut, valid, validated, with};
use crate::validate::Migrations;

mod analytics;
mod counters;
mod engines;
mod gateways;
mod kafka;
mod looks;
mod passwords;
mod seeder;
mod server;

fn named<'a>(objects: &'a Objects, kind: Kind, name: &str) -> Option<&'a Value> {
    objects
        .apply
        .iter()
        .find(|object| object.kind == kind && object.name == name)
        .map(|object| &object.body)
}

/// The template of every pod, by name of its StatefulSet or Deployment.
fn templates(objects: &Objects) -> BTreeMap<String, Value> {
    let with_template = objects
        .apply
        .iter()
        .filter_map(|o| Some((o.name.clone(), o.body.pointer("/spec/template")?.clone())));
    with_template.collect()
}

#[test]
fn the_same_cluster_gives_the_same_objects() {
    assert_eq!(plan(&valid()), plan(&valid()));
}

#[test]
fn every_name_is_there_once_and_short_enough() {
    let mut longest = valid();
    longest.name = "a2345678901234567890123456789012".parse().unwrap();
    longest.clients = 1000;
    longest.counter.nodes = 32;
    let objects = plan(&longest);
    let keys: BTreeSet<Key> = objects.apply.iter().map(Object::key).collect();
    assert_eq!(keys.len(), objects.apply.len());
    for (kind, name) in keys {
        // Kubernetes cuts names of a Deployment's pods to fit; a StatefulSet's revision, a label, adds 11 characters.
        let most = if kind == Kind::StatefulSet { 63 - 11 } else { 63 };
        assert!(name.len() <= most, "{kind:?} {name}");
    }
}

/// Written and read back as Kubernetes' own types, nothing is lost: no field is misspelt or in the wrong place.
#[test]
fn kubernetes_knows_every_field() {
    fn same<T: Serialize + DeserializeOwned>(body: &Value) {
        let read: T = serde_json::from_value(body.clone()).unwrap();
        assert_eq!(&serde_json::to_value(read).unwrap(), body);
    }
    let mut cluster = cut(json!({ "clients": [2] }));
    cluster.kafka.brokers = 3;
    cluster.counter.nodes = 3;
    cluster.cut.counters = [2].into();
    cluster.postgres.storage.class = Some("fast".to_owned());
    cluster.gateway = gateways::exposed(
        json!({ "ingress": { "host": "todo.example.com", "className": "nginx", "tlsSecret": "todo-tls" } }),
    )
    .gateway;
    let looks = looks::wanted();
    (cluster.console, cluster.superset, cluster.notebooks) = (looks.console, looks.superset, looks.notebooks);
    for object in plan(&cluster).apply {
        match object.kind {
            Kind::NetworkPolicy => same::<NetworkPolicy>(&object.body),
            Kind::ConfigMap => same::<ConfigMap>(&object.body),
            Kind::Service => same::<Service>(&object.body),
            Kind::StatefulSet => same::<StatefulSet>(&object.body),
            Kind::Deployment => same::<Deployment>(&object.body),
            Kind::ServiceAccount => same::<ServiceAccount>(&object.body),
            Kind::Role => same::<Role>(&object.body),
            Kind::RoleBinding => same::<RoleBinding>(&object.body),
            Kind::Lease => same::<Lease>(&object.body),
            Kind::Ingress => same::<Ingress>(&object.body),
            // Not one of Kubernetes' own types.
            Kind::HttpRoute => {}
        }
    }
    for wanted in plan(&cluster).secrets {
        same::<Secret>(&secrets::secret(&cluster, &wanted, &mut || "x".to_owned()));
    }
}

#[test]
fn every_object_is_labelled_and_owned() {
    for object in plan(&valid()).apply {
        let metadata = &object.body["metadata"];
        assert_eq!(metadata["labels"][names::CLUSTER_LABEL], "demo", "{}", object.name);
        assert_eq!(metadata["ownerReferences"][0]["uid"], valid().uid, "{}", object.name);
        assert_eq!(metadata["namespace"], "shop");
    }
}

#[test]
fn a_site_is_a_database_a_connector_and_a_sink() {
    let objects = plan(&valid());
    for site in ["server", "client-1", "client-2", "client-3"] {
        for kind in [Kind::Service, Kind::StatefulSet] {
            assert!(named(&objects, kind, &format!("demo-{site}")).is_some(), "{site}");
        }
        for part in ["connector", "sink"] {
            assert!(
                named(&objects, Kind::Deployment, &format!("demo-{site}-{part}")).is_some(),
                "{site}"
            );
        }
    }
    assert_eq!(templates(&objects).len(), 4 * 3 + 2, "and Kafka, and the gateway");
    assert_eq!(
        templates(&plan(&validated(with("/spec/clients", json!(0))))).len(),
        3 + 2
    );
}

/// Each end on its own keeps the site away from Kafka.
#[test]
fn a_cut_is_the_absence_of_the_edge_at_both_ends() {
    for (link, uplink, downlink) in [("Both", true, true), ("Uplink", true, false), ("Downlink", false, true)] {
        let objects = plan(&cut(json!({ "clients": [2], "link": link })));
        for (site, cut) in [
            ("server", false),
            ("client-1", false),
            ("client-2", true),
            ("client-3", false),
        ] {
            let out = |edge: &str| named(&objects, Kind::NetworkPolicy, &format!("demo-{site}-{edge}")).is_some();
            assert_eq!(out("uplink"), !(cut && uplink), "{link} {site}");
            assert_eq!(out("downlink"), !(cut && downlink), "{link} {site}");
        }
        let kafka = named(&objects, Kind::NetworkPolicy, "demo-kafka").unwrap();
        let left_out =
            |from: usize| kafka["spec"]["ingress"][0]["from"][from]["podSelector"]["matchExpressions"][0].clone();
        let client_2 = json!({ "key": "synccluster.dev/site", "operator": "NotIn", "values": ["client-2"] });
        assert_eq!(
            left_out(0),
            if uplink { client_2.clone() } else { Value::Null },
            "{link}"
        );
        assert_eq!(left_out(1), if downlink { client_2 } else { Value::Null }, "{link}");
    }
}

#[test]
fn a_cut_site_still_reaches_its_database_and_is_reached_by_the_operator() {
    let (whole, cut) = (plan(&valid()), plan(&cut(json!({ "clients": [2], "server": true }))));
    for name in [
        "demo-client-2-database",
        "demo-client-2-postgres",
        "demo-server-database",
        "demo-operator",
        "demo-dns",
        "demo-default-deny",
    ] {
        assert_eq!(
            named(&whole, Kind::NetworkPolicy, name),
            named(&cut, Kind::NetworkPolicy, name),
            "{name}"
        );
        assert!(named(&cut, Kind::NetworkPolicy, name).is_some(), "{name}");
    }
}

#[test]
fn nobody_is_allowed_what_no_edge_needs() {
    let objects = plan(&valid());
    let deny = named(&objects, Kind::NetworkPolicy, "demo-default-deny").unwrap();
    assert_eq!(
        deny["spec"],
        json!({ "podSelector": { "matchLabels": { "synccluster.dev/cluster": "demo" } }, "policyTypes": ["Ingress", "Egress"] })
    );
    for object in objects.apply.iter().filter(|object| object.kind == Kind::NetworkPolicy) {
        for (rules, peers) in [("ingress", "from"), ("egress", "to")] {
            for rule in object.body["spec"][rules].as_array().into_iter().flatten() {
                // The API server is no pod; what is said to its ports is said in `plan::network`.
                let api_server = object.name == "demo-gateway" && rule["ports"][0]["port"] == 6443;
                assert!(
                    api_server || rule[peers].as_array().is_some_and(|peers| !peers.is_empty()),
                    "{} allows everybody",
                    object.name
                );
                assert!(
                    rule["ports"].as_array().is_some_and(|ports| !ports.is_empty()),
                    "{} allows every port",
                    object.name
                );
            }
        }
    }
}

#[test]
fn cutting_and_scaling_restart_nothing_that_syncs() {
    let before = templates(&plan(&valid()));
    assert_eq!(
        templates(&plan(&cut(json!({ "clients": [2], "server": true })))),
        before
    );
    let more = templates(&plan(&validated(with("/spec/clients", json!(40)))));
    for (name, template) in &before {
        // The gateway has to learn where the new sites are.
        assert_eq!(more.get(name) == Some(template), name != "demo-gateway", "{name}");
    }
}

#[test]
fn changed_migrations_restart_the_connectors_and_nothing_else() {
    let mut changed = valid();
    changed.migrations = Migrations::Found {
        config_map: "demo-schema".to_owned(),
        hash: "other".to_owned(),
    };
    let (before, after) = (templates(&plan(&valid())), templates(&plan(&changed)));
    for (name, template) in &before {
        assert_eq!(&after[name] != template, name.ends_with("-connector"), "{name}");
    }
}

#[test]
fn missing_migrations_keep_connectors_as_they_are() {
    let mut missing = valid();
    missing.migrations = Migrations::Missing {
        config_map: "demo-schema".to_owned(),
    };
    let objects = plan(&missing);
    let connectors: Vec<&str> = objects.keep.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(
        connectors,
        [
            "demo-client-1-connector",
            "demo-client-2-connector",
            "demo-client-3-connector",
            "demo-server-connector"
        ]
    );
    assert!(objects.apply.iter().all(|object| !object.name.ends_with("-connector")));
    assert!(
        named(&objects, Kind::StatefulSet, "demo-client-1").is_some(),
        "the rest goes on"
    );
}

#[test]
fn every_pod_is_restricted_and_asks_for_what_it_needs() {
    for (name, template) in templates(&plan(&valid())) {
        let pod = &template["spec"];
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{name}");
        assert_eq!(
            pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault",
            "{name}"
        );
        assert_eq!(pod["automountServiceAccountToken"], name == "demo-gateway", "{name}");
        let containers = ["containers", "initContainers"].map(|kind| pod[kind].as_array().cloned().unwrap_or_default());
        for container in containers.into_iter().flatten() {
            let security = &container["securityContext"];
            assert_eq!(security["allowPrivilegeEscalation"], false, "{name}");
            assert_eq!(security["readOnlyRootFilesystem"], true, "{name}");
            assert_eq!(security["capabilities"]["drop"], json!(["ALL"]), "{name}");
            assert!(container["resources"]["requests"]["memory"].is_string(), "{name}");
        }
    }
}

#[test]
fn no_password_is_in_an_object_or_an_argument() {
    let cluster = valid();
    let wanted = &plan(&cluster).secrets[0];
    let secret = secrets::secret(&cluster, wanted, &mut || "s3cr3t".to_owned());
    assert_eq!(
        secret["stringData"]["uri"],
        "postgresql://app:s3cr3t@demo-server.shop.svc:5432/app"
    );
    for (name, template) in templates(&plan(&cluster)) {
        for container in template["spec"]["containers"].as_array().unwrap() {
            let plain = container["env"]
                .as_array()
                .into_iter()
                .flatten()
                .all(|env| env.get("valueFrom").is_none());
            assert!(plain, "{name} takes an environment variable from a Secret");
        }
    }
}

#[test]
fn secrets_are_created_once_and_stay_with_the_volume() {
    let mut cluster = valid();
    assert_eq!(plan(&cluster).secrets.len(), 4 * 5 + 1);
    cluster.secrets = plan(&cluster).secrets.into_iter().map(|wanted| wanted.name).collect();
    assert_eq!(plan(&cluster).secrets, []);
    let wanted = secrets::Wanted {
        name: "demo-server-app".to_owned(),
        opens: secrets::Opens::Database {
            site: Site::Server,
            role: names::Role::App,
        },
    };
    let owners = |cluster: &ValidatedCluster| {
        secrets::secret(cluster, &wanted, &mut || "x".to_owned())["metadata"]["ownerReferences"].clone()
    };
    assert_eq!(owners(&cluster), json!([]));
    cluster.postgres.storage.when_deleted = crate::api::Retention::Delete;
    assert_eq!(owners(&cluster)[0]["uid"], cluster.uid);
}

#[test]
fn volumes_are_retained_unless_the_spec_says_otherwise() {
    let policy = |objects: &Objects, set: &str| {
        named(objects, Kind::StatefulSet, set).unwrap()["spec"]["persistentVolumeClaimRetentionPolicy"].clone()
    };
    let delete = plan(&validated(with("/spec/postgres/storage/whenDeleted", json!("Delete"))));
    for set in ["demo-server", "demo-client-1", "demo-kafka"] {
        assert_eq!(
            policy(&plan(&valid()), set),
            json!({ "whenDeleted": "Retain", "whenScaled": "Retain" })
        );
        assert_eq!(
            policy(&delete, set),
            json!({ "whenDeleted": "Delete", "whenScaled": "Retain" })
        );
    }
}

#[test]
fn the_server_has_room_for_every_client_there_ever_was() {
    let slots = |clients: i32| {
        let objects = plan(&validated(with("/spec/clients", json!(clients))));
        let args = named(&objects, Kind::StatefulSet, "demo-server").unwrap()["spec"]["template"]["spec"]["containers"]
            [0]["args"]
            .clone();
        let args: Vec<String> = serde_json::from_value(args).unwrap();
        args.iter()
            .find_map(|arg| arg.strip_prefix("max_replication_slots="))
            .unwrap()
            .to_owned()
    };
    // 1000 at most; and a change of their number restarts no server.
    assert_eq!((slots(3), slots(1000)), ("1024".into(), "1024".into()));
}

#[test]
fn what_the_operator_decides_comes_after_what_people_write() {
    let mut cluster = valid();
    cluster.postgres.parameters = BTreeMap::from([("shared_buffers".to_owned(), "64MB".to_owned())]);
    let objects = plan(&cluster);
    let args = &named(&objects, Kind::StatefulSet, "demo-client-1").unwrap()["spec"]["template"]["spec"]["containers"]
        [0]["args"];
    assert_eq!((&args[0], &args[1]), (&json!("-c"), &json!("shared_buffers=64MB")));
}

#[test]
fn kafka_forms_one_quorum_with_the_identity_of_the_resource() {
    let mut cluster = valid();
    cluster.kafka.brokers = 3;
    let objects = plan(&cluster);
    let env =
        named(&objects, Kind::StatefulSet, "demo-kafka").unwrap()["spec"]["template"]["spec"]["containers"][0]["env"]
            .clone();
    let value = |name: &str| {
        env.as_array().unwrap().iter().find(|e| e["name"] == name).unwrap()["value"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    // printf 0123456789abcdef0123456789abcdef | xxd -r -p | basenc --base64url
    assert_eq!(value("CLUSTER_ID"), "ASNFZ4mrze8BI0VniavN7w");
    assert_eq!(
        value("VOTERS"),
        "0@demo-kafka-0.demo-kafka-brokers.shop.svc:9093,1@demo-kafka-1.demo-kafka-brokers.shop.svc:9093,2@demo-kafka-2.demo-kafka-brokers.shop.svc:9093"
    );
    assert_eq!(
        (value("REPLICAS"), value("MIN_IN_SYNC")),
        ("3".to_owned(), "2".to_owned())
    );
}

#[test]
fn each_pod_is_known_by_its_template() {
    let objects = plan(&valid());
    let hashes = objects.templates();
    assert_eq!(hashes.len(), 4 * 3 + 2);
    let mut changed = valid();
    changed.image = "synccluster/synccluster:next".to_owned();
    let after = plan(&changed).templates();
    for (key, hash) in hashes {
        assert_eq!(
            after[&key] != hash,
            matches!(key.0, Component::Connector | Component::Sink | Component::Gateway),
            "{key:?}"
        );
    }
}
