//! spec.analytics.

use super::*;

fn clickhouse(clickhouse: Value) -> Value {
    json!({ "clickhouse": clickhouse })
}

#[test]
fn a_clickhouse_is_managed_or_external() {
    let external = || json!({ "secret": "warehouse" });
    for wrong in [json!({}), json!({ "managed": {}, "external": external() })] {
        refused(
            "/spec/analytics",
            clickhouse(wrong),
            "exactly one of managed and external",
        );
    }
    accepted("/spec/analytics", json!({}));
    accepted("/spec/analytics", clickhouse(json!({ "managed": {} })));
    accepted("/spec/analytics", clickhouse(json!({ "external": external() })));
}

#[test]
fn what_is_written_of_a_clickhouse_can_exist() {
    let managed = |managed: Value, expected: &str| {
        refused("/spec/analytics", clickhouse(json!({ "managed": managed })), expected);
    };
    managed(
        json!({ "image": "click house" }),
        "analytics.clickhouse.managed.image must be an image reference",
    );
    managed(
        json!({ "storage": { "size": "1Mi" } }),
        "storage.size must be a quantity of at least 64Mi",
    );
    for port in [0, 65536] {
        let external = json!({ "external": { "secret": "warehouse", "port": port } });
        refused("/spec/analytics", clickhouse(external), "the port of the secret's url");
    }
    let external = json!({ "external": { "secret": "Ware house" } });
    refused("/spec/analytics", clickhouse(external), "must be the name of a Secret");
    let negative = json!({ "managed": {}, "generation": -1 });
    refused("/spec/analytics", clickhouse(negative), "raise it by one to rebuild");
    let tables = json!({ "managed": {}, "tables": { "configMap": { "name": "a b" } } });
    refused("/spec/analytics", clickhouse(tables), "must be the name of a ConfigMap");
}
