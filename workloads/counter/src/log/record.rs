//! Groups of entries as bytes. A group is one record, so that what a crash leaves of it is seen as a whole: either all of it is there or
//! it never was acknowledged.
//!
//! ```text
//! record = magic(4) length(4) crc32c(4) payload       numbers are little-endian; the checksum covers length and payload
//! ```

use crate::crdt::{Entry, Position};

/// Begins a record. Neither byte of its ends can be part of UTF-8, so no text a client chooses looks like it.
const MAGIC: [u8; 4] = [0xff, b'S', b'C', 0xfe];
const HEAD: usize = 12;
/// The largest payload; groups are kept far below.
pub const MAX_PAYLOAD: usize = 64 << 20;

/// What stands at a place of a segment.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// A record of these entries, of so many bytes.
    Record(Vec<Entry>, usize),
    /// A record may begin here, and more bytes are needed to see it: so many from its beginning on.
    Short(usize),
    /// No record.
    Damaged,
}

/// Entries cannot be encoded, which no input brings about.
#[derive(Debug, thiserror::Error)]
pub enum Unencodable {
    /// Not at all.
    #[error("cannot encode entries: {0}")]
    Entries(#[from] postcard::Error),
    /// It would not be read again.
    #[error("a group has {0} bytes, and a record has {MAX_PAYLOAD} at most")]
    Size(usize),
}

/// As bytes, after what is in `out` already.
pub fn encode(entries: &[Entry], out: &mut Vec<u8>) -> Result<(), Unencodable> {
    let payload = postcard::to_allocvec(entries)?;
    let length = u32::try_from(payload.len())
        .ok()
        .filter(|_| payload.len() <= MAX_PAYLOAD);
    let length = length.ok_or(Unencodable::Size(payload.len()))?;
    out.extend(MAGIC);
    out.extend(length.to_le_bytes());
    out.extend(checksum(length, &payload).to_le_bytes());
    out.extend(payload);
    Ok(())
}

/// What stands at the beginning of `bytes`.
pub fn decode(bytes: &[u8]) -> Found {
    let magic = bytes.len().min(MAGIC.len());
    if bytes[..magic] != MAGIC[..magic] {
        return Found::Damaged;
    }
    let Some(head) = bytes.first_chunk::<HEAD>() else {
        return Found::Short(HEAD);
    };
    let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (length, crc) = (number(4), number(8));
    let end = HEAD + length as usize;
    if length as usize > MAX_PAYLOAD {
        return Found::Damaged;
    }
    let Some(payload) = bytes.get(HEAD..end) else {
        return Found::Short(end);
    };
    if checksum(length, payload) != crc {
        return Found::Damaged;
    }
    match postcard::from_bytes::<Vec<Entry>>(payload) {
        Ok(entries) if in_a_row(&entries) => Found::Record(entries, end),
        _ => Found::Damaged,
    }
}

/// Whether a whole record begins anywhere after the first byte: then the damage before it is no torn end.
pub fn another_follows(bytes: &[u8]) -> bool {
    let mut places = bytes.windows(MAGIC.len()).enumerate().skip(1);
    places.any(|(place, window)| window == MAGIC && matches!(decode(&bytes[place..]), Found::Record(..)))
}

fn in_a_row(entries: &[Entry]) -> bool {
    let first = entries.first().map(|entry| entry.position);
    first.is_some_and(|first| {
        let mut expected = first.0..;
        first > Position(0) && entries.iter().all(|entry| expected.next() == Some(entry.position.0))
    })
}

fn checksum(length: u32, payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&length.to_le_bytes()), payload)
}
