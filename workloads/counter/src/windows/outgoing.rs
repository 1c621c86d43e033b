//! Records on their way to the topics of aggregations.

use serde::Serialize;

use super::{aggregate::Aggregate, size::WindowSize};

#[derive(Serialize)]
struct Key<'a> {
    id: &'a str,
    window_start: i64,
}

#[derive(Serialize)]
struct Value<'a> {
    id: &'a str,
    window_start: i64,
    window_end: i64,
    count: i64,
    late: i64,
    updated_at: i64,
    r#final: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    late_only: bool,
}

/// Records that go out with one transaction, in one piece of memory that is used again.
#[derive(Default)]
pub struct Outgoing {
    bytes: Vec<u8>,
    records: Vec<(usize, usize, usize)>,
}

impl Outgoing {
    /// Without a record.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Adds a record that is emitted at this time.
    pub fn push(&mut self, aggregate: &Aggregate<'_>, size: WindowSize, at: i64) {
        let &Aggregate {
            id,
            start,
            count,
            late,
            is_final,
            late_only,
            ..
        } = aggregate;
        self.write(&Key {
            id,
            window_start: start,
        });
        let key_end = self.bytes.len();
        let value = Value {
            id,
            window_start: start,
            window_end: start + size.millis(),
            count,
            late,
            updated_at: at,
            r#final: is_final,
            late_only,
        };
        self.write(&value);
        self.records.push((aggregate.size, key_end, self.bytes.len()));
    }

    /// Adds a record of this size as it was emitted before.
    pub fn push_again(&mut self, size: usize, key: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(key);
        let key_end = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.records.push((size, key_end, self.bytes.len()));
    }

    fn write(&mut self, json: &impl Serialize) {
        // Text and numbers into memory: there is nothing that could fail.
        let _ = serde_json::to_writer(&mut self.bytes, json);
    }

    /// Each record as the index of its size, key and value.
    pub fn records(&self) -> impl Iterator<Item = (usize, &[u8], &[u8])> {
        let mut begin = 0;
        self.records.iter().map(move |&(size, key_end, end)| {
            let record = (size, &self.bytes[begin..key_end], &self.bytes[key_end..end]);
            begin = end;
            record
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::windows::aggregate::Emitted;

    #[test]
    fn an_aggregate_is_read_back_as_it_was_written() {
        let minute: WindowSize = "1m".parse().unwrap();
        let one = Aggregate {
            size: 0,
            id: "caf\u{e9} \"x\"\\",
            start: 60_000,
            count: -3,
            late: 2,
            is_final: true,
            late_only: false,
        };
        let late = Aggregate { late_only: true, ..one };
        let mut outgoing = Outgoing::default();
        outgoing.push(&one, minute, 99);
        outgoing.push(&Aggregate { id: "b", ..one }, minute, 99);
        outgoing.push(&late, minute, 99);
        let records: Vec<_> = outgoing.records().collect();
        assert_eq!(Emitted::read(records[0].2).unwrap().aggregate(0), one);
        assert_eq!(Emitted::read(records[2].2).unwrap().aggregate(0), late);
        assert_eq!(records[1].1, br#"{"id":"b","window_start":60000}"#);
        assert_eq!(
            std::str::from_utf8(records[1].2).unwrap(),
            r#"{"id":"b","window_start":60000,"window_end":120000,"count":-3,"late":2,"updated_at":99,"final":true}"#
        );
    }
}
