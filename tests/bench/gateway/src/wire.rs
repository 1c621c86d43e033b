//! The little of websockets and Socket.IO that a client of the bench needs. Pure.

/// Of a frame's text, as the figures were got.
pub const FRAME: usize = 140;

/// What an event's text begins with.
pub const EVENT: &[u8] = b"42/sites,[\"hop\",";
/// Engine.IO's ping.
pub const PING: &[u8] = b"2";

const NUMBER: &str = "{\"table\":\"public.todos\",\"key\":\"";
const SENT: &str = "\",\"version\":\"";
const DIGITS: usize = 19;

/// The argument of an event: its number and when it was sent, so long that the frame has [`FRAME`] bytes.
pub fn argument(number: u64, sent: u64) -> String {
    let mut text = format!("{NUMBER}{number:0DIGITS$}{SENT}{sent:0DIGITS$}\",\"hop\":\"");
    let end = "\"}";
    let padding = FRAME - EVENT.len() - text.len() - end.len() - 1;
    text.extend(std::iter::repeat_n('x', padding));
    text + end
}

/// Number and time out of an event's text.
pub fn read(text: &[u8]) -> Option<(u64, u64)> {
    let at = |start: usize| std::str::from_utf8(text.get(start..start + DIGITS)?).ok()?.parse().ok();
    let number = EVENT.len() + NUMBER.len();
    Some((at(number)?, at(number + DIGITS + SENT.len())?))
}

/// A frame as a client sends it; masked with zeros, which changes nothing.
pub fn masked(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap_or(125).min(125);
    let mut frame = vec![0x81, 0x80 | length, 0, 0, 0, 0];
    frame.extend_from_slice(&text.as_bytes()[..usize::from(length)]);
    frame
}

/// The text of the first frame and the bytes it takes; `None` if it is not whole.
pub fn first(data: &[u8]) -> Option<(&[u8], usize)> {
    let (length, head) = match data.get(1)? & 127 {
        126 => (usize::from(u16::from_be_bytes([*data.get(2)?, *data.get(3)?])), 4),
        127 => (
            usize::try_from(u64::from_be_bytes(data.get(2..10)?.try_into().ok()?)).ok()?,
            10,
        ),
        short => (usize::from(short), 2),
    };
    Some((data.get(head..head + length)?, head + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_the_size_that_is_said_and_reads_back() {
        let text = format!("42/sites,[\"hop\",{}]", argument(7, 123_456_789));
        assert_eq!(text.len(), FRAME);
        assert_eq!(read(text.as_bytes()), Some((7, 123_456_789)));
        assert!(serde_json::from_str::<serde_json::Value>(&argument(7, 1)).is_ok());
    }

    #[test]
    fn frames_are_found_one_after_the_other() {
        let data = [
            &[0x81, 1, b'2'][..],
            &[0x81, 126, 0, 130],
            &[b'x'; 130],
            &[0x81, 5, b'y'],
        ]
        .concat();
        assert_eq!(first(&data), Some((PING, 3)));
        assert_eq!(first(&data[3..]), Some((&[b'x'; 130][..], 134)));
        assert_eq!(first(&data[137..]), None);
    }
}
