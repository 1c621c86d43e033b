//! What was committed, where the end of a transaction did not reach every topic it wrote to. No IO.
//!
//! A broker that ends a transaction leaves out a partition that has no leader at that moment (KAFKA-20734, in 4.3 and 4.4): there it stays open,
//! and is not seen, until another transaction of the same producer ends it, however that ends. So a new owner ends it first, as aborted, and
//! then looks at what its predecessor wrote last. What is committed in one place was committed, and is written again where it is not.

use super::{checkpoint::Stored, outgoing::Outgoing};

/// What lies behind the tail of the checkpoint that is stored: the last transactions of one owner. All of them were committed up to the last that
/// is seen anywhere, since an owner begins none before it knows that.
pub struct Tail {
    committed: Stored,
    hidden: Vec<Hidden>,
}

struct Hidden {
    size: usize,
    at: i64,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Tail {
    /// The offset's own, which may be older than what the topics have.
    pub fn new(stored: Stored) -> Self {
        Self {
            committed: stored,
            hidden: Vec::new(),
        }
    }

    /// A transaction that is seen in a topic.
    pub fn seen(&mut self, stored: Stored) {
        if stored.checkpoint.at > self.committed.checkpoint.at {
            self.committed = stored;
        }
    }

    /// A record that was emitted `at` this time, and that readers of what is committed do not see. In the order of the topic.
    pub fn hidden(&mut self, size: usize, at: i64, key: &[u8], value: &[u8]) {
        self.hidden.push(Hidden {
            size,
            at,
            key: key.to_vec(),
            value: value.to_vec(),
        });
    }

    /// The last transaction that was committed, and the records that have to be written again.
    pub fn lost(self) -> (Stored, Outgoing) {
        let mut again = Outgoing::default();
        let last = self.committed.checkpoint.at;
        for record in self.hidden.iter().filter(|record| record.at <= last) {
            again.push_again(record.size, &record.key, &record.value);
        }
        (self.committed, again)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::windows::checkpoint::Checkpoint;

    fn stored(next: i64, at: i64) -> Stored {
        let checkpoint = Checkpoint {
            at,
            ..Checkpoint::default()
        };
        Stored { next, checkpoint }
    }

    fn lost(tail: Tail) -> (i64, Vec<(usize, String)>) {
        let (stored, again) = tail.lost();
        let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
        let records = again.records().map(|(size, _, value)| (size, text(value)));
        (stored.next, records.collect())
    }

    #[test]
    fn an_aborted_transaction_is_seen_nowhere_and_stays_so() {
        let mut tail = Tail::new(stored(10, 1));
        tail.hidden(0, 2, b"k", b"attempt");
        assert_eq!(lost(tail), (10, vec![]));
    }

    #[test]
    fn what_only_the_offset_knows_of_is_written_again() {
        let mut tail = Tail::new(stored(20, 2));
        tail.hidden(0, 2, b"k", b"a");
        tail.hidden(1, 2, b"k", b"b");
        tail.hidden(1, 3, b"k", b"the next one's attempt");
        assert_eq!(lost(tail), (20, vec![(0, "a".to_owned()), (1, "b".to_owned())]));
    }

    #[test]
    fn what_one_topic_knows_of_is_written_again_to_the_others_with_its_offset() {
        let mut tail = Tail::new(stored(10, 1));
        tail.seen(stored(20, 2));
        tail.seen(stored(10, 1));
        tail.hidden(1, 1, b"k", b"the one before");
        tail.hidden(1, 2, b"k", b"b");
        assert_eq!(
            lost(tail),
            (20, vec![(1, "the one before".to_owned()), (1, "b".to_owned())])
        );
    }
}
