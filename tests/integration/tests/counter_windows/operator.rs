//! The resource as the operator understands it.

use anyhow::Result;
use serde_json::{Value, json};
use synccluster_operator::{
    api::SyncCluster,
    dereference::Dereferenced,
    validate::{Settings, ValidatedCluster, validate},
};

/// A cluster without clients, and with these counter nodes.
pub fn counting(cluster: &str, counter: &Value) -> Result<ValidatedCluster> {
    let resource: SyncCluster = serde_json::from_value(json!({
        "apiVersion": "synccluster.dev/v1alpha1", "kind": "SyncCluster",
        "metadata": { "name": cluster, "namespace": "test", "uid": "01234567-89ab-cdef-0123-456789abcdef", "generation": 4 },
        "spec": { "clients": 0, "counter": counter },
    }))?;
    let image = || "none".to_owned();
    let settings = Settings {
        operator_namespace: "test".to_owned(),
        image: image(),
        postgres_image: image(),
        kafka_image: image(),
        clickhouse_image: image(),
        connect_image: image(),
    };
    Ok(validate(&resource, Dereferenced::default(), &settings)?)
}
