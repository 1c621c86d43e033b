//! Source transactions, made whole again from one topic's records. Pure.
//!
//! A transaction is complete when its last record says so (a header of ours, or Debezium's record of its end), or when another begins:
//! compaction may have taken the last record away, but only because a later transaction wrote its key again.

use synccluster_protocol::{
    Version,
    event::{Installation, Transaction},
};

/// Bytes of records a transaction is held with; what is larger is read again while it is applied.
pub const HELD: usize = 2 << 20;

/// A record, unread: as rows the records of a transaction are many times what they are as text.
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
    /// Which of the source's databases it was made in.
    pub installation: Installation,
    /// What it consists of.
    pub content: Content,
    /// Its oldest and its newest version.
    pub versions: Option<(Version, Version)>,
    /// The offset behind the last record.
    pub next_offset: i64,
}

/// What a transaction consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// These records, in order.
    Held(Vec<Record>),
    /// More than fits into memory: the records from this offset on.
    InTopic(i64),
}

impl Default for Content {
    fn default() -> Self {
        Self::Held(Vec::new())
    }
}

impl SourceTransaction {
    /// Bytes it holds.
    pub fn bytes(&self) -> usize {
        match &self.content {
            Content::Held(records) => records.iter().map(|record| record.raw.len()).sum(),
            Content::InTopic(_) => 0,
        }
    }
}

/// A record as far as its place is concerned.
pub struct Placed {
    /// Its offset.
    pub offset: i64,
    /// Which of the source's databases it is from.
    pub installation: Installation,
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
    first: i64,
    /// The place in its transaction of the first event: not 1 where that was too large for Kafka, or was compacted away.
    first_order: u64,
    bytes: usize,
    pending: SourceTransaction,
}

impl Assembler {
    /// Takes in a record; returns what it completes, oldest first (at most two).
    pub fn push(&mut self, placed: Placed, record: Option<Record>) -> Vec<SourceTransaction> {
        let mut complete = Vec::new();
        let id = placed.transaction.as_ref().map(Transaction::number);
        // A database that begins anew gives transactions the numbers that its predecessor gave.
        let same = self.pending.installation == placed.installation
            && (placed.tombstone || (self.id.is_some() && self.id.as_deref() == id));
        if !same {
            complete.extend(self.take());
            self.id = id.map(str::to_owned);
        }
        // Neither Kafka's tombstones nor the record that says where a transaction begins or ends.
        let order = placed.transaction.map(|t| t.total_order).filter(|order| *order > 0);
        // The connector may have been interrupted in the middle: then it sends the transaction again from its beginning.
        if !same || order.is_some_and(|order| order <= self.first_order.max(1)) {
            (self.first, self.bytes, self.pending) = (placed.offset, 0, SourceTransaction::default());
            self.first_order = 0;
        }
        if self.first_order == 0 {
            self.first_order = order.unwrap_or_default();
        }
        self.pending.installation = placed.installation;
        if let Some(record) = record {
            self.add(record);
        }
        self.pending.next_offset = placed.offset + 1;
        if placed.last || self.id.is_none() {
            complete.extend(self.take());
        }
        complete
    }

    fn add(&mut self, record: Record) {
        if let Some(version) = record.version {
            let (oldest, newest) = self.pending.versions.unwrap_or((version, version));
            self.pending.versions = Some((oldest.min(version), newest.max(version)));
        }
        self.bytes += record.raw.len();
        match &mut self.pending.content {
            Content::Held(records) if self.bytes <= HELD || records.is_empty() => records.push(record),
            content => *content = Content::InTopic(self.first),
        }
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
            installation: Installation::default(),
            transaction,
            last,
            tombstone: false,
        };
        let complete = assembler.push(placed, Some(record(offset)));
        complete
            .into_iter()
            .map(|t| {
                let Content::Held(records) = &t.content else {
                    panic!("{t:?} is too large")
                };
                let versions = records.iter().filter_map(|record| record.version);
                (versions.map(|v| v.0).collect(), t.next_offset)
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
    fn events_of_debeziums_share_the_number_of_their_transaction_only() {
        let mut assembler = Assembler::default();
        // The record that says where it begins; when Debezium goes on in the middle it comes again, and takes nothing away.
        push(&mut assembler, 4, Some(("7:90", 0)), false);
        push(&mut assembler, 5, Some(("7:91", 1)), false);
        push(&mut assembler, 6, Some(("7:90", 0)), false);
        push(&mut assembler, 7, Some(("7:95", 2)), false);
        assert_eq!(
            push(&mut assembler, 8, Some(("7:99", 0)), true),
            [(vec![5, 6, 7, 8], 9)]
        );
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
    fn a_transaction_whose_first_record_did_not_fit_is_known_when_it_is_sent_again() {
        let mut assembler = Assembler::default();
        push(&mut assembler, 5, Some(("1:1", 2)), false);
        push(&mut assembler, 6, Some(("1:1", 3)), false);
        push(&mut assembler, 7, Some(("1:1", 2)), false);
        assert_eq!(push(&mut assembler, 8, Some(("1:1", 3)), true), [(vec![7, 8], 9)]);
        // Its last one did not fit either: then a record says only that it has ended.
        push(&mut assembler, 9, Some(("2:2", 1)), false);
        assert_eq!(push(&mut assembler, 10, Some(("2:2", 0)), true), [(vec![9, 10], 11)]);
    }

    #[test]
    fn a_transaction_of_another_database_with_the_same_number_is_another() {
        let mut assembler = Assembler::default();
        let mut push = |offset, installation| {
            let transaction = Some(Transaction {
                id: "7:90".to_owned(),
                total_order: 1,
                data_collection_order: 1,
            });
            let placed = Placed {
                offset,
                installation: Installation(installation),
                transaction,
                last: false,
                tombstone: false,
            };
            let complete = assembler.push(placed, Some(record(offset)));
            let seen = complete.iter().map(|t| (t.installation.0, t.next_offset));
            seen.collect::<Vec<_>>()
        };
        assert!(push(5, 1).is_empty());
        assert_eq!(push(6, 2), [(1, 6)]);
        assert_eq!(push(7, 3), [(2, 7)]);
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
            installation: Installation::default(),
            transaction: None,
            last: true,
            tombstone: true,
        };
        let complete = assembler.push(tombstone, None);
        assert_eq!((complete.len(), complete[0].next_offset), (1, 7));
    }

    fn large(assembler: &mut Assembler, offset: i64, order: u64, last: bool) -> Vec<SourceTransaction> {
        let transaction = Some(Transaction {
            id: "1:1".to_owned(),
            total_order: order,
            data_collection_order: order,
        });
        let record = Record {
            raw: "x".repeat(HELD / 2).into(),
            version: Some(Version(offset)),
        };
        let placed = Placed {
            offset,
            installation: Installation::default(),
            transaction,
            last,
            tombstone: false,
        };
        assembler.push(placed, Some(record))
    }

    #[test]
    fn a_transaction_that_does_not_fit_is_left_in_the_topic() {
        let mut assembler = Assembler::default();
        for order in 1..4 {
            assert!(large(&mut assembler, 4 + i64::try_from(order).unwrap(), order, false).is_empty());
        }
        let left = SourceTransaction {
            installation: Installation::default(),
            content: Content::InTopic(5),
            versions: Some((Version(5), Version(8))),
            next_offset: 9,
        };
        assert_eq!(large(&mut assembler, 8, 4, true), [left]);
        assert_eq!(push(&mut assembler, 9, Some(("2:2", 1)), true), [(vec![9], 10)]);
    }

    #[test]
    fn a_large_transaction_sent_again_is_read_from_where_it_was_sent_again() {
        let mut assembler = Assembler::default();
        for (offset, order) in [(5, 1), (6, 2), (7, 3), (8, 1), (9, 2)] {
            large(&mut assembler, offset, order, false);
        }
        let left = SourceTransaction {
            installation: Installation::default(),
            content: Content::InTopic(8),
            versions: Some((Version(8), Version(10))),
            next_offset: 11,
        };
        assert_eq!(large(&mut assembler, 10, 3, true), [left]);
    }
}
