//! Analytics, validated.

use k8s_openapi::api::core::v1::ResourceRequirements;

use super::Error;
use crate::api::{self, ClickHouseStorage};

/// A ClickHouse and what fills it.
#[derive(Clone, Debug, PartialEq)]
pub struct Analytics {
    /// Whose ClickHouse it is.
    pub clickhouse: ClickHouse,
    /// The ConfigMap with definitions of tables.
    pub tables: Option<String>,
    /// Another one rebuilds.
    pub generation: i64,
    /// CPU and memory of what fills it.
    pub resources: Option<ResourceRequirements>,
}

/// Whose ClickHouse it is.
#[derive(Clone, Debug, PartialEq)]
pub enum ClickHouse {
    /// The operator runs it.
    Managed {
        /// Its image.
        image: String,
        /// Its volume.
        storage: ClickHouseStorage,
        /// CPU and memory.
        resources: Option<ResourceRequirements>,
    },
    /// Somebody else does.
    External {
        /// The Secret that says where it is.
        secret: String,
        /// The port to let the sink out to.
        port: u16,
    },
}

/// The analytics that are asked for, if any.
pub fn analytics(written: &api::Analytics, default_image: &str) -> Result<Option<Analytics>, Error> {
    let Some(written) = &written.clickhouse else {
        return Ok(None);
    };
    let clickhouse = match (&written.managed, &written.external) {
        (Some(managed), None) => ClickHouse::Managed {
            image: managed.image.clone().unwrap_or_else(|| default_image.to_owned()),
            storage: managed.storage.clone(),
            resources: managed.resources.clone(),
        },
        (None, Some(external)) => ClickHouse::External {
            secret: external.secret.clone(),
            port: super::range(
                "analytics.clickhouse.external.port",
                external.port,
                1..=65535,
                "between 1 and 65535",
            )?,
        },
        _ => return Err(Error::ClickHouse),
    };
    Ok(Some(Analytics {
        clickhouse,
        tables: written.tables.as_ref().map(|tables| tables.config_map.name.clone()),
        generation: written.generation,
        resources: written.resources.clone(),
    }))
}
