//! Reading back what was emitted and committed for a partition.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use rdkafka::{
    ClientContext, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
};

use super::{
    aggregate::{Aggregate, Emitted},
    checkpoint::Checkpoint,
    engine::Engine,
    partition::Error,
    pulse::Pulse,
    settings::Settings,
};

/// How long Kafka may take to answer.
const ANSWER: Duration = Duration::from_secs(10);
/// Between two looks whether to stop.
const TICK: Duration = Duration::from_millis(100);

/// What is read of one partition, by a consumer that is no member of the group.
pub struct Readback<'a> {
    settings: &'a Settings,
    partition: i32,
    consumer: BaseConsumer<ReadsToTheEnd>,
    stop: &'a AtomicBool,
    pulse: &'a Pulse,
}

impl<'a> Readback<'a> {
    /// Of this partition. Whoever else wrote to it has to be fenced already.
    pub fn new(settings: &'a Settings, partition: i32, stop: &'a AtomicBool, pulse: &'a Pulse) -> KafkaResult<Self> {
        let client_id = format!("{}-windows-{partition}-readback", settings.cluster);
        let consumer = settings
            .kafka
            .consumer_config(&client_id)?
            .set("group.id", settings.group())
            .set("enable.partition.eof", "true")
            .set("queued.max.messages.kbytes", "512")
            .set("fetch.message.max.bytes", "262144")
            .set("fetch.wait.max.ms", "10")
            .create_with_context(ReadsToTheEnd)?;
        Ok(Self {
            settings,
            partition,
            consumer,
            stop,
            pulse,
        })
    }

    /// The group without a member: a commit is then fenced by the transactional id alone, and a rebalance that does not touch the partition
    /// does not fail it.
    pub fn group(&self) -> Result<ConsumerGroupMetadata, Error> {
        self.consumer.group_metadata().ok_or(Error::Group)
    }

    /// The engine as it was after the last commit, and the offset of the next like; without an offset nothing was committed.
    pub fn engine(&self) -> Result<(Engine, Option<i64>), Error> {
        let rules = self.settings.rules.clone();
        let mut asked = TopicPartitionList::new();
        asked.add_partition(&self.settings.topics.likes, self.partition);
        let committed = self.consumer.committed_offsets(asked, ANSWER)?;
        self.pulse.beat();
        let elements = committed.elements();
        let Some((next, metadata)) = elements.first().and_then(|likes| match likes.offset() {
            Offset::Offset(next) => Some((next, likes.metadata())),
            _ => None,
        }) else {
            return Ok((Engine::new(rules), None));
        };
        let checkpoint: Checkpoint = serde_json::from_str(metadata).map_err(|error| Error::Checkpoint {
            group: self.settings.group(),
            partition: self.partition,
            error,
        })?;
        let mut engine = Engine::resume(rules, &checkpoint);
        for (index, size) in self.settings.rules.sizes.iter().enumerate() {
            if let Some(from) = checkpoint.from.get(&size.to_string()) {
                self.each(index, *from, |aggregate, offset| engine.restore(aggregate, offset))?;
            }
        }
        Ok((engine, Some(next)))
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

    fn bounds(&self, topic: &str) -> KafkaResult<(i64, i64)> {
        let bounds = self.consumer.fetch_watermarks(topic, self.partition, ANSWER);
        self.pulse.beat();
        bounds
    }

    fn each(&self, size: usize, from: i64, mut take: impl FnMut(&Aggregate<'_>, i64)) -> Result<(), Error> {
        let topic = &self.settings.topics.aggregations[size];
        let (first, end) = self.bounds(topic)?;
        let from = from.max(first);
        if from >= end {
            return Ok(());
        }
        let mut assigned = TopicPartitionList::new();
        assigned.add_partition_offset(topic, self.partition, Offset::Offset(from))?;
        self.consumer.assign(&assigned)?;
        while !self.stop.load(Ordering::Relaxed) {
            self.pulse.beat();
            match self.consumer.poll(TICK) {
                None => {}
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    self.consumer.unassign()?;
                    return Ok(());
                }
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(message)) => {
                    let Some(value) = message.payload() else { continue };
                    match Emitted::read(value) {
                        Ok(emitted) => take(&emitted.aggregate(size), message.offset()),
                        Err(error) => {
                            let (partition, offset) = (self.partition, message.offset());
                            tracing::warn!(topic, partition, offset, %error, "a record that is no aggregation is left out; who else writes to this topic?");
                        }
                    }
                }
            }
        }
        Err(Error::Stopped)
    }
}

struct ReadsToTheEnd;

impl ClientContext for ReadsToTheEnd {
    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition is what is waited for, and no error.
        if !matches!(error, KafkaError::Global(RDKafkaErrorCode::PartitionEOF)) {
            tracing::warn!(%error, reason, "reading back");
        }
    }
}

impl ConsumerContext for ReadsToTheEnd {}
