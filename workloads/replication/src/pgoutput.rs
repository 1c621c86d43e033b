//! pgoutput, protocol version 1 (documentation, section "Logical Replication Message Formats"). Pure.

use bytes::{Buf, Bytes};
use bytestring::ByteString;
use synccluster_protocol::Lsn;

use crate::large::LEFT_OUT;

/// A message that is cut short or of a kind nobody knows.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("pgoutput message {0:?} cannot be read")]
pub struct DecodeError(char);

/// One value of a tuple.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datum {
    /// NULL.
    Null,
    /// A TOASTed value that the update left alone and the WAL does not carry.
    Unchanged,
    /// Postgres' text, which is a part of the message it came in.
    Text(ByteString),
    /// A text of so many bytes that was not kept: see [`crate::large`].
    LeftOut(usize),
}

impl Datum {
    /// Bytes of its text.
    pub fn length(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::LeftOut(bytes) => *bytes,
            Self::Null | Self::Unchanged => 0,
        }
    }
}

/// Bytes of a row's texts, with those that an update left alone.
pub fn row_length(old: Option<&[Datum]>, new: &[Datum]) -> usize {
    let unchanged = new.iter().zip(old.into_iter().flatten());
    let unchanged = unchanged.filter(|(new, _)| **new == Datum::Unchanged);
    new.iter().chain(unchanged.map(|(_, old)| old)).map(Datum::length).sum()
}

/// A column as the stream describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationColumn {
    /// Its name.
    pub name: String,
    /// The OID of its type.
    pub type_oid: u32,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A transaction begins; it has been committed at `commit`.
    Begin {
        /// The position of its commit record.
        commit: Lsn,
        /// When, in microseconds since 2000-01-01.
        at: i64,
        /// Its id.
        xid: u32,
    },
    /// It ends.
    Commit {
        /// The position behind its commit record: what may be confirmed.
        end: Lsn,
    },
    /// It was applied there and made elsewhere.
    Origin(String),
    /// What a table looks like from here on.
    Relation {
        /// The table's OID.
        oid: u32,
        /// Its schema.
        schema: String,
        /// Its name.
        table: String,
        /// Its columns.
        columns: Vec<RelationColumn>,
    },
    /// A row inserted.
    Insert {
        /// The table's OID.
        oid: u32,
        /// The row.
        new: Vec<Datum>,
    },
    /// A row updated.
    Update {
        /// The table's OID.
        oid: u32,
        /// The whole row before (REPLICA IDENTITY FULL).
        old: Option<Vec<Datum>>,
        /// The row after.
        new: Vec<Datum>,
    },
    /// A row deleted.
    Delete {
        /// The table's OID.
        oid: u32,
        /// The whole row before.
        old: Vec<Datum>,
    },
    /// Types, logical messages, truncates: nothing to do (a TRUNCATE travels as tombstones).
    Ignored,
}

/// Reads one message.
pub fn decode(mut data: Bytes) -> Result<Message, DecodeError> {
    let tag = data.first().copied().unwrap_or_default();
    read(&mut data).ok_or(DecodeError(char::from(tag)))
}

fn read(data: &mut Bytes) -> Option<Message> {
    Some(match u8_of(data)? {
        b'B' => Message::Begin {
            commit: Lsn(u64_of(data)?),
            at: u64_of(data)?.cast_signed(),
            xid: u32_of(data)?,
        },
        b'C' => {
            u8_of(data)?;
            u64_of(data)?;
            Message::Commit {
                end: Lsn(u64_of(data)?),
            }
        }
        b'O' => {
            u64_of(data)?;
            Message::Origin(text_of(data)?)
        }
        b'R' => {
            let (oid, schema, table) = (u32_of(data)?, text_of(data)?, text_of(data)?);
            u8_of(data)?;
            let count = u16_of(data)?;
            let columns = (0..count).map(|_| column(data)).collect::<Option<_>>()?;
            Message::Relation {
                oid,
                schema,
                table,
                columns,
            }
        }
        b'I' => {
            let oid = u32_of(data)?;
            u8_of(data)?;
            Message::Insert { oid, new: tuple(data)? }
        }
        b'U' => {
            let oid = u32_of(data)?;
            let old = if u8_of(data)? == b'N' {
                None
            } else {
                let old = tuple(data)?;
                u8_of(data)?;
                Some(old)
            };
            Message::Update {
                oid,
                old,
                new: tuple(data)?,
            }
        }
        b'D' => {
            let oid = u32_of(data)?;
            u8_of(data)?;
            Message::Delete { oid, old: tuple(data)? }
        }
        b'Y' | b'M' | b'T' => Message::Ignored,
        _ => return None,
    })
}

fn column(data: &mut Bytes) -> Option<RelationColumn> {
    u8_of(data)?;
    let column = RelationColumn {
        name: text_of(data)?,
        type_oid: u32_of(data)?,
    };
    u32_of(data)?;
    Some(column)
}

fn tuple(data: &mut Bytes) -> Option<Vec<Datum>> {
    let count = u16_of(data)?;
    (0..count).map(|_| datum(data)).collect()
}

fn datum(data: &mut Bytes) -> Option<Datum> {
    Some(match u8_of(data)? {
        b'n' => Datum::Null,
        b'u' => Datum::Unchanged,
        b't' => {
            let length = usize::try_from(u32_of(data)?).ok()?;
            if data.len() < length {
                return None;
            }
            Datum::Text(ByteString::try_from(data.split_to(length)).ok()?)
        }
        LEFT_OUT => Datum::LeftOut(usize::try_from(u32_of(data)?).ok()?),
        _ => return None,
    })
}

fn u8_of(data: &mut Bytes) -> Option<u8> {
    data.try_get_u8().ok()
}

fn u16_of(data: &mut Bytes) -> Option<u16> {
    data.try_get_u16().ok()
}

fn u32_of(data: &mut Bytes) -> Option<u32> {
    data.try_get_u32().ok()
}

fn u64_of(data: &mut Bytes) -> Option<u64> {
    data.try_get_u64().ok()
}

fn text_of(data: &mut Bytes) -> Option<String> {
    let end = data.iter().position(|&byte| byte == 0)?;
    let text = data.split_to(end);
    data.advance(1);
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_carries_the_row_before_and_after() {
        let mut message = b"U\0\0\x40\0O\0\x02t\0\0\0\x011n".to_vec();
        message.extend(b"N\0\x02t\0\0\0\x011u");
        let expected = Message::Update {
            oid: 0x4000,
            old: Some(vec![Datum::Text("1".into()), Datum::Null]),
            new: vec![Datum::Text("1".into()), Datum::Unchanged],
        };
        assert_eq!(decode(message.into()), Ok(expected));
    }

    #[test]
    fn a_message_that_is_cut_short_is_an_error_wherever_it_is_cut() {
        let whole = b"R\0\0\x40\0public\0todos\0f\0\x01\x01id\0\0\0\0\x17\xff\xff\xff\xff";
        assert!(decode(Bytes::from_static(whole)).is_ok());
        for end in 0..whole.len() {
            assert!(decode(Bytes::from_static(&whole[..end])).is_err(), "{end}");
        }
    }
}
