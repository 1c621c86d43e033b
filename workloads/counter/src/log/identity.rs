//! Whose log a folder holds.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use synccluster_protocol::ClusterName;

use super::segment::{self, REMEDY, Segment};
use crate::crdt::{Incarnation, Ordinal, Origin};

const NAME: &str = "identity.json";

/// Why a folder is not used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk.
    #[error("cannot use {path}: {error}; is the volume mounted and writable?", path = path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Two processes would write one log.
    #[error("another process uses {path}: end it first", path = path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// A volume that was mixed up.
    #[error("{path} holds the log of node {ordinal} of cluster {cluster}: mount the volume that belongs to this node", path = path.display())]
    OfAnother {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        cluster: ClusterName,
        /// Whose it is.
        ordinal: Ordinal,
    },
    /// Segments and nobody to own them.
    #[error("{path} has segments and no readable {NAME}: restore it from a copy, or {REMEDY}", path = path.display())]
    Lost {
        /// The folder.
        path: PathBuf,
    },
}

#[derive(Serialize, Deserialize)]
struct Identity {
    cluster: ClusterName,
    ordinal: Ordinal,
    incarnation: Incarnation,
}

/// Takes a folder for this node: whose log it is from now on, and the lock that keeps others out. An empty folder begins `fresh`.
pub fn take(
    folder: &Path,
    cluster: &ClusterName,
    ordinal: Ordinal,
    fresh: Incarnation,
) -> Result<(Origin, File), Error> {
    let io = |error| Error::Io {
        path: folder.to_owned(),
        error,
    };
    fs::create_dir_all(folder).map_err(io)?;
    let lock = File::create(folder.join("lock")).map_err(io)?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| Error::InUse {
        path: folder.to_owned(),
    })?;
    let identity = match fs::read(folder.join(NAME)) {
        Ok(text) => serde_json::from_slice(&text).map_err(|_| Error::Lost {
            path: folder.to_owned(),
        })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if !Segment::list(folder).map_err(io)?.is_empty() {
                return Err(Error::Lost {
                    path: folder.to_owned(),
                });
            }
            let identity = Identity {
                cluster: cluster.clone(),
                ordinal,
                incarnation: fresh,
            };
            let text = serde_json::to_vec(&identity).map_err(|error| io(error.into()))?;
            segment::replace(folder, NAME, &text).map_err(io)?;
            identity
        }
        Err(error) => return Err(io(error)),
    };
    if identity.cluster != *cluster || identity.ordinal != ordinal {
        let Identity { cluster, ordinal, .. } = identity;
        return Err(Error::OfAnother {
            path: folder.to_owned(),
            cluster,
            ordinal,
        });
    }
    Ok((
        Origin {
            ordinal,
            incarnation: identity.incarnation,
        },
        lock,
    ))
}
