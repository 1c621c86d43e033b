//! What nodes say to one another, and how it travels: frames of a length (4 bytes, little-endian) and so many bytes of postcard.

use std::io;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use synccluster_protocol::ClusterName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::members::{Heartbeat, Vote};
use crate::crdt::{Entry, Origin, Position, Summary};

/// Spoken by both ends, or they do not speak.
pub const VERSION: u32 = 3;
/// The largest frame: a whole part of a million ids has less.
const LIMIT: u32 = 512 << 20;
/// Bytes read at once, so that a length alone takes no memory.
const STEP: usize = 1 << 20;

/// From the one who has dialled.
#[derive(Debug, Serialize, Deserialize)]
pub enum Tell {
    /// Who it is. The first frame.
    Hello {
        /// [`VERSION`].
        version: u32,
        /// The cluster it belongs to.
        cluster: ClusterName,
        /// Who it is.
        origin: Origin,
    },
    /// Entries of its own log, in order.
    Entries(Vec<Entry>),
    /// A whole part, as a snapshot has it.
    Whole(Vec<u8>),
    /// How it is.
    Heartbeat(Heartbeat),
}

/// From the one who was dialled.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    /// Who it is, and what it knows. The answer to a hello.
    Welcome {
        /// Who it is.
        origin: Origin,
        /// What of the others' logs is on its disk.
        kept: Vec<(Origin, Position)>,
        /// What it knows.
        known: Vec<Summary>,
    },
    /// How it is. The answer to a heartbeat.
    Known {
        /// What of the others' logs is on its disk now.
        kept: Vec<(Origin, Position)>,
        /// What it knows now.
        known: Vec<Summary>,
        /// Whether it takes the one who asks for the leader.
        vote: Option<Vote>,
    },
    /// Why it does not speak.
    Refused(String),
}

/// Writes a frame, all of it.
pub async fn write(out: &mut (impl AsyncWrite + Unpin), frame: &impl Serialize) -> io::Result<()> {
    let mut bytes = postcard::to_extend(frame, vec![0; 4]).map_err(io::Error::other)?;
    let length = u32::try_from(bytes.len() - 4).ok().filter(|length| *length <= LIMIT);
    let length = length.ok_or_else(|| io::Error::other("a frame that is too large"))?;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    out.write_all(&bytes).await
}

/// Reads a frame; absent at the end.
pub async fn read<T: DeserializeOwned>(input: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<T>> {
    let length = match input.read_u32_le().await {
        Ok(length) if length <= LIMIT => length as usize,
        Ok(length) => {
            return Err(io::Error::other(format!(
                "a frame of {length} bytes: is this another service's port?"
            )));
        }
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    while bytes.len() < length {
        let read = bytes.len();
        bytes.resize(length.min(read + STEP), 0);
        input.read_exact(&mut bytes[read..]).await?;
    }
    postcard::from_bytes(&bytes).map(Some).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[tokio::test]
    async fn a_frame_arrives_as_it_left_and_the_end_is_no_error() {
        let mut bytes = Vec::new();
        write(&mut bytes, &Tell::Whole(vec![7; 3 * STEP])).await.unwrap();
        let mut input = bytes.as_slice();
        let frame = read::<Tell>(&mut input).await.unwrap();
        assert!(matches!(frame, Some(Tell::Whole(whole)) if whole == vec![7; 3 * STEP]));
        assert!(read::<Tell>(&mut input).await.unwrap().is_none());
        assert!(read::<Tell>(&mut &b"\xff\xff\xff\xff"[..]).await.is_err());
    }

    proptest! {
        #[test]
        fn nothing_that_arrives_makes_it_panic(bytes in any::<Vec<u8>>()) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let framed = [&u32::try_from(bytes.len()).unwrap().to_le_bytes()[..], &bytes].concat();
            let _ = runtime.block_on(read::<Tell>(&mut framed.as_slice()));
            let _ = runtime.block_on(read::<Answer>(&mut bytes.as_slice()));
        }
    }
}
