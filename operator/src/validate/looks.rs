//! A console for Kafka, Superset and JupyterLab, validated.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;

use super::{Error, range};
use crate::api;
pub use crate::api::{Notebooks, Superset};

/// A console for Kafka.
#[derive(Clone, Debug, PartialEq)]
pub struct Console {
    /// Its image.
    pub image: String,
    /// Where it serves.
    pub port: u16,
    /// Further variables.
    pub env: BTreeMap<String, String>,
    /// CPU and memory.
    pub resources: Option<ResourceRequirements>,
}

/// The console that is asked for.
pub fn console(written: &api::Console) -> Result<Console, Error> {
    Ok(Console {
        image: written.image.clone(),
        port: range("console.port", written.port, 1024..=65535, "between 1024 and 65535")?,
        env: written.env.clone(),
        resources: written.resources.clone(),
    })
}
