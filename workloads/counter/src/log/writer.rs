//! Writing groups: one write and one fdatasync each.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
};

use rustix::io::Errno;

use super::{open::Settings, record, segment::Segment, shared::Log};
use crate::crdt::{Entry, Position};

/// Why a group is not on disk.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// It is certain that it is not, and nothing else has suffered.
    #[error("the volume is full: {0}")]
    Full(io::Error),
    /// It was not written at all.
    #[error(transparent)]
    Unencodable(#[from] record::Unencodable),
    /// It may be or may not, and nothing the kernel says of the file can be believed from now on: the process has to start anew and read
    /// what is really there.
    #[error("the log cannot be written: {0}; check the volume")]
    Broken(io::Error),
}

/// The one who writes a log.
pub struct Writer {
    file: File,
    settings: Settings,
    last: Position,
    log: Log,
    buffer: Vec<u8>,
}

impl Writer {
    pub(super) fn new(file: File, settings: Settings, last: Position, log: Log) -> Self {
        Self {
            file,
            settings,
            last,
            log,
            buffer: Vec::new(),
        }
    }

    /// Brings a group to disk. It begins after the last; readers see it only after [`Writer::tell`].
    pub fn append(&mut self, entries: &[Entry]) -> Result<(), AppendError> {
        self.buffer.clear();
        record::encode(entries, &mut self.buffer)?;
        let before = self.length();
        if let Err(error) = self.file.write_all_at(&self.buffer, before) {
            // Giving back what was taken needs no space. After that the file is as it was.
            return Err(match self.file.set_len(before) {
                Ok(()) if is_full(&error) => AppendError::Full(error),
                _ => AppendError::Broken(error),
            });
        }
        // After a failed fdatasync the kernel may forget that pages were dirty, and the next one would succeed without them.
        self.file.sync_data().map_err(AppendError::Broken)?;
        self.last = entries.last().map_or(self.last, |entry| entry.position);
        let length = before + self.buffer.len() as u64;
        if let Some(segment) = self.log.0.segments().last_mut() {
            segment.length = length;
        }
        if length >= self.settings.segment_bytes {
            self.rotate();
        }
        Ok(())
    }

    /// Lets readers see what was appended.
    pub fn tell(&self) {
        self.log.0.advance(self.last);
    }

    fn length(&self) -> u64 {
        self.log.0.segments().last().map_or(0, |segment| segment.length)
    }

    /// A segment that is too long does no harm, so a full volume only delays this.
    fn rotate(&mut self) {
        use super::follow::OwnLog;
        match Segment::create(self.log.folder(), self.log.origin().incarnation, self.last.next()) {
            Ok((segment, file)) => {
                self.file = file;
                self.log.0.segments().push(segment);
            }
            Err(error) => {
                // The old one goes on past its position. Where it stays, it is passed over.
                let _ = fs::remove_file(Segment::path(self.log.folder(), self.last.next()));
                tracing::warn!(%error, "cannot begin a new segment; the old one goes on");
            }
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    let full = [Errno::NOSPC, Errno::DQUOT, Errno::FBIG].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| full.contains(&code))
}
