//! The rules of `spec.connector`.

use serde_json::json;

use super::{accepted, refused};

#[test]
fn what_only_debezium_has_goes_with_debezium() {
    let templates = json!({ "configMap": { "name": "mine" } });
    accepted("/spec/connector", json!({ "engine": "Native" }));
    accepted(
        "/spec/connector",
        json!({ "engine": "Debezium", "templates": templates, "image": "registry.example/connect:1" }),
    );
    refused(
        "/spec/connector",
        json!({ "templates": templates }),
        "connector.templates goes with engine Debezium",
    );
    refused(
        "/spec/connector",
        json!({ "engine": "Native", "image": "x" }),
        "connector.image goes with engine Debezium",
    );
    let resources = json!({ "limits": { "memory": "1Gi" } });
    refused(
        "/spec/connector",
        json!({ "resources": resources }),
        "connector.resources goes with engine Debezium",
    );
    let wrong = json!({ "engine": "Debezium", "templates": { "configMap": { "name": "My Map" } } });
    refused(
        "/spec/connector",
        wrong,
        "connector.templates.configMap.name must be the name of a ConfigMap",
    );
}
