//! The snapshot: all parts in one file, so that neither peers' parts nor the whole of the own log have to be learnt again.
//!
//! ```text
//! snapshot = magic(8) crc32c(4) part*        part = length(8) postcard(origin, part); the checksum covers all parts
//! ```

use std::{fs, io, path::Path};

use super::segment::{self, REMEDY};
use crate::crdt::{FirstFormat, Origin, Part};

const MAGIC: [u8; 8] = *b"SCPARTS2";
/// With requests by time: read, and written no more.
const FIRST_MAGIC: [u8; 8] = *b"SCPARTS1";
const NAME: &str = "snapshot";

/// Why there is no reading it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk.
    #[error("cannot read or write the snapshot: {0}; check the volume")]
    Io(#[from] io::Error),
    /// It was whole when it was written.
    #[error("the snapshot is damaged: restore it from a copy, or {REMEDY}")]
    Damaged,
    /// No input brings this about.
    #[error("cannot encode the snapshot: {0}")]
    Encode(postcard::Error),
}

/// A part as the snapshot has it.
pub fn encode(origin: Origin, part: &Part) -> Result<Vec<u8>, Error> {
    postcard::to_allocvec(&(origin, part)).map_err(Error::Encode)
}

/// What [`encode`] has made. Whether the part is sound is left to who takes it in.
pub fn decode(bytes: &[u8]) -> Result<(Origin, Part), postcard::Error> {
    postcard::from_bytes(bytes)
}

fn decode_first(bytes: &[u8]) -> Result<(Origin, Part), postcard::Error> {
    let (origin, part) = postcard::from_bytes::<(Origin, FirstFormat)>(bytes)?;
    Ok((origin, Part::of_the_first_format(part)))
}

/// Replaces the snapshot by these parts; the old one stays if that fails.
pub fn write(folder: &Path, parts: &[Vec<u8>]) -> Result<(), Error> {
    let mut content = Vec::with_capacity(12 + parts.iter().map(|part| part.len() + 8).sum::<usize>());
    content.extend(MAGIC);
    content.extend([0; 4]);
    for part in parts {
        content.extend((part.len() as u64).to_le_bytes());
        content.extend(part);
    }
    let crc = crc32c::crc32c(&content[12..]);
    content[8..12].copy_from_slice(&crc.to_le_bytes());
    Ok(segment::replace(folder, NAME, &content)?)
}

/// All parts of the snapshot; none if there is no snapshot.
pub fn read(folder: &Path) -> Result<Vec<(Origin, Part)>, Error> {
    let content = match fs::read(folder.join(NAME)) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    parse(&content).ok_or(Error::Damaged)
}

fn parse(content: &[u8]) -> Option<Vec<(Origin, Part)>> {
    let (magic, rest) = content.split_first_chunk::<8>()?;
    let decode = match *magic {
        MAGIC => decode,
        FIRST_MAGIC => decode_first,
        _ => return None,
    };
    let (crc, mut rest) = rest.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*crc) != crc32c::crc32c(rest) {
        return None;
    }
    let mut parts = Vec::new();
    while let Some((length, bytes)) = rest.split_first_chunk::<8>() {
        let (part, after) = bytes.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        let (origin, part) = decode(part).ok()?;
        if !part.sound() {
            return None;
        }
        parts.push((origin, part));
        rest = after;
    }
    rest.is_empty().then_some(parts)
}
