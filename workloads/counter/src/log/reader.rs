//! Reading the own log while it is written.

use std::{fs::File, os::unix::fs::FileExt, sync::Arc};

use tokio::task::{JoinHandle, spawn_blocking};

use super::{
    follow::{Follower, LogEnd, Missing, OwnLog},
    record::{self, Found},
    segment::{self, Segment},
    shared::Log,
};
use crate::crdt::{Entry, Position};

/// Bytes read at once; what is larger is read as a whole.
const CHUNK: usize = 256 << 10;

/// Reads from a position on.
pub struct Reader {
    log: Log,
    next: Position,
    end: LogEnd,
    place: Option<Place>,
    /// A read nobody waited for to the end; the next call does.
    reading: Option<JoinHandle<Result<Read, Missing>>>,
}

/// Entries, and where the next record is.
type Read = (Vec<Entry>, Option<Place>);

struct Place {
    first: Position,
    file: File,
    offset: u64,
}

impl Reader {
    pub(super) fn new(log: Log, next: Position) -> Self {
        let end = log.end();
        Self {
            log,
            next,
            end,
            place: None,
            reading: None,
        }
    }

    /// The position it reads next.
    pub fn position(&self) -> Position {
        self.next
    }
}

impl Follower for Reader {
    async fn next(&mut self, limit: usize) -> Result<Arc<[Entry]>, Missing> {
        let next = self.next;
        let end = *self
            .end
            .wait_for(|end| *end >= next)
            .await
            .map_err(|_| Missing::Ended)?;
        let reading = self.reading.get_or_insert_with(|| {
            let (log, place) = (self.log.clone(), self.place.take());
            spawn_blocking(move || read(&log, place, next, end, limit))
        });
        let read = reading.await;
        self.reading = None;
        let (entries, place) = read.map_err(|_| Missing::Ended)??;
        self.next = entries.last().map_or(next, |entry| entry.position.next());
        self.place = place;
        Ok(entries.into())
    }
}

/// All entries of the log from the beginning to its end, now: for a search.
pub fn scan(log: &Log, mut each: impl FnMut(&Entry)) -> Result<(), Missing> {
    let (mut next, end, mut place) = (log.begin(), *log.end().borrow(), None);
    while next <= end {
        let (entries, after) = read(log, place, next, end, usize::MAX)?;
        entries.iter().for_each(&mut each);
        next = entries.last().map_or(next, |entry| entry.position.next());
        place = after;
    }
    Ok(())
}

/// Entries from `next` on; at least one, since the log ends at `end` or later.
fn read(log: &Log, place: Option<Place>, next: Position, end: Position, limit: usize) -> Result<Read, Missing> {
    let segment = segment_of(log, next)?;
    let mut place = match place.filter(|place| place.first == segment.first) {
        Some(place) => place,
        None => Place {
            first: segment.first,
            file: File::open(&segment.path)?,
            offset: segment::HEAD as u64,
        },
    };
    let (mut entries, mut chunk) = (Vec::new(), CHUNK);
    // What is appended while this reads is not told yet: `end` bounds what is returned, the segment's length what is read.
    while entries.is_empty() && place.offset < segment.length {
        let left = usize::try_from(segment.length - place.offset).unwrap_or(usize::MAX);
        let mut bytes = vec![0; chunk.min(left)];
        place.file.read_exact_at(&mut bytes, place.offset)?;
        let mut offset = 0;
        while offset < bytes.len() && entries.len() < limit {
            match record::decode(&bytes[offset..]) {
                Found::Record(found, length) if found[0].position <= end => {
                    entries.extend(found.into_iter().filter(|entry| entry.position >= next));
                    offset += length;
                }
                Found::Record(..) => break,
                Found::Short(needed) if bytes.len() < left => {
                    chunk = chunk.max(needed);
                    break;
                }
                Found::Short(_) | Found::Damaged => return Err(Missing::Damaged(next)),
            }
        }
        place.offset += offset as u64;
    }
    if entries.is_empty() {
        return Err(Missing::Damaged(next));
    }
    Ok((entries, Some(place)))
}

/// The segment that has the position.
fn segment_of(log: &Log, next: Position) -> Result<Segment, Missing> {
    let segments = log.0.segments();
    let before = segments.iter().rev().find(|segment| segment.first <= next);
    let begin = segments.first().map_or(next, |segment| segment.first);
    before
        .cloned()
        .ok_or(Missing::Truncated(Position(begin.0.saturating_sub(1))))
}
