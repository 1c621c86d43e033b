//! What a chunk read, until the stream has reached its watermark. Pure.

use std::collections::HashSet;

use synccluster_protocol::Lsn;

use crate::envelope::Record;

/// Rows that are sent if nothing newer of them is sent before.
pub struct Window {
    /// The position behind every commit that the chunk has seen.
    pub watermark: Lsn,
    records: Vec<Record>,
    /// The keys of those of which nothing newer was sent.
    newest: HashSet<String>,
}

impl Window {
    /// Around what was read.
    pub fn new(watermark: Lsn, records: Vec<Record>) -> Self {
        let newest = records.iter().map(|record| record.key.clone()).collect();
        Self {
            watermark,
            records,
            newest,
        }
    }

    /// A change of this key went into the topic: it has what the chunk has of it, or something newer.
    pub fn touch(&mut self, key: &str) {
        self.newest.remove(key);
    }

    /// What nothing newer was sent of.
    pub fn into_records(self) -> Vec<Record> {
        let Self { records, newest, .. } = self;
        records
            .into_iter()
            .filter(|record| newest.contains(&record.key))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_while_the_chunk_was_on_its_way_is_left_to_the_stream() {
        let record = |key: &str| Record {
            key: key.to_owned(),
            value: None,
            left_out: None,
        };
        let mut window = Window::new(Lsn(7), ["1", "2", "3"].map(record).into());
        for touched in ["2", "9", "2"] {
            window.touch(touched);
        }
        assert_eq!(window.into_records(), ["1", "3"].map(record));
    }
}
