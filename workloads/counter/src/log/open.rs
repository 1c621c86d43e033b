//! Opening a log: what is on disk becomes a state again.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use super::{
    segment::{self, Damage, REMEDY, Segment},
    shared::{Log, Shared},
    snapshot,
    writer::Writer,
};
use crate::crdt::{Entry, Gap, Position, State};

/// Why a log is not opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A segment.
    #[error(transparent)]
    Damage(#[from] Damage),
    /// The snapshot.
    #[error(transparent)]
    Snapshot(#[from] snapshot::Error),
    /// The disk.
    #[error("cannot open the log in {path}: {error}; check the volume", path = path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Segments are gone from the beginning.
    #[error(
        "the log begins after position {0}, and the snapshot does not know what was before: restore the missing segments, or {REMEDY}"
    )]
    Beginning(Position),
    /// Segments are gone from the end.
    #[error(
        "the log ends at position {end}, and the snapshot knows entries up to {known}: restore the missing segment, or {REMEDY}"
    )]
    End {
        /// Of the log.
        end: Position,
        /// By the snapshot.
        known: Position,
    },
    /// Entries that do not join.
    #[error("the log is not whole: {0}; restore the missing segment, or {REMEDY}")]
    Gap(#[from] Gap),
}

/// How a log is kept.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Bytes after which a new segment begins.
    pub segment_bytes: u64,
}

/// Opens the log of `state`'s own origin and brings the state to where the log ends.
pub fn open(folder: &Path, lock: File, settings: Settings, state: &mut State) -> Result<(Writer, Log), Error> {
    let io = |error| Error::Io {
        path: folder.to_owned(),
        error,
    };
    for (origin, part) in snapshot::read(folder)? {
        state.restore(origin, part);
    }
    let own = state.own();
    let known = state.position(own);
    let files = Segment::list(folder).map_err(io)?;
    let mut last = files
        .first()
        .map_or(Position(0), |(first, _)| Position(first.0.saturating_sub(1)));
    if last > known {
        return Err(Error::Beginning(last));
    }
    let mut segments = Vec::new();
    for (index, (first, path)) in files.iter().enumerate() {
        let (newest, mut gap) = (index + 1 == files.len(), Ok(()));
        let each = |entries: Vec<Entry>| {
            if gap.is_ok() && entries.last().is_some_and(|entry| entry.position > known) {
                gap = state.apply(own, &entries).1;
            }
        };
        let (end, good, torn) = Segment::read(path, own.incarnation, last, newest, each)?;
        gap?;
        if torn > 0 {
            tracing::warn!(path = %path.display(), torn, last = %end, "a group that a crash interrupted is cut off; none of it was acknowledged");
        }
        if good < segment::HEAD {
            fs::remove_file(path).and_then(|()| segment::sync(folder)).map_err(io)?;
            continue;
        }
        if torn > 0 {
            let cut = OpenOptions::new().write(true).open(path).and_then(|file| {
                file.set_len(good as u64)?;
                file.sync_all()
            });
            cut.map_err(io)?;
        }
        last = end;
        segments.push(Segment {
            first: *first,
            path: path.clone(),
            length: good as u64,
        });
    }
    if last < known {
        return Err(Error::End { end: last, known });
    }
    let file = if let Some(segment) = segments.last() {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(&segment.path)
            .map_err(io)?
    } else {
        let (segment, file) = Segment::create(folder, own.incarnation, last.next()).map_err(io)?;
        segments.push(segment);
        file
    };
    let log = Log::new(Shared::new(own, folder.to_owned(), segments, last, lock));
    Ok((Writer::new(file, settings, last, log.clone()), log))
}
