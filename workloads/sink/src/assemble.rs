//! Source transactions, made whole again from one topic's records. Pure.
//!
//! A transaction is complete when its last record says so (a header of ours), or when another begins: compaction may have taken the last
//! record away, but only because a later transaction wrote its key again.

use synccluster_protocol::{Version, event::Transaction};

/// A record, unread: a transaction may have more of them than fit into memory as rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its value.
    pub raw: Box<str>,
    /// The version it brings, if it brings one.
    pub version: Option<Version>,
}

/// A transaction of the source, less what compaction has taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceTransaction {
    /// Its records, in order.
    pub records: Vec<Record>,
    /// The offset behind the last.
    pub next_offset: i64,
}

impl SourceTransaction {
    /// Bytes it holds.
    pub fn bytes(&self) -> usize {
        self.records.iter().map(|record| record.raw.len()).sum()
    }
}

/// A record as far as its place is concerned.
pub struct Placed {
    /// Its offset.
    pub offset: i64,
    /// Its transaction; snapshots have none, and Kafka's tombstones do not say.
    pub transaction: Option<Transaction>,
    /// It says that it is the last of its transaction.
    pub last: bool,
    /// It is Kafka's tombstone, which belongs to the record before it.
    pub tombstone: bool,
}

/// Collects one topic.
#[derive(Default)]
pub struct Assembler {
    id: Option<String>,
    pending: SourceTransaction,
}

impl Assembler {
    /// Takes in a record; returns what it completes, oldest first (at most two).
    pub fn push(&mut self, placed: Placed, record: Option<Record>) -> Vec<SourceTransaction> {
        let mut complete = Vec::new();
        let same =
            placed.tombstone || (self.id.is_some() && self.id == placed.transaction.as_ref().map(|t| t.id.clone()));
        if !same {
            complete.extend(self.take());
            self.id = placed.transaction.as_ref().map(|t| t.id.clone());
        } else if placed.transaction.is_some_and(|t| t.total_order == 1) {
            // The connector was interrupted in the middle and sends it again from its beginning.
            self.pending = SourceTransaction::default();
        }
        self.pending.records.extend(record);
        self.pending.next_offset = placed.offset + 1;
        if placed.last || self.id.is_none() {
            complete.extend(self.take());
        }
        complete
    }

    fn take(&mut self) -> Option<SourceTransaction> {
        self.id = None;
        let transaction = std::mem::take(&mut self.pending);
        (transaction.next_offset > 0).then_some(transaction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(n: i64) -> Record {
        Record {
            raw: "{}".into(),
            version: Some(Version(n)),
        }
    }

    fn push(
        assembler: &mut Assembler,
        offset: i64,
        transaction: Option<(&str, u64)>,
        last: bool,
    ) -> Vec<(Vec<i64>, i64)> {
        let transaction = transaction.map(|(id, order)| Transaction {
            id: id.to_owned(),
            total_order: order,
            data_collection_order: order,
        });
        let placed = Placed {
            offset,
            transaction,
            last,
            tombstone: false,
        };
        let complete = assembler.push(placed, Some(record(offset)));
        complete
            .into_iter()
            .map(|t| {
                (
                    t.records.iter().filter_map(|r| r.version).map(|v| v.0).collect(),
                    t.next_offset,
                )
            })
            .collect()
    }

    #[test]
    fn a_transaction_is_complete_with_the_record_that_says_so() {
        let mut assembler = Assembler::default();
        assert!(push(&mut assembler, 5, Some(("1:1", 1)), false).is_empty());
        assert_eq!(push(&mut assembler, 6, Some(("1:1", 2)), true), [(vec![5, 6], 7)]);
    }

    #[test]
    fn a_transaction_whose_end_was_compacted_away_ends_where_the_next_begins() {
        let mut assembler = Assembler::default();
        push(&mut assembler, 5, Some(("1:1", 1)), false);
        assert_eq!(
            push(&mut assembler, 9, Some(("2:2", 1)), true),
            [(vec![5], 6), (vec![9], 10)]
        );
    }

    #[test]
    fn a_transaction_sent_again_from_its_beginning_replaces_its_first_part() {
        let mut assembler = Assembler::default();
        push(&mut assembler, 5, Some(("1:1", 1)), false);
        push(&mut assembler, 6, Some(("1:1", 1)), false);
        assert_eq!(push(&mut assembler, 7, Some(("1:1", 2)), true), [(vec![6, 7], 8)]);
    }

    #[test]
    fn rows_of_a_snapshot_stand_alone() {
        let mut assembler = Assembler::default();
        assert_eq!(push(&mut assembler, 0, None, false), [(vec![0], 1)]);
    }

    #[test]
    fn kafkas_tombstone_belongs_to_the_delete_before_it_and_may_end_the_transaction() {
        let mut assembler = Assembler::default();
        push(&mut assembler, 5, Some(("1:1", 1)), false);
        let tombstone = Placed {
            offset: 6,
            transaction: None,
            last: true,
            tombstone: true,
        };
        let complete = assembler.push(tombstone, None);
        assert_eq!((complete.len(), complete[0].next_offset), (1, 7));
    }
}
