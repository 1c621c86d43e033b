//! Reading back what was emitted and committed for a partition.

use std::{
    collections::{BTreeMap, HashSet},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{Consumer, ConsumerGroupMetadata},
    error::KafkaResult,
    message::{BorrowedMessage, Headers},
};

use super::{
    aggregate::{Aggregate, Emitted},
    checkpoint::{Checkpoint, Stored},
    engine::Engine,
    partition::Error,
    pulse::Pulse,
    settings::Settings,
    tail::Tail,
};
use crate::publish::reader::{self, Isolation, Reader, reader};

/// How long Kafka may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// What is read of one partition, by a consumer that is no member of the group.
pub struct Readback<'a> {
    settings: &'a Settings,
    partition: i32,
    consumer: Reader,
    stop: &'a AtomicBool,
    pulse: &'a Pulse,
}

impl<'a> Readback<'a> {
    /// Of this partition. Whoever else wrote to it has to be fenced already.
    pub fn new(settings: &'a Settings, partition: i32, stop: &'a AtomicBool, pulse: &'a Pulse) -> KafkaResult<Self> {
        Ok(Self {
            settings,
            partition,
            consumer: reader(&settings.kafka, &settings.group(), Isolation::Committed)?,
            stop,
            pulse,
        })
    }

    /// The group without a member: a commit is then fenced by the transactional id alone, and a rebalance that does not touch the partition
    /// does not fail it.
    pub fn group(&self) -> Result<ConsumerGroupMetadata, Error> {
        self.consumer.group_metadata().ok_or(Error::Group)
    }

    /// What is stored with the offset; nothing where nothing was ever committed.
    pub fn stored(&self) -> Result<Option<Stored>, Error> {
        let mut asked = TopicPartitionList::new();
        asked.add_partition(&self.settings.topics.likes, self.partition);
        let committed = self.consumer.committed_offsets(asked, ANSWER)?;
        self.pulse.beat();
        let elements = committed.elements();
        let Some((next, metadata)) = elements.first().and_then(|likes| match likes.offset() {
            Offset::Offset(next) => Some((next, likes.metadata())),
            _ => None,
        }) else {
            return Ok(None);
        };
        let checkpoint = serde_json::from_str(metadata).map_err(|error| Error::Checkpoint {
            group: self.settings.group(),
            partition: self.partition,
            error,
        })?;
        Ok(Some(Stored { next, checkpoint }))
    }

    /// The last that was written by whoever had the partition before. What that left open has to be ended already.
    pub fn tail(&self, stored: Stored) -> Result<Tail, Error> {
        let everything = reader(&self.settings.kafka, &self.settings.group(), Isolation::Everything)?;
        let from = stored.checkpoint.tail.clone();
        let mut tail = Tail::new(stored);
        let topics = &self.settings.topics.aggregations;
        for (index, (size, topic)) in self.settings.rules.sizes.iter().zip(topics).enumerate() {
            // A checkpoint without it was written by a version that knew of no tails.
            let Some(&from) = from.get(&size.to_string()) else {
                continue;
            };
            let mut seen = HashSet::new();
            self.read(&self.consumer, topic, from, |message| {
                seen.insert(message.offset());
                if let Some(stored) = header(message) {
                    tail.seen(stored);
                }
            })?;
            self.read(&everything, topic, from, |message| {
                let value = message.payload().unwrap_or_default();
                if !seen.contains(&message.offset())
                    && let Ok(emitted) = Emitted::read(value)
                {
                    tail.hidden(index, emitted.at(), message.key().unwrap_or_default(), value);
                }
            })?;
        }
        Ok(tail)
    }

    /// The engine as it was after this was stored.
    pub fn engine(&self, checkpoint: &Checkpoint) -> Result<Engine, Error> {
        let mut engine = Engine::resume(self.settings.rules.clone(), checkpoint);
        for (index, size) in self.settings.rules.sizes.iter().enumerate() {
            if let Some(from) = checkpoint.from.get(&size.to_string()) {
                self.each(index, *from, |aggregate, offset| engine.restore(aggregate, offset))?;
            }
        }
        Ok(engine)
    }

    /// Hands the engine what was emitted for windows it no longer has.
    pub fn recall(&self, engine: &mut Engine, missing: &BTreeMap<usize, i64>) -> Result<(), Error> {
        for (&size, &from) in missing {
            self.each(size, 0, |aggregate, _| {
                if aggregate.start >= from {
                    engine.recall(aggregate);
                }
            })?;
        }
        engine.recalled(missing);
        Ok(())
    }

    /// Where each topic of aggregations ends: nothing that is emitted later lies before.
    pub fn ends(&self) -> Result<Vec<i64>, Error> {
        let end = |topic: &String| Ok(self.bounds(topic)?.1);
        self.settings.topics.aggregations.iter().map(end).collect()
    }

    /// The offset of the first like that is still there.
    pub fn first_like(&self) -> Result<i64, Error> {
        Ok(self.bounds(&self.settings.topics.likes)?.0)
    }

    /// Whether all likes there are lie before this offset, those of transactions that are still open included.
    pub fn is_all_before(&self, next: i64) -> Result<bool, Error> {
        let likes = &self.settings.topics.likes;
        let everything = reader(&self.settings.kafka, &self.settings.group(), Isolation::Everything)?;
        let (_, end) = everything.fetch_watermarks(likes, self.partition, ANSWER)?;
        self.pulse.beat();
        // What is open or behind it a reader of what is committed is not told of.
        let mut is_all = self.bounds(likes)?.1 >= end;
        if is_all {
            self.read(&self.consumer, likes, next, |_| is_all = false)?;
        }
        Ok(is_all)
    }

    fn bounds(&self, topic: &str) -> KafkaResult<(i64, i64)> {
        let bounds = self.consumer.fetch_watermarks(topic, self.partition, ANSWER);
        self.pulse.beat();
        bounds
    }

    fn each(&self, size: usize, from: i64, mut take: impl FnMut(&Aggregate<'_>, i64)) -> Result<(), Error> {
        self.read(&self.consumer, &self.settings.topics.aggregations[size], from, |message| {
            let Some(value) = message.payload() else { return };
            match Emitted::read(value) {
                Ok(emitted) => take(&emitted.aggregate(size), message.offset()),
                Err(error) => {
                    let (topic, partition, offset) = (message.topic(), self.partition, message.offset());
                    tracing::warn!(topic, partition, offset, %error, "a record that is no aggregation is left out; who else writes to this topic?");
                }
            }
        })
    }

    /// Reads all that this consumer sees of a topic now.
    fn read(
        &self,
        consumer: &Reader,
        topic: &str,
        from: i64,
        take: impl FnMut(&BorrowedMessage<'_>),
    ) -> Result<(), Error> {
        let (first, end) = consumer.fetch_watermarks(topic, self.partition, ANSWER)?;
        self.pulse.beat();
        let from = from.max(first);
        if from >= end {
            return Ok(());
        }
        let mut assigned = TopicPartitionList::new();
        assigned.add_partition_offset(topic, self.partition, Offset::Offset(from))?;
        let goes_on = || {
            self.pulse.beat();
            !self.stop.load(Ordering::Relaxed)
        };
        if reader::read(consumer, &assigned, goes_on, take)? {
            Ok(())
        } else {
            Err(Error::Stopped)
        }
    }
}

/// The transaction that a record is the first of in its topic.
fn header(message: &BorrowedMessage<'_>) -> Option<Stored> {
    let mut headers = message.headers()?.iter();
    let header = headers.find(|header| header.key == Stored::HEADER)?;
    serde_json::from_slice(header.value?).ok()
}
