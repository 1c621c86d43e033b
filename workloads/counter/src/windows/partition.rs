//! The thread beside one partition's engine. It waits for Kafka, so that the worker never does.
//!
//! Exactly once: whoever takes a partition over first fences its former owner by the partition's transactional id, and only then reads the
//! offset and the windows that belong to it. Both were written by one transaction, or neither.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    time::Duration,
};

use rdkafka::{
    ClientContext, Message, Offset, TopicPartitionList,
    consumer::ConsumerGroupMetadata,
    error::KafkaError,
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext},
};

use super::{
    checkpoint::Stored, engine::Engine, outgoing::Outgoing, pulse::Pulse, readback::Readback, settings::Settings,
};
use crate::publish::{
    refused::{Notes, Refused},
    transaction::{self, Attempt},
};

/// A partition for which no order came for so long is looked at.
const QUIET: Duration = Duration::from_secs(1);

/// Why a partition is not counted for the moment.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Kafka refused or was not in reach.
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// A transaction was not committed.
    #[error(transparent)]
    Transaction(#[from] transaction::Error),
    /// librdkafka has no group.
    #[error("Kafka's client tells no consumer group")]
    Group,
    /// Somebody else committed offsets for the group.
    #[error(
        "the offset of group {group} for partition {partition} has no checkpoint with it ({error}): only these workers may commit for this group; delete the group to count all likes again from the first that is kept"
    )]
    Checkpoint {
        /// The group.
        group: String,
        /// The partition.
        partition: i32,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// The worker ends.
    #[error("stopped")]
    Stopped,
}

impl Error {
    /// Whether it is that Kafka refuses this clock.
    pub fn is_clock(&self) -> bool {
        matches!(self, Self::Transaction(transaction::Error::Clock { .. }))
    }
}

/// What the worker asks for.
pub enum Order {
    /// To store these, and that all likes up to there were counted.
    Commit {
        /// Records of the topics of aggregations.
        records: Outgoing,
        /// Stored with them.
        stored: Stored,
    },
    /// To read back windows that late likes came for; the engine waits meanwhile.
    Recall(Box<Engine>),
    /// To look whether all likes there are come before this offset.
    Look(i64),
}

/// What it gets.
pub enum Answer {
    /// An engine to count with.
    Ready {
        /// The windows as they were committed, or as they were handed in for a recall.
        engine: Box<Engine>,
        /// After a start, the offset to read from.
        next: Option<i64>,
        /// Where the topics of aggregations end.
        ends: Vec<i64>,
    },
    /// It is stored.
    Committed {
        /// Their memory, to be used again.
        records: Outgoing,
        /// Where the topics of aggregations end.
        ends: Vec<i64>,
    },
    /// Of a look.
    Looked {
        /// The offset it was asked of.
        next: i64,
        /// Whether nothing lies behind.
        is_all: bool,
    },
    /// Nothing that was not stored counts; the partition has to begin again.
    Failed(Error),
}

/// Whom an answer is for: the partition, and which of its beginnings.
pub type Address = (i32, u64);

/// One partition's thread.
pub struct Partition {
    settings: Arc<Settings>,
    number: i32,
    stop: Arc<AtomicBool>,
    pulse: Pulse,
}

impl Partition {
    /// Starts it; it ends when its orders are dropped, or when `stop` is set.
    pub fn spawn(
        settings: &Arc<Settings>,
        (partition, beginning): Address,
        stop: &Arc<AtomicBool>,
        pulse: &Pulse,
        answers: mpsc::Sender<(Address, Answer)>,
    ) -> std::io::Result<mpsc::Sender<Order>> {
        let (orders, received) = mpsc::channel();
        let this = Self {
            settings: Arc::clone(settings),
            number: partition,
            stop: Arc::clone(stop),
            pulse: pulse.clone(),
        };
        let work = move || {
            // Nobody listens any more once the worker has given the partition up.
            let answer = |answer| drop(answers.send(((partition, beginning), answer)));
            if let Err(error) = this.run(&received, answer) {
                answer(Answer::Failed(error));
            }
        };
        std::thread::Builder::new()
            .name(format!("windows-{partition}"))
            .spawn(work)?;
        Ok(orders)
    }

    fn run(&self, orders: &mpsc::Receiver<Order>, answer: impl Fn(Answer)) -> Result<(), Error> {
        let producer = self.producer()?;
        Attempt::new(&self.stop).fence(&producer)?;
        self.pulse.beat();
        let readback = self.readback()?;
        let group = readback.group()?;
        self.end_what_is_open(&producer, &group)?;
        let stored = self.take_over(&producer, &group, &readback)?;
        let engine = Box::new(readback.engine(&stored.checkpoint)?);
        drop(readback);
        answer(Answer::Ready {
            engine,
            next: Some(stored.next),
            ends: producer.context().ends(),
        });
        let mut is_settled = true;
        loop {
            let order = match orders.recv_timeout(QUIET) {
                Ok(order) => order,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {
                    // The next transaction would end this one, too; there may be none for long.
                    if !is_settled {
                        self.settle(&producer)?;
                        is_settled = true;
                    }
                    continue;
                }
            };
            match order {
                Order::Commit { records, stored } => {
                    is_settled = false;
                    self.commit(&producer, &group, &records, &stored)?;
                    let ends = producer.context().ends();
                    answer(Answer::Committed { records, ends });
                }
                Order::Recall(mut engine) => {
                    let missing = engine.missing();
                    self.readback()?.recall(&mut engine, &missing)?;
                    let ends = producer.context().ends();
                    answer(Answer::Ready {
                        engine,
                        next: None,
                        ends,
                    });
                }
                Order::Look(next) => {
                    let is_all = self.readback()?.is_all_before(next)?;
                    answer(Answer::Looked { next, is_all });
                }
            }
        }
    }

    /// A transaction of the former owner that is open in any of the topics ends with this one, as aborted.
    fn end_what_is_open(&self, producer: &BaseProducer<Ends>, group: &ConsumerGroupMetadata) -> Result<(), Error> {
        let attempt = Attempt::new(&self.stop);
        producer.begin_transaction()?;
        let now = self.settings.clock.now();
        for (size, topic) in self.settings.topics.aggregations.iter().enumerate() {
            let record = BaseRecord::with_opaque_to(topic, size)
                .partition(self.number)
                .timestamp(now);
            // The topics are compacted, so it has a key.
            attempt.send(producer, record.key(&[][..]).payload(&[][..]))?;
        }
        attempt.send_offsets(producer, &self.offsets(0, "")?, group)?;
        attempt.abort(producer)?;
        self.settle(producer)
    }

    /// Finds what was committed last, and commits it once more: from then on it is seen in all of the topics, or in none.
    fn take_over(
        &self,
        producer: &BaseProducer<Ends>,
        group: &ConsumerGroupMetadata,
        readback: &Readback<'_>,
    ) -> Result<Stored, Error> {
        let partition = self.number;
        let first = readback.first_like()?;
        let (mut stored, lost) = match readback.stored()? {
            Some(stored) => readback.tail(stored)?.lost(),
            None => (Stored::default(), Outgoing::default()),
        };
        if !lost.is_empty() {
            tracing::warn!(
                partition,
                "Kafka ended the last transaction in some topics only: it is committed again"
            );
        }
        if stored.next < first && stored != Stored::default() {
            let lost = first - stored.next;
            tracing::error!(
                partition,
                lost,
                "likes were deleted from the topic before they were counted; give the topic a longer retention"
            );
        }
        stored.next = stored.next.max(first);
        producer.context().end_at_least(&readback.ends()?);
        stored.checkpoint.tail = self.settings.rules.sizes.by_name(&producer.context().ends());
        self.commit(producer, group, &lost, &stored)?;
        self.settle(producer)?;
        Ok(stored)
    }

    fn readback(&self) -> Result<Readback<'_>, Error> {
        Ok(Readback::new(&self.settings, self.number, &self.stop, &self.pulse)?)
    }

    fn producer(&self) -> Result<BaseProducer<Ends>, Error> {
        let id = format!("{}-windows-{}", self.settings.cluster, self.number);
        let ends = Ends::new(self.settings.topics.aggregations.len());
        Ok(transaction::config(&self.settings.kafka, &id)?.create_with_context(ends)?)
    }

    fn commit(
        &self,
        producer: &BaseProducer<Ends>,
        group: &ConsumerGroupMetadata,
        records: &Outgoing,
        stored: &Stored,
    ) -> Result<(), Error> {
        let attempt = Attempt::new(&self.stop);
        producer.begin_transaction()?;
        let now = self.settings.clock.now();
        let topics = &self.settings.topics;
        let mut has_header = vec![false; topics.aggregations.len()];
        for (size, key, value) in records.records() {
            let mut record = BaseRecord::with_opaque_to(&topics.aggregations[size], size);
            if !std::mem::replace(&mut has_header[size], true) {
                let (key, value) = (Stored::HEADER, Some(&stored.to_header()));
                record = record.headers(OwnedHeaders::new().insert(Header { key, value }));
            }
            let record = record.partition(self.number).timestamp(now).key(key).payload(value);
            attempt.send(producer, record)?;
        }
        let offsets = self.offsets(stored.next, &stored.checkpoint.to_metadata())?;
        attempt.send_offsets(producer, &offsets, group)?;
        Ok(attempt.commit(producer)?)
    }

    fn offsets(&self, next: i64, metadata: &str) -> Result<TopicPartitionList, Error> {
        let mut offsets = TopicPartitionList::new();
        let mut likes = offsets.add_partition(&self.settings.topics.likes, self.number);
        likes.set_offset(Offset::Offset(next))?;
        likes.set_metadata(metadata);
        Ok(offsets)
    }

    /// Waits until everything that was written to the topics is committed or aborted there.
    fn settle(&self, producer: &BaseProducer<Ends>) -> Result<(), Error> {
        let attempt = Attempt::new(&self.stop);
        for (topic, end) in self.settings.topics.aggregations.iter().zip(producer.context().ends()) {
            attempt.settle(producer, topic, self.number, end)?;
        }
        self.pulse.beat();
        Ok(())
    }
}

/// Where each topic of aggregations ends, as delivery reports tell.
struct Ends {
    ends: Vec<AtomicI64>,
    refused: Refused,
}

impl Ends {
    fn new(topics: usize) -> Self {
        Self {
            ends: (0..topics).map(|_| AtomicI64::new(0)).collect(),
            refused: Refused::default(),
        }
    }

    fn ends(&self) -> Vec<i64> {
        self.ends.iter().map(|end| end.load(Ordering::Relaxed)).collect()
    }

    fn end_at_least(&self, ends: &[i64]) {
        for (known, end) in self.ends.iter().zip(ends) {
            known.fetch_max(*end, Ordering::Relaxed);
        }
    }
}

impl ClientContext for Ends {}

impl Notes for Ends {
    fn refused(&self) -> &Refused {
        &self.refused
    }
}

impl ProducerContext for Ends {
    type DeliveryOpaque = usize;

    /// A record that was not delivered fails its transaction; of that no more than this one reason has to be noted here.
    fn delivery(&self, delivered: &DeliveryResult<'_>, size: usize) {
        self.refused.note(delivered);
        if let Ok(message) = delivered {
            self.ends[size].fetch_max(message.offset() + 1, Ordering::Relaxed);
        }
    }
}
