//! Kafka's transactions, whose calls block: only ever called by threads that are there for it.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, TopicPartitionList,
    consumer::ConsumerGroupMetadata,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseProducer, BaseRecord, Producer, ProducerContext},
};
use synccluster_runtime::kafka::Kafka;

use super::refused::Notes;

/// A transaction that Kafka has not taken by then is given up. Kafka aborts the one of a killed process by then too, if nobody fences it before.
pub const LIMIT: Duration = Duration::from_secs(15);
/// Whoever waits for a thread that is in a transaction gives the thread up after this long, and begins again with another, which fences it.
///
/// `rd_kafka_send_offsets_to_transaction` waits without a limit for librdkafka's main thread, and that (2.12) does not always answer when a broker
/// is restarted meanwhile: `rd_kafka_txn_handle_TxnOffsetCommit` returns without a result where its request is outdated. A thread that waits
/// there stays, with its producer, until the process ends.
pub const SILENCE: Duration = Duration::from_secs(20);
/// Between two looks whether to stop.
const TICK: Duration = Duration::from_millis(500);
/// How long Kafka may take to say where a partition ends: while a transaction of before its restart is open there it does not say.
const ANSWER: Duration = Duration::from_secs(2);
/// Between two looks whether a record is delivered, or has room.
const LOOK: Duration = Duration::from_millis(2);
/// How long the reports of records are waited for that failed a transaction.
const REPORTS: Duration = Duration::from_millis(100);

/// Why a transaction was not committed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Kafka refused or was not in reach.
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// Kafka did not end it everywhere.
    #[error("a transaction is still open in partition {partition} of {topic} after {LIMIT:?}")]
    Open {
        /// Where.
        topic: String,
        /// Where.
        partition: i32,
    },
    /// The same, as far as anybody can tell: Kafka does not say where a partition ends of which a transaction is open since before its leader
    /// was started.
    #[error(
        "Kafka does not say for {LIMIT:?} whether a transaction is open in partition {partition} of {topic}: {error}"
    )]
    Untold {
        /// Where.
        topic: String,
        /// Where.
        partition: i32,
        /// What it says instead.
        error: KafkaError,
    },
    /// The broker compares the times of records with its own clock.
    #[error(
        "Kafka refuses the time of what is written to {topic}: this clock is further from the broker's than the topic allows \
         (message.timestamp.after.max.ms, an hour by default); set the clock"
    )]
    Clock {
        /// Whose limit it is.
        topic: String,
    },
    /// The process, or the session, ends.
    #[error("stopped")]
    Stopped,
}

impl Error {
    /// Whether it is that what was written is not seen to have ended.
    pub fn is_hidden(&self) -> bool {
        matches!(self, Self::Open { .. } | Self::Untold { .. })
    }
}

/// A producer of transactions under this id.
pub fn config(kafka: &Kafka, id: &str) -> Result<ClientConfig, KafkaError> {
    let mut config = kafka.producer_config(id)?;
    config
        .set("transactional.id", id)
        .set("transaction.timeout.ms", LIMIT.as_millis().to_string())
        .set("message.timeout.ms", LIMIT.as_millis().to_string())
        .set("queue.buffering.max.kbytes", "2048")
        .set("batch.size", "65536")
        // A transaction that begins while the markers of the last are still being written is told to try again, after 100 ms by default.
        .set("retry.backoff.ms", "10")
        // As Java's clients do, so that the same key is in the same partition whoever writes it.
        .set("partitioner", "murmur2_random");
    Ok(config)
}

/// One try to get something through, over after [`LIMIT`] whatever its steps are.
pub struct Attempt<'a> {
    stop: &'a AtomicBool,
    end: Instant,
}

impl<'a> Attempt<'a> {
    /// Begins now; `stop` ends it earlier.
    pub fn new(stop: &'a AtomicBool) -> Self {
        Self {
            stop,
            end: Instant::now() + LIMIT,
        }
    }

    /// Ends what a former owner of the id left, and keeps it from committing ever again.
    pub fn fence<C: ProducerContext>(&self, producer: &BaseProducer<C>) -> Result<(), Error> {
        self.until_done(|| producer.init_transactions(TICK))
    }

    /// Sends a record of the open transaction; waits where the queue is full.
    pub fn send<C: Notes>(
        &self,
        producer: &BaseProducer<C>,
        mut record: BaseRecord<'_, [u8], [u8], C::DeliveryOpaque>,
    ) -> Result<(), Error> {
        while let Err((error, back)) = producer.send(record) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) || self.is_late() {
                return Err(reason(producer, error.into()));
            }
            if self.is_stopped() {
                return Err(Error::Stopped);
            }
            record = back;
            producer.poll(LOOK);
        }
        Ok(())
    }

    /// Makes the offsets part of the open transaction. Not in short looks as the others: one that is over before Kafka answers aborts the
    /// transaction.
    pub fn send_offsets<C: Notes>(
        &self,
        producer: &BaseProducer<C>,
        offsets: &TopicPartitionList,
        group: &ConsumerGroupMetadata,
    ) -> Result<(), Error> {
        let sent = self.until_done(|| {
            let left = self.end.saturating_duration_since(Instant::now()).max(TICK);
            producer.send_offsets_to_transaction(offsets, group, left)
        });
        sent.map_err(|error| reason(producer, error))
    }

    /// Commits the open transaction once all its records are delivered.
    ///
    /// rdkafka's own wait for them (`flush`, which `commit_transaction` begins with) looks every 100 ms only: its `poll` stays for all of its
    /// time, whatever arrives. So they are waited for here, in short looks.
    pub fn commit<C: Notes>(&self, producer: &BaseProducer<C>) -> Result<(), Error> {
        self.deliver(producer)?;
        self.until_done(|| producer.commit_transaction(TICK))
            .map_err(|error| reason(producer, error))
    }

    /// Aborts the open transaction once all its records are delivered: what is not is taken back by an abort, and its partition is not told.
    /// Records that were refused for their time are an error here, too.
    pub fn abort<C: Notes>(&self, producer: &BaseProducer<C>) -> Result<(), Error> {
        self.deliver(producer)?;
        let aborted = self.until_done(|| producer.abort_transaction(TICK));
        producer.context().refused().check()?;
        aborted
    }

    fn deliver<C: ProducerContext>(&self, producer: &BaseProducer<C>) -> Result<(), Error> {
        while producer.in_flight_count() > 0 && !self.is_late() {
            if self.is_stopped() {
                return Err(Error::Stopped);
            }
            producer.poll(LOOK);
        }
        Ok(())
    }

    /// Waits until the transactions that wrote this partition up to `end` have ended there, too. Of a commit Kafka says that it is done before
    /// it tells the partitions, and where one has no leader it does not tell it at all (KAFKA-20734).
    pub fn settle<C: ProducerContext>(
        &self,
        producer: &BaseProducer<C>,
        topic: &str,
        partition: i32,
        end: i64,
    ) -> Result<(), Error> {
        // As consumers, producers are told by default where what is committed ends.
        loop {
            let found = producer.client().fetch_watermarks(topic, partition, ANSWER);
            let of = || topic.to_owned();
            let pending = match found {
                Ok((_, stable)) if stable >= end => return Ok(()),
                Ok(_) => Error::Open { topic: of(), partition },
                Err(error) => Error::Untold {
                    topic: of(),
                    partition,
                    error,
                },
            };
            if self.is_stopped() {
                return Err(Error::Stopped);
            }
            if self.is_late() {
                return Err(pending);
            }
            thread::sleep(LOOK);
        }
    }

    /// Calls it again while it says that it may be, which is also what it says when its time is over. It goes on where it was.
    fn until_done(&self, call: impl Fn() -> Result<(), KafkaError>) -> Result<(), Error> {
        loop {
            match call() {
                Ok(()) => return Ok(()),
                Err(_) if self.is_stopped() => return Err(Error::Stopped),
                Err(error) if !self.is_late() && may_be_repeated(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn is_late(&self) -> bool {
        Instant::now() >= self.end
    }
}

/// Why a transaction failed of which a step did: the reports of the records that failed it may come after that.
fn reason<C: Notes>(producer: &BaseProducer<C>, error: Error) -> Error {
    producer.poll(REPORTS);
    producer.context().refused().check().err().unwrap_or(error)
}

fn may_be_repeated(error: &KafkaError) -> bool {
    match error {
        KafkaError::Transaction(error) => error.is_retriable(),
        KafkaError::Flush(code) => *code == RDKafkaErrorCode::OperationTimedOut,
        _ => false,
    }
}
