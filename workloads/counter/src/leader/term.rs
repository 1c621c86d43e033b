//! A node's last vote, on its disk.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use crate::{crdt::Ordinal, mesh::members::Claim};

const NAME: &str = "vote.json";

/// Why it cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The volume.
    #[error("cannot keep the last vote in {0}: {1}")]
    Io(PathBuf, io::Error),
    /// What is there.
    #[error("{0} is damaged ({1}): remove it when the other nodes run, which know the term")]
    Damaged(PathBuf, serde_json::Error),
}

#[derive(Serialize, Deserialize)]
struct Document {
    term: u64,
    leader: Ordinal,
}

/// The last vote; term 0 before the first.
pub fn read(folder: &Path) -> Result<Claim, Error> {
    let path = folder.join(NAME);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Claim {
                term: 0,
                leader: Ordinal(0),
            });
        }
        Err(error) => return Err(Error::Io(path, error)),
    };
    let Document { term, leader } = serde_json::from_slice(&bytes).map_err(|error| Error::Damaged(path, error))?;
    Ok(Claim { term, leader })
}

/// Keeps it: when this returns it is on disk, as a whole.
pub async fn keep(folder: &Path, vote: Claim) -> Result<(), Error> {
    let place = folder.to_owned();
    match spawn_blocking(move || write(&place, vote)).await {
        Ok(written) => written,
        Err(error) => Err(Error::Io(folder.to_owned(), io::Error::other(error))),
    }
}

fn write(folder: &Path, Claim { term, leader }: Claim) -> Result<(), Error> {
    let (path, new) = (folder.join(NAME), folder.join(format!("{NAME}.new")));
    let writing = || {
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(&Document { term, leader })?)?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(folder)?.sync_all()
    };
    writing().map_err(|error| Error::Io(path.clone(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_vote_is_there_again_and_a_damaged_one_is_said() {
        let folder = std::env::temp_dir().join(format!("synccluster-vote-{:016x}", rand::random::<u64>()));
        fs::create_dir_all(&folder).unwrap();
        assert_eq!(read(&folder).unwrap().term, 0);
        let vote = Claim {
            term: 7,
            leader: Ordinal(2),
        };
        write(&folder, Claim { term: 6, ..vote }).unwrap();
        write(&folder, vote).unwrap();
        assert_eq!(read(&folder).unwrap(), vote);
        fs::write(folder.join(NAME), b"{\"term\":").unwrap();
        assert!(read(&folder).unwrap_err().to_string().contains("damaged"));
        fs::remove_dir_all(&folder).unwrap();
    }
}
