//! Every rule of the CRD, evaluated as the API server does: take a valid resource, spoil one field, expect that message.

use kube::CustomResourceExt as _;
use kube_cel::{Validator, apply_defaults};
use serde_json::{Value, json};

use super::*;
use crate::fixture::{resource, set, with};

mod admission;
mod analytics;
mod connectors;
mod counters;
mod external;
mod gateways;
mod kafka;
mod looks;
mod seeder;
mod topics;

fn schema() -> Value {
    let crd = serde_json::to_value(SyncCluster::crd()).unwrap();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// The messages of the rules a resource breaks, with defaults filled in before as the API server does.
fn messages(new: &Value, old: Option<&Value>) -> Vec<String> {
    let schema = schema();
    let (new, old) = (
        apply_defaults(&schema, new),
        old.map(|old| apply_defaults(&schema, old)),
    );
    match Validator::new().validate(&schema, &new, old.as_ref()) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.iter().map(|error| error.message.clone()).collect(),
    }
}

#[track_caller]
fn refused(pointer: &str, value: Value, expected: &str) {
    let messages = messages(&with(pointer, value.clone()), None);
    assert!(
        messages.len() == 1 && messages[0].contains(expected),
        "{pointer} = {value}: {messages:?}"
    );
}

#[track_caller]
fn accepted(pointer: &str, value: Value) {
    assert_eq!(
        messages(&with(pointer, value.clone()), None),
        Vec::<String>::new(),
        "{pointer} = {value}"
    );
}

#[track_caller]
fn change_refused(pointer: &str, from: Value, to: Value, expected: &str) {
    let messages = messages(&with(pointer, to), Some(&with(pointer, from)));
    assert!(
        messages.len() == 1 && messages[0].contains(expected),
        "{pointer}: {messages:?}"
    );
}

#[test]
fn the_valid_resource_is_valid() {
    assert_eq!(messages(&resource(), None), Vec::<String>::new());
    assert_eq!(messages(&resource(), Some(&resource())), Vec::<String>::new());
    let least = json!({ "apiVersion": "synccluster.dev/v1alpha1", "kind": "SyncCluster", "metadata": { "name": "a" }, "spec": {} });
    assert_eq!(messages(&least, None), Vec::<String>::new());
}

#[test]
fn names_are_short_dns_labels() {
    for name in ["a2345678901234567890123456789012x", "Demo", "1demo", "demo-", "de.mo"] {
        refused("/metadata/name", json!(name), "metadata.name must have 1 to 32");
    }
    accepted("/metadata/name", json!("a2345678901234567890123456789012"));
}

#[test]
fn clients_are_0_to_1000() {
    refused("/spec/clients", json!(-1), "clients must be between 0 and 1000");
    refused("/spec/clients", json!(1001), "clients must be between 0 and 1000");
    accepted("/spec/clients", json!(0));
    accepted("/spec/clients", json!(1000));
}

#[test]
fn a_partition_names_clients_that_exist() {
    refused(
        "/spec/partition",
        json!({ "clients": [4] }),
        "use ordinals from 1 to spec.clients",
    );
    refused(
        "/spec/partition",
        json!({ "clients": [2, 0] }),
        "use ordinals from 1 to spec.clients",
    );
    accepted("/spec/partition", json!({ "clients": [1, 3], "healAfter": "5m" }));
    let mut fewer = with("/spec/partition", json!({ "clients": [3] }));
    assert_eq!(messages(&fewer, None), Vec::<String>::new());
    set(&mut fewer, "/spec/clients", json!(2));
    assert!(messages(&fewer, None)[0].contains("before lowering spec.clients"));
}

#[test]
fn a_partition_cuts_somebody() {
    for nobody in [
        json!({}),
        json!({ "clients": [] }),
        json!({ "server": false }),
        json!({ "healAfter": "5m" }),
    ] {
        refused("/spec/partition", nobody, "partition cuts nobody");
    }
    accepted("/spec/partition", json!({ "server": true }));
}

#[test]
fn what_is_named_twice_is_refused() {
    let schema = schema();
    let clients = "/properties/spec/properties/partition/properties/clients";
    assert_eq!(schema.pointer(clients).unwrap()["x-kubernetes-list-type"], "set");
    let tables = schema
        .pointer("/properties/spec/properties/schema/properties/tables")
        .unwrap();
    assert_eq!(
        (&tables["x-kubernetes-list-type"], &tables["x-kubernetes-list-map-keys"]),
        (&json!("map"), &json!(["name"]))
    );
}

#[test]
fn durations_are_whole_seconds_minutes_or_hours() {
    for wrong in ["10", "0s", "-5s", "1.5h", "10 s", "5min", "1h30m"] {
        refused(
            "/spec/sync/maxClockSkew",
            json!(wrong),
            "sync.maxClockSkew must be a whole number of seconds",
        );
        refused(
            "/spec/sync/digestInterval",
            json!(wrong),
            "sync.digestInterval must be a whole number of seconds",
        );
        refused(
            "/spec/partition",
            json!({ "clients": [1], "healAfter": wrong }),
            "partition.healAfter must be",
        );
        refused(
            "/spec/kafka/topics",
            json!({ "cleanupPolicy": "delete", "retention": wrong }),
            "kafka.topics.retention must be",
        );
    }
    for right in ["10s", "5m", "720h"] {
        accepted("/spec/sync/digestInterval", json!(right));
    }
}

#[test]
fn tables_have_a_schema_and_a_name() {
    for wrong in ["todos", "public.", ".todos", "public.to dos", "a.b.c", "public.todos;"] {
        refused("/spec/schema/tables/0/name", json!(wrong), "such as public.todos");
    }
    for others in ["sync.tombstones", "pg_catalog.pg_class"] {
        refused("/spec/schema/tables/0/name", json!(others), "list your own tables only");
    }
}

#[test]
fn the_migrations_are_in_something_that_can_exist() {
    for wrong in ["", "Demo", "a/b"] {
        refused(
            "/spec/schema/migrations/configMap/name",
            json!(wrong),
            "must be the name of a ConfigMap",
        );
    }
}

#[test]
fn volumes_have_a_size_and_keep_it() {
    for part in ["postgres", "kafka"] {
        let size = format!("/spec/{part}/storage/size");
        for wrong in ["much", "-1Gi", "0", "1Mi"] {
            refused(&size, json!(wrong), &format!("{part}.storage.size must be a quantity"));
        }
        for other in ["2Gi", "768Mi"] {
            change_refused(
                &size,
                json!("1Gi"),
                json!(other),
                &format!("{part}.storage.size cannot be changed"),
            );
        }
        let class = format!("/spec/{part}/storage/class");
        change_refused(
            &class,
            json!("fast"),
            json!("slow"),
            &format!("{part}.storage.class cannot be changed"),
        );
        let removed = messages(&with(&size, json!("1Gi")), Some(&with(&class, json!("fast"))));
        assert!(removed[0].contains("class cannot be changed"), "{removed:?}");
    }
}

#[test]
fn there_are_one_or_three_brokers_for_ever() {
    for wrong in [0, 2, 4] {
        refused("/spec/kafka/brokers", json!(wrong), "kafka.brokers must be 1 or 3");
    }
    accepted("/spec/kafka/brokers", json!(3));
    change_refused(
        "/spec/kafka/brokers",
        json!(1),
        json!(3),
        "kafka.brokers cannot be changed",
    );
}

#[test]
fn wal_is_kept_in_whole_units() {
    for wrong in ["4", "4GB", "0Gi", "1.5Gi"] {
        refused(
            "/spec/postgres/maxSlotWalKeepSize",
            json!(wrong),
            "must be a whole number of Mi, Gi or Ti",
        );
    }
    accepted("/spec/postgres/maxSlotWalKeepSize", json!("256Mi"));
    refused(
        "/spec/postgres/maxSlotWalKeepSize",
        json!("4Gi"),
        "must be less than postgres.storage.size",
    );
}

#[test]
fn parameters_leave_alone_what_the_operator_sets() {
    refused(
        "/spec/postgres/parameters",
        json!({ "wal_level": "minimal" }),
        "postgres.parameters must not set",
    );
    accepted("/spec/postgres/parameters", json!({ "shared_buffers": "256MB" }));
}

#[test]
fn images_are_references() {
    refused(
        "/spec/postgres/image",
        json!(""),
        "postgres.image must be an image reference",
    );
    refused(
        "/spec/kafka/image",
        json!("my kafka"),
        "kafka.image must be an image reference",
    );
}

#[test]
fn every_field_is_explained() {
    fn undescribed(schema: &Value, path: &str, missing: &mut Vec<String>) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            if property["description"].as_str().is_none_or(str::is_empty) {
                missing.push(path.clone());
            }
            undescribed(property, &path, missing);
            undescribed(&property["items"], &path, missing);
        }
    }
    let mut missing = Vec::new();
    undescribed(&schema(), "", &mut missing);
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn the_crd_that_is_installed_is_the_one_of_these_types() {
    let installed = include_str!("../../../crds/synccluster.yaml");
    assert!(
        installed == crd_yaml().unwrap(),
        "regenerate it: cargo run -p synccluster-operator -- crd > crds/synccluster.yaml"
    );
}
