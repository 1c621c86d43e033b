//! A resource as the operator understands it.

use anyhow::Result;
use serde_json::{Value, json};
use synccluster_operator::{
    dereference::Dereferenced,
    validate::{Settings, ValidatedCluster, validate},
};

/// A SyncCluster of this name at generation 4, with this spec and these annotations, as it is after validation; an error if it is refused.
pub fn understood(name: &str, spec: &Value, annotations: &Value) -> Result<ValidatedCluster> {
    let resource = serde_json::from_value(json!({
        "apiVersion": "synccluster.dev/v1alpha1", "kind": "SyncCluster",
        "metadata": {
            "name": name, "namespace": "test", "uid": "01234567-89ab-cdef-0123-456789abcdef", "generation": 4, "annotations": annotations,
        },
        "spec": spec,
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
