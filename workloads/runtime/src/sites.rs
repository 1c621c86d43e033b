//! The sites a workload speaks to, from the Secrets that are mounted for it.

use std::{collections::BTreeMap, fs, path::Path};

use synccluster_protocol::Site;

use crate::postgres::PostgresSecret;

/// Why the sites are not known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder cannot be read.
    #[error("cannot list {folder}: {reason}; it must hold one folder a site, each with that site's secret")]
    Folder {
        /// The folder.
        folder: String,
        /// Why.
        reason: String,
    },
    /// A folder that is no site's.
    #[error("`{0}` is no site: folders are called server or client-<i>")]
    NoSite(String),
}

/// From a folder with one folder a site, as the operator mounts their Secrets. What a Secret lacks is said when its site is connected to: a
/// site that cannot be reached must not keep the others from being.
pub fn read(folder: &Path) -> Result<BTreeMap<Site, PostgresSecret>, Error> {
    let fail = |error: std::io::Error| Error::Folder {
        folder: folder.display().to_string(),
        reason: error.to_string(),
    };
    let mut sites = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Kubernetes keeps its own bookkeeping beside what it mounts.
        if name.starts_with("..") {
            continue;
        }
        let site: Site = name.parse().map_err(|_| Error::NoSite(name))?;
        sites.insert(site, PostgresSecret::at(&entry.path()));
    }
    Ok(sites)
}
