//! Counter nodes as the operator understands them.

use anyhow::Result;
use serde_json::{Value, json};
use synccluster_integration::operator::understood;
use synccluster_operator::validate::ValidatedCluster;

/// A cluster without clients, and with these counter nodes.
pub fn counting(cluster: &str, counter: &Value) -> Result<ValidatedCluster> {
    understood(cluster, &json!({ "clients": 0, "counter": counter }), &json!({}))
}
