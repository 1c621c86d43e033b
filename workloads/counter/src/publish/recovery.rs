//! What is in the topic, where Kafka ended the last transaction in some partitions only (KAFKA-20734; the module of the windows says more).
//!
//! Each entry is in the topic under its position, so the topic itself says what is published: all up to the latest position that is seen there.
//! No transaction begins before the one before has ended everywhere, so only the last can have ended in part.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use rdkafka::{Message, Offset, TopicPartitionList, consumer::Consumer, error::KafkaResult};
use serde::{Deserialize, Serialize};

use super::{
    reader::{Isolation, read, reader},
    record,
};
use crate::{
    crdt::{Ordinal, Position},
    windows::Settings,
};

/// How long Kafka may take to answer.
const ANSWER: Duration = Duration::from_secs(10);
/// By so much clocks of brokers may differ; where records have the time of who wrote them, that clock may have been set back meanwhile by so much.
const BEFORE: i64 = 10_000;

/// Whose log, in one of its lives.
#[derive(Clone, Copy, Debug)]
pub struct Life<'a> {
    /// The node.
    pub node: Ordinal,
    /// As it is stored.
    pub incarnation: &'a str,
}

/// What is stored with the offset, which is the position up to which the log is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The log's incarnation: the position of a log that was lost with its disk says nothing of another.
    pub incarnation: String,
    /// When its transaction began, in milliseconds of the clock that the topic's records have their times from: the brokers', or the node's.
    /// Absent where a version before this one stored it.
    pub since: Option<i64>,
}

impl Stored {
    /// Reads it. Versions before this one stored the incarnation alone; of their transactions nothing is looked for, and what they published is
    /// not published again.
    pub fn read(metadata: &str) -> Self {
        serde_json::from_str(metadata).unwrap_or_else(|_| Self {
            incarnation: metadata.to_owned(),
            since: None,
        })
    }

    /// As Kafka stores it.
    pub fn to_metadata(&self) -> String {
        // Text and a number into memory: there is nothing that could fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Records that have to be written again, each to its partition.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lost(BTreeMap<Position, (i32, Vec<u8>, Vec<u8>)>);

impl Lost {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Partition, key and value, in the order of the log.
    pub fn records(&self) -> impl Iterator<Item = (i32, &[u8], &[u8])> {
        self.0
            .values()
            .map(|(partition, key, value)| (*partition, &**key, &**value))
    }
}

/// What lies in the topic of one node's last transactions.
#[derive(Default)]
struct Tail {
    seen: BTreeSet<Position>,
    hidden: BTreeMap<Position, (i32, Vec<u8>, Vec<u8>)>,
}

impl Tail {
    /// Up to where the log is published, and what of that is hidden. `stored` is where the offset is.
    fn decide(mut self, stored: Position) -> (Position, Lost) {
        let published = self.seen.last().map_or(stored, |last| stored.max(*last));
        self.hidden
            .retain(|position, _| *position <= published && !self.seen.contains(position));
        (published, Lost(self.hidden))
    }
}

/// Up to where this log is published, and what has to be written again of it. Everything of it has to be ended already. Nothing where
/// `goes_on` said no.
///
/// Read is from when the stored transaction began to the end: where its position was not stored, the last transaction may be of any time after.
pub fn recover(
    settings: &Settings,
    group: &str,
    life: Life<'_>,
    partitions: i32,
    (position, since): (Position, i64),
    goes_on: impl Fn() -> bool,
) -> KafkaResult<Option<(Position, Lost)>> {
    let mut tail = Tail::default();
    for isolation in [Isolation::Committed, Isolation::Everything] {
        let reader = reader(&settings.kafka, group, isolation)?;
        let (mut times, mut from) = (TopicPartitionList::new(), TopicPartitionList::new());
        for partition in 0..partitions {
            let time = Offset::Offset(since - BEFORE);
            times.add_partition_offset(&settings.topics.likes, partition, time)?;
        }
        for element in reader.offsets_for_times(times, ANSWER)?.elements() {
            element.error()?;
            // Where nothing is as late there is nothing to look for.
            if let Offset::Offset(_) = element.offset() {
                from.add_partition_offset(element.topic(), element.partition(), element.offset())?;
            }
        }
        let is_read = read(&reader, &from, &goes_on, |message| {
            let value = message.payload().unwrap_or_default();
            let Some(position) = record::position(value, life) else {
                return;
            };
            match isolation {
                Isolation::Committed => drop(tail.seen.insert(position)),
                Isolation::Everything => {
                    let key = message.key().unwrap_or_default().to_vec();
                    tail.hidden
                        .entry(position)
                        .or_insert_with(|| (message.partition(), key, value.to_vec()));
                }
            }
        })?;
        if !is_read {
            return Ok(None);
        }
    }
    Ok(Some(tail.decide(position)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(seen: &[u64], all: &[u64], stored: u64) -> (u64, Vec<u64>) {
        let record = |position: &u64| (Position(*position), (0, Vec::new(), Vec::new()));
        let tail = Tail {
            seen: seen.iter().copied().map(Position).collect(),
            hidden: all.iter().map(record).collect(),
        };
        let (published, lost) = tail.decide(Position(stored));
        (published.0, lost.0.into_keys().map(|position| position.0).collect())
    }

    #[test]
    fn what_the_offset_or_a_partition_knows_of_is_published_and_the_rest_of_it_lost() {
        assert_eq!(decided(&[1, 2, 3], &[1, 2, 3], 3), (3, vec![]));
        assert_eq!(decided(&[], &[1, 2, 3], 3), (3, vec![1, 2, 3]), "only the offset");
        assert_eq!(
            decided(&[2], &[1, 2, 3], 3),
            (3, vec![1, 3]),
            "the offset and a partition"
        );
        assert_eq!(
            decided(&[1, 3], &[1, 2, 3], 0),
            (3, vec![2]),
            "two partitions and not the offset"
        );
    }

    #[test]
    fn what_an_earlier_version_stored_is_the_incarnation_alone() {
        let stored = Stored {
            incarnation: "5".to_owned(),
            since: Some(7),
        };
        assert_eq!(Stored::read(&stored.to_metadata()), stored);
        assert_eq!(Stored::read("00af").incarnation, "00af");
        assert_eq!(Stored::read("5").incarnation, "5");
    }

    #[test]
    fn an_attempt_that_is_seen_nowhere_was_not_published() {
        assert_eq!(decided(&[1, 2], &[1, 2, 3, 4], 2), (2, vec![]));
        assert_eq!(decided(&[], &[1, 2], 0), (0, vec![]));
    }
}
