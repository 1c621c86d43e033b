//! The rules of `spec.seeder`.

use serde_json::json;

use super::{accepted, change_refused, refused};

#[test]
fn its_volume_has_a_size_that_stays() {
    accepted("/spec/seeder", json!({}));
    accepted(
        "/spec/seeder",
        json!({ "storage": { "size": "10Gi", "class": "fast" } }),
    );
    let size = |size: &str| json!({ "storage": { "size": size } });
    refused(
        "/spec/seeder",
        size("1Mi"),
        "seeder.storage.size must be a quantity of at least 64Mi",
    );
    change_refused(
        "/spec/seeder",
        size("1Gi"),
        size("2Gi"),
        "seeder.storage.size cannot be changed",
    );
}
