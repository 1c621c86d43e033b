//! An event as it goes over a websocket. Pure.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::value::RawValue;

/// A final frame of text that is not masked, as a server sends it (RFC 6455, section 5.2).
const FINAL_TEXT: u8 = 0x81;
/// A length of two bytes follows, or one of eight.
const TWO_BYTES: u8 = 126;
const EIGHT_BYTES: u8 = 127;

/// What is joined to one write at most; a longer frame is a write of its own.
const BLOCK: usize = 256 * 1024;

/// An event of a namespace, made once for all who get it.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Its name.
    pub event: &'static str,
    /// Its only argument, which is JSON.
    pub data: Arc<RawValue>,
    wire: Bytes,
    head: usize,
}

impl Frame {
    /// `namespace` begins with a slash. `None` if `data` is not JSON.
    pub fn new(namespace: &str, event: &'static str, data: &str) -> Option<Self> {
        let raw = RawValue::from_string(data.to_owned()).ok()?;
        // Engine.IO's message, Socket.IO's event; the main namespace is not said.
        let namespace = if namespace == "/" {
            String::new()
        } else {
            format!("{namespace},")
        };
        let text = format!("42{namespace}[\"{event}\",{data}]");
        let mut wire = BytesMut::with_capacity(text.len() + 10);
        wire.put_u8(FINAL_TEXT);
        match (u8::try_from(text.len()), u16::try_from(text.len())) {
            (Ok(short), _) if short < TWO_BYTES => wire.put_u8(short),
            (_, Ok(medium)) => {
                wire.put_u8(TWO_BYTES);
                wire.put_u16(medium);
            }
            _ => {
                wire.put_u8(EIGHT_BYTES);
                wire.put_u64(text.len() as u64);
            }
        }
        let head = wire.len();
        wire.extend_from_slice(text.as_bytes());
        Some(Self {
            event,
            data: Arc::from(raw),
            wire: wire.freeze(),
            head,
        })
    }

    /// All of it.
    pub fn wire(&self) -> &Bytes {
        &self.wire
    }

    /// What is inside the websocket's frame.
    pub fn text(&self) -> Bytes {
        self.wire.slice(self.head..)
    }
}

/// Frames that go out together.
#[derive(Clone, Debug)]
pub struct Block {
    /// In their order.
    pub frames: Vec<Frame>,
    /// Their bytes, joined so that they are one write.
    pub wire: Bytes,
}

/// These frames in blocks.
pub fn blocks(frames: &[&Frame]) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut rest = frames;
    while !rest.is_empty() {
        let mut size = 0;
        let fits = rest.iter().take_while(|frame| {
            size += frame.wire.len();
            size <= BLOCK
        });
        let (block, after) = rest.split_at(fits.count().max(1));
        rest = after;
        let frames: Vec<Frame> = block.iter().copied().cloned().collect();
        let wire = match &frames[..] {
            [one] => one.wire.clone(),
            several => {
                let mut joined = BytesMut::with_capacity(several.iter().map(|frame| frame.wire.len()).sum());
                for frame in several {
                    joined.extend_from_slice(&frame.wire);
                }
                joined.freeze()
            }
        };
        blocks.push(Block { frames, wire });
    }
    blocks
}

#[cfg(test)]
mod tests {
    use tungstenite::protocol::{Role, WebSocket};

    use super::*;

    fn frame(size: usize) -> Frame {
        Frame::new("/sites", "change", &format!("{{\"row\":\"{}\"}}", "x".repeat(size))).unwrap()
    }

    /// What a websocket client makes of these bytes.
    fn read(bytes: &[u8], count: usize) -> Vec<String> {
        let mut client = WebSocket::from_raw_socket(std::io::Cursor::new(bytes.to_vec()), Role::Client, None);
        (0..count)
            .map(|_| client.read().unwrap().into_text().unwrap().to_string())
            .collect()
    }

    #[test]
    fn a_websocket_reads_what_was_meant_whatever_its_length() {
        for size in [
            0, 80, 85, 86, 87, 88, 89, 90, 91, 92, 200, 65_000, 65_509, 65_510, 65_511, 65_512, 200_000,
        ] {
            let frame = frame(size);
            let text = String::from_utf8(frame.text().to_vec()).unwrap();
            assert!(text.starts_with("42/sites,[\"change\",{\"row\":\"") && text.ends_with("\"}]"));
            assert_eq!(read(frame.wire(), 1), [text], "{size}");
        }
    }

    #[test]
    fn the_main_namespace_is_not_said() {
        let frame = Frame::new("/", "live_aggregations_1", "{}").unwrap();
        assert_eq!(frame.text(), &b"42[\"live_aggregations_1\",{}]"[..]);
    }

    #[test]
    fn what_is_no_json_becomes_no_frame() {
        for wrong in ["", "{", "1,2", "{}]"] {
            assert!(Frame::new("/sites", "change", wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn blocks_hold_every_frame_once_and_in_order() {
        let frames: Vec<Frame> = [10, 100_000, 100_000, 100_000, 300_000, 5, 5].map(frame).into();
        let all: Vec<&Frame> = frames.iter().collect();
        let found = blocks(&all);
        let sizes: Vec<usize> = found.iter().map(|block| block.frames.len()).collect();
        assert_eq!(sizes, [3, 1, 1, 2]);
        for Block { frames, wire } in &found {
            let texts: Vec<String> = frames
                .iter()
                .map(|frame| String::from_utf8(frame.text().to_vec()).unwrap())
                .collect();
            assert_eq!(read(wire, frames.len()), texts);
        }
        assert!(blocks(&[]).is_empty());
    }
}
