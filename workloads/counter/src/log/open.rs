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
use crate::crdt::{Entry, Gap, Incarnation, Position, State};

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
///
/// Crash windows: a segment is begun when all before it is on disk. Where that was interrupted, or failed, the newest files have no record: at the end
/// of the log the one there becomes the segment it was to be, and any other one goes, because the segment before it went on. Nothing is changed
/// on disk before it is certain that nothing is missing, and each change leaves what the next opening understands.
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
    let mut files = Segment::list(folder).map_err(io)?;
    let mut last = files.first().map_or(Position(0), |(first, _)| before(*first));
    if last > known {
        return Err(Error::Beginning(last));
    }
    let blank = take_blank(&mut files, own.incarnation)?;
    // All before a segment was on disk when it was begun, whatever became of it.
    let reached = blank.first().map_or(Position(0), |(first, _)| before(*first));
    let (mut segments, mut torn_end) = (Vec::new(), 0);
    for (index, (first, path)) in files.iter().enumerate() {
        let (newest, mut gap) = (index + 1 == files.len(), Ok(()));
        let each = |entries: Vec<Entry>| {
            if gap.is_ok() && entries.last().is_some_and(|entry| entry.position > known) {
                gap = state.apply(own, &entries).1;
            }
        };
        let (end, good, torn) = Segment::read(path, own.incarnation, last, newest.then_some(reached), each)?;
        gap?;
        (last, torn_end) = (end, torn);
        segments.push(Segment {
            first: *first,
            path: path.clone(),
            length: good as u64,
        });
    }
    if last < known {
        return Err(Error::End { end: last, known });
    }
    if let Some((_, path)) = blank.first().filter(|_| last < reached) {
        let (path, expected) = (path.clone(), last.next());
        return Err(Damage::Head { path, expected }.into());
    }
    for (_, path) in blank.iter().filter(|(first, _)| *first <= last) {
        tracing::warn!(path = %path.display(), "a segment that was begun and never written to is removed; the one before it went on");
        fs::remove_file(path).and_then(|()| segment::sync(folder)).map_err(io)?;
    }
    if let Some(segment) = segments.last().filter(|_| torn_end > 0) {
        tracing::warn!(path = %segment.path.display(), torn = torn_end, last = %last, "a group that a crash interrupted is cut off; none of it was acknowledged");
        let cut = OpenOptions::new().write(true).open(&segment.path).and_then(|file| {
            file.set_len(segment.length)?;
            file.sync_all()
        });
        cut.map_err(io)?;
    }
    let is_begun = blank.iter().any(|(first, _)| *first > last);
    let file = if let Some(segment) = segments.last().filter(|_| !is_begun) {
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

/// Takes the newest files that have no record off the list; the newest comes first.
fn take_blank(
    files: &mut Vec<(Position, PathBuf)>,
    incarnation: Incarnation,
) -> Result<Vec<(Position, PathBuf)>, Damage> {
    let mut blank = Vec::new();
    while let Some((first, path)) = files.last() {
        if !Segment::is_blank(path, incarnation, *first)? {
            break;
        }
        blank.extend(files.pop());
    }
    Ok(blank)
}

fn before(position: Position) -> Position {
    Position(position.0.saturating_sub(1))
}
