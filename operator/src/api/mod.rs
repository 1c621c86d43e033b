//! The resource: what people write (`spec`) and what they are told (`status`). The CRD is generated from these types.

mod analytics;
mod connector;
mod counter;
mod external;
mod gateway;
mod kafka;
mod looks;
mod resnapshot;
mod rules;
mod seeder;
mod spec;
mod status;
mod topics;

pub use analytics::*;
pub use connector::*;
pub use counter::*;
pub use external::*;
pub use gateway::*;
pub use kafka::*;
pub use looks::*;
pub use resnapshot::*;
pub use seeder::*;
pub use spec::*;
pub use status::*;
pub use topics::*;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

/// API group of the resource, and prefix of its labels and annotations.
pub const GROUP: &str = "synccluster.dev";

/// The CRD as YAML, as `crds/synccluster.yaml` holds it.
pub fn crd_yaml() -> Result<String, serde_yaml::Error> {
    let crd: CustomResourceDefinition = SyncCluster::crd();
    let header = "# Generated from operator/src/api by `synccluster-operator crd`. Do not edit.\n";
    serde_yaml::to_string(&crd).map(|yaml| format!("{header}{yaml}"))
}

#[cfg(test)]
mod tests;
