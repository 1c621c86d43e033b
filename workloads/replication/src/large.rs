//! Messages about rows of any size in bounded memory. Pure.
//!
//! A row of Postgres may have a gigabyte, and an update brings it twice, in one message. Nobody makes an event of such a row, but who hears of
//! it wants its key and version. So a large message is read as it arrives and written anew without its large values: each is replaced by its length,
//! under a kind that pgoutput does not have, and [`crate::pgoutput::decode`] reads that as [`crate::pgoutput::Datum::LeftOut`].

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Bytes of a row's values from which on large ones are left out; of a frame from which on it is read with [`Shortening`].
pub const LARGE_ROW: usize = 15_000_000;

/// What is never left out: keys and versions are shorter (an entry of a B-tree has at most 2,704 bytes, compressed).
const SMALL_VALUE: usize = 64 * 1024;

/// The kind of a value that was left out; pgoutput's kinds are letters.
pub const LEFT_OUT: u8 = 0;

/// `w`, three positions and a time of eight bytes each; then the message's tag.
const HEAD: usize = 26;

/// A frame of the stream while it arrives.
#[derive(Debug)]
pub struct Shortening {
    left: usize,
    out: BytesMut,
    step: Step,
    /// Bytes of the values of this tuple so far, left out or not.
    values: usize,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The frame's head and the message's tag.
    Head,
    /// The table's OID.
    Table,
    /// Which tuple comes, and of how many values.
    Tuple,
    /// The kind of the next of so many values.
    Kind { values: u16 },
    /// The length of a value in text.
    Length { values: u16 },
    /// So many bytes of a value.
    Keep { bytes: usize, values: u16 },
    /// So many bytes of a value that is left out.
    Drop { bytes: usize, values: u16 },
    /// Nothing of the rest is kept: the message is not about a row.
    Rest,
}

impl Shortening {
    /// Of a frame of so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self {
            left: bytes,
            out: BytesMut::with_capacity(HEAD),
            step: Step::Head,
            values: 0,
        }
    }

    /// Takes what it can of what has arrived; the shortened frame once it has arrived whole.
    pub fn take(&mut self, input: &mut BytesMut) -> Option<Bytes> {
        while self.left > 0 {
            let (wanted, partly) = match self.step {
                Step::Head => (HEAD, false),
                Step::Table | Step::Length { .. } => (4, false),
                Step::Tuple => (3, false),
                Step::Kind { .. } => (1, false),
                Step::Keep { bytes, .. } | Step::Drop { bytes, .. } => (bytes, true),
                Step::Rest => (self.left, true),
            };
            // What a frame that is cut short lacks is for the decoder to complain of.
            let wanted = wanted.min(self.left);
            if input.len() < if partly { wanted.min(1) } else { wanted } {
                return None;
            }
            let part = input.split_to(wanted.min(input.len()));
            self.left -= part.len();
            self.step = self.next(&part);
        }
        Some(std::mem::take(&mut self.out).freeze())
    }

    /// Writes what is kept of a part, and says what comes then.
    fn next(&mut self, mut part: &[u8]) -> Step {
        let step = self.step;
        if !matches!(step, Step::Drop { .. } | Step::Rest | Step::Length { .. }) {
            self.out.put_slice(part);
        }
        match step {
            Step::Head => match part.last() {
                Some(b'I' | b'U' | b'D') => Step::Table,
                _ => Step::Rest,
            },
            Step::Table => Step::Tuple,
            Step::Tuple => {
                self.values = 0;
                part.advance(1);
                after_value(part.try_get_u16().unwrap_or_default())
            }
            Step::Kind { values } if part == b"t" => Step::Length { values },
            Step::Length { values } => {
                let Ok(length) = part.try_get_u32() else {
                    return Step::Rest;
                };
                let bytes = length as usize;
                self.values = self.values.saturating_add(bytes);
                let kept = self.values < LARGE_ROW || bytes <= SMALL_VALUE;
                if !kept {
                    self.out.truncate(self.out.len() - 1);
                    self.out.put_u8(LEFT_OUT);
                }
                self.out.put_u32(length);
                match (bytes, kept) {
                    (0, _) => after_value(values - 1),
                    (bytes, true) => Step::Keep { bytes, values },
                    (bytes, false) => Step::Drop { bytes, values },
                }
            }
            Step::Keep { bytes, values } if bytes > part.len() => Step::Keep {
                bytes: bytes - part.len(),
                values,
            },
            Step::Drop { bytes, values } if bytes > part.len() => Step::Drop {
                bytes: bytes - part.len(),
                values,
            },
            Step::Kind { values } | Step::Keep { values, .. } | Step::Drop { values, .. } => after_value(values - 1),
            Step::Rest => Step::Rest,
        }
    }
}

/// With so many values left in this tuple; an old tuple is followed by a new one.
fn after_value(values: u16) -> Step {
    if values == 0 {
        Step::Tuple
    } else {
        Step::Kind { values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pgoutput::{Datum, Message, decode};

    const SEVEN: &[u8] = b"t\0\0\0\x017";

    fn text(bytes: usize) -> Vec<u8> {
        let mut value = b"t".to_vec();
        value.put_u32(u32::try_from(bytes).unwrap());
        value.resize(value.len() + bytes, b'x');
        value
    }

    fn frame(tag: u8, tuples: &[(u8, &[&[u8]])]) -> Vec<u8> {
        let mut frame = vec![b'w'];
        frame.resize(HEAD - 1, 1);
        frame.put_u8(tag);
        frame.put_u32(0x4000);
        for (kind, values) in tuples {
            frame.put_u8(*kind);
            frame.put_u16(u16::try_from(values.len()).unwrap());
            frame.extend(values.concat());
        }
        frame
    }

    /// As it arrives in parts of so many bytes.
    fn shortened(frame: &[u8], part: usize) -> Bytes {
        let mut shortening = Shortening::new(frame.len());
        let mut input = BytesMut::new();
        let (last, first) = frame.split_last().unwrap();
        for part in first.chunks(part) {
            input.extend_from_slice(part);
            assert_eq!(shortening.take(&mut input), None);
        }
        input.put_u8(*last);
        input.extend_from_slice(b"next");
        let out = shortening.take(&mut input).unwrap();
        assert_eq!(&input[..], b"next");
        out
    }

    fn message(frame: &Bytes) -> Message {
        decode(frame.slice(HEAD - 1..)).unwrap()
    }

    fn seven() -> Datum {
        Datum::Text("7".into())
    }

    #[test]
    fn an_update_of_a_large_row_says_which_row_it_was() {
        let large = text(LARGE_ROW + 1);
        let frame = frame(b'U', &[(b'O', &[SEVEN, &large, b"n"]), (b'N', &[SEVEN, b"u", SEVEN])]);
        let short = shortened(&frame, 8192);
        assert!(short.len() < 100, "{}", short.len());
        let expected = Message::Update {
            oid: 0x4000,
            old: Some(vec![seven(), Datum::LeftOut(LARGE_ROW + 1), Datum::Null]),
            new: vec![seven(), Datum::Unchanged, seven()],
        };
        assert_eq!(message(&short), expected);
    }

    #[test]
    fn what_fits_is_kept_and_small_values_are_kept_behind_a_large_one() {
        let (half, other) = (text(LARGE_ROW / 2), text(LARGE_ROW / 2 + 1));
        let frame = frame(b'I', &[(b'N', &[&half, &other, b"t\0\0\0\0", SEVEN])]);
        let Message::Insert { new, .. } = message(&shortened(&frame, 100_000)) else {
            panic!("no insert")
        };
        let [Datum::Text(kept), Datum::LeftOut(left_out), Datum::Text(empty), last] = new.as_slice() else {
            panic!("other values")
        };
        assert_eq!(
            (kept.len(), *left_out, empty.len(), last),
            (LARGE_ROW / 2, LARGE_ROW / 2 + 1, 0, &seven())
        );
    }

    #[test]
    fn a_small_frame_stays_as_it_is_however_it_arrives() {
        let frame = frame(
            b'U',
            &[(b'K', &[SEVEN, b"n", b"t\0\0\0\0"]), (b'N', &[b"u", &text(300), SEVEN])],
        );
        for part in [1, 2, 3, 5, 7, 29, 4096] {
            assert_eq!(shortened(&frame, part), frame);
        }
    }

    #[test]
    fn of_what_is_no_row_only_the_tag_is_kept() {
        let frame = frame(b'M', &[(b'N', &[&text(100_000)])]);
        assert_eq!(message(&shortened(&frame, 4096)), Message::Ignored);
    }

    #[test]
    fn a_frame_that_is_cut_short_ends_and_cannot_be_read() {
        let whole = frame(b'I', &[(b'N', &[SEVEN, &text(300)])]);
        for end in HEAD..whole.len() {
            assert!(decode(shortened(&whole[..end], 16).slice(HEAD - 1..)).is_err(), "{end}");
        }
    }
}
