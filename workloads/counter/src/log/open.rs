//! Opening a log: what is on disk becomes a state again.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use super::{
    segment::{Damage, REMEDY, Segment},
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
///
/// Crash windows: a segment is begun when all before it is on disk. Where that was interrupted, or failed, a file without a record stays, anywhere in the
/// log: at its end it becomes the segment it was to be, and any other one goes, because the segment before it went on. Nothing is changed
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
    let (mut files, mut blank) = (Vec::new(), Vec::new());
    for (first, path) in Segment::list(folder).map_err(io)? {
        let is_blank = Segment::is_blank(&path, own.incarnation, first)?;
        let of = if is_blank { &mut blank } else { &mut files };
        of.push((first, path));
    }
    // A blank file may be older than all that have records: the segment that went on past it was truncated.
    let mut last = files
        .first()
        .or(blank.last())
        .map_or(Position(0), |(first, _)| before(*first));
    if last > known {
        return Err(Error::Beginning(last));
    }
    // All before a segment was on disk when it was begun, whatever became of it.
    let reached = blank.last().map_or(Position(0), |(first, _)| before(*first));
    let (mut segments, mut torn_end) = (Vec::new(), 0);
    for (index, (first, path)) in files.iter().enumerate() {
        let (newest, mut gap) = (index + 1 == files.len(), Ok(()));
        let each = |entries: Vec<Entry>| {
            if gap.is_ok() && entries.last().is_some_and(|entry| entry.position > known) {
                gap = state.apply(own, &entries).1;
            }
        };
        // Not this one: the one before it, of which nothing is left.
        if *first != last.next()
            && let Some((_, path)) = blank.iter().find(|(emptied, _)| *emptied == last.next())
        {
            let (path, expected) = (path.clone(), last.next());
            return Err(Damage::Head { path, expected }.into());
        }
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
    if last < reached {
        // The one that has lost all its records, or some at its end.
        let emptied = blank.iter().find(|(first, _)| *first == last.next());
        let path = emptied.or(files.last()).map_or(folder, |(_, path)| path.as_path());
        let path = path.to_owned();
        return Err(Damage::End { path, last, reached }.into());
    }
    // One that is older than all records may be a segment that lost its own: nobody needs them, but it is left for whoever asks.
    let oldest = files.first().map_or(last, |(first, _)| *first);
    for (_, path) in blank.iter().filter(|(first, _)| oldest < *first && *first <= last) {
        // It is in nobody's way, so one that stays is no reason not to start.
        match fs::remove_file(path) {
            Ok(()) => {
                tracing::warn!(path = %path.display(), "a segment that was begun and never written to is removed; the one before it went on");
            }
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "a segment that was begun and never written to cannot be removed; it is passed over");
            }
        }
    }
    if let Some(segment) = segments.last().filter(|_| torn_end > 0) {
        tracing::warn!(path = %segment.path.display(), torn = torn_end, last = %last, "a group that a crash interrupted is cut off; none of it was acknowledged");
        let cut = OpenOptions::new().write(true).open(&segment.path).and_then(|file| {
            file.set_len(segment.length)?;
            file.sync_all()
        });
        cut.map_err(io)?;
    }
    let is_begun = blank.last().is_some_and(|(first, _)| *first > last);
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

fn before(position: Position) -> Position {
    Position(position.0.saturating_sub(1))
}
