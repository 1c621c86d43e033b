//! What people write about the seeder.

use k8s_openapi::api::core::v1::ResourceRequirements;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;

/// The seeder: it fills the tables, keeps writing to them at any site, and checks that nothing it was acknowledged is lost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Seeder {
    /// The volume of its journals: what it wrote, and what of it was acknowledged. It goes with the seeder.
    pub storage: SeederStorage,

    /// CPU and memory. Leave it out for requests of 20m and 64Mi, and a limit of 512Mi.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::resources")]
    pub resources: Option<ResourceRequirements>,
}

/// The volume of the seeder's journals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("x-kubernetes-validations" = rules::volume_is_fixed("seeder.storage")))]
pub struct SeederStorage {
    /// Its size, such as 1Gi, which holds about 25 million writes. Cannot be changed.
    #[schemars(length(max = 32), extend("x-kubernetes-validations" = rules::volume_size("seeder.storage.size")))]
    pub size: String,

    /// The StorageClass. Leave it out for the cluster's default. Cannot be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub class: Option<String>,
}

impl Default for SeederStorage {
    fn default() -> Self {
        Self {
            size: "1Gi".to_owned(),
            class: None,
        }
    }
}
