//! Segments: files of records, each named by its first position, each beginning with a head that says whose it is.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::record::{self, Found};
use crate::crdt::{Entry, Incarnation, Position};

const MAGIC: [u8; 8] = *b"SCLIKES1";
/// Bytes of the head: magic, incarnation, first position, checksum.
pub const HEAD: usize = 28;

/// A file of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its first position.
    pub first: Position,
    /// Where it is.
    pub path: PathBuf,
    /// Bytes that are on disk for good.
    pub length: u64,
}

/// What is wrong with a segment.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// The disk.
    #[error("cannot read {path}: {error}; check the volume", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Of another log.
    #[error("{path} is not a segment of this log at position {expected}; put back the file that belongs there, or {REMEDY}", path = path.display())]
    Head {
        /// The file.
        path: PathBuf,
        /// Where it should begin.
        expected: Position,
    },
    /// Something that was written well is not well now.
    #[error("{path} is damaged at byte {offset}, after position {last}, and what was written after that is good: restore it from a copy, or {REMEDY}", path = path.display())]
    Middle {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: usize,
        /// The last position before.
        last: Position,
    },
    /// Records that were written well are gone.
    #[error("{path} ends at position {last}, and all up to {reached} was on disk once: restore it, and what belongs behind it, from a copy, or {REMEDY}", path = path.display())]
    End {
        /// The file.
        path: PathBuf,
        /// The last position that is left.
        last: Position,
        /// The last position before a segment that was begun later.
        reached: Position,
    },
}

/// What to do about a log that cannot be read.
pub const REMEDY: &str = "empty the folder: the node begins anew as another incarnation, and what its peers know of the old one stays counted";

impl Segment {
    /// The file of this position.
    pub fn path(folder: &Path, first: Position) -> PathBuf {
        folder.join(format!("{:020}.log", first.0))
    }

    /// All segments of a folder, by position.
    pub fn list(folder: &Path) -> io::Result<Vec<(Position, PathBuf)>> {
        let mut found = Vec::new();
        for file in fs::read_dir(folder)? {
            let path = file?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Some(first) = name.strip_suffix(".log").and_then(|digits| digits.parse().ok()) {
                found.push((Position(first), path));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// A new one, on disk with its name when this returns; it takes over a blank file of its name. Where this fails, a blank one may stay, and stands in
    /// nobody's way: whoever opens the log passes it over. It is not removed here: where it is the only file, its name says how far the log was.
    pub fn create(folder: &Path, incarnation: Incarnation, first: Position) -> io::Result<(Self, File)> {
        let path = Self::path(folder, first);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)?;
        file.write_all(&head(incarnation, first))?;
        file.sync_all()?;
        sync(folder)?;
        Ok((
            Self {
                first,
                path,
                length: HEAD as u64,
            },
            file,
        ))
    }

    /// Whether the file of this position has no record, and any part of its head: somebody was interrupted who began a segment.
    pub fn is_blank(path: &Path, incarnation: Incarnation, first: Position) -> Result<bool, Damage> {
        let io = |error| Damage::Io {
            path: path.to_owned(),
            error,
        };
        if fs::metadata(path).map_err(io)?.len() > HEAD as u64 {
            return Ok(false);
        }
        let bytes = fs::read(path).map_err(io)?;
        // A length may reach the disk before what was written does: zeros stand for it.
        let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        if head(incarnation, first).starts_with(&bytes[..written]) {
            return Ok(true);
        }
        Err(Damage::Head {
            path: path.to_owned(),
            expected: first,
        })
    }

    /// Reads a segment through that has records. `last` is the position before it. `torn_after`: a record that is not whole may end it behind this
    /// position, and nowhere if this is absent. Returns its last position, how many bytes are good, and how many torn ones stand after them.
    pub fn read(
        path: &Path,
        incarnation: Incarnation,
        mut last: Position,
        torn_after: Option<Position>,
        mut each: impl FnMut(Vec<Entry>),
    ) -> Result<(Position, usize, usize), Damage> {
        let bytes = fs::read(path).map_err(|error| Damage::Io {
            path: path.to_owned(),
            error,
        })?;
        let expected = last.next();
        if !bytes.starts_with(&head(incarnation, expected)) {
            return Err(Damage::Head {
                path: path.to_owned(),
                expected,
            });
        }
        let mut offset = HEAD;
        while offset < bytes.len() {
            match record::decode(&bytes[offset..]) {
                Found::Record(entries, length) if entries[0].position == last.next() => {
                    last = entries.last().map_or(last, |entry| entry.position);
                    offset += length;
                    each(entries);
                }
                Found::Short(_) | Found::Damaged
                    if torn_after.is_some_and(|whole| last >= whole) && !record::another_follows(&bytes[offset..]) =>
                {
                    return Ok((last, offset, bytes.len() - offset));
                }
                _ => {
                    return Err(Damage::Middle {
                        path: path.to_owned(),
                        offset,
                        last,
                    });
                }
            }
        }
        Ok((last, offset, 0))
    }
}

fn head(incarnation: Incarnation, first: Position) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(&MAGIC);
    head[8..16].copy_from_slice(&incarnation.0.to_le_bytes());
    head[16..24].copy_from_slice(&first.0.to_le_bytes());
    let crc = crc32c::crc32c(&head[..24]);
    head[24..].copy_from_slice(&crc.to_le_bytes());
    head
}

/// Removes a file, which may be gone already.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes names in a folder last.
pub fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Replaces a file: afterwards it has either its old content or all of the new, whatever happens.
pub fn replace(folder: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let beside = folder.join(format!("{name}.new"));
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    if let Err(error) = written {
        let _ = fs::remove_file(&beside);
        return Err(error);
    }
    fs::rename(&beside, folder.join(name))?;
    sync(folder)
}
