//! Kafka's transactions, whose calls block: only ever called by threads that are there for it.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseProducer, BaseRecord, Producer, ProducerContext},
};
use synccluster_runtime::kafka::Kafka;

/// A transaction that Kafka has not taken by then is given up. Kafka aborts the one of a killed process by then too, if nobody fences it before.
pub const LIMIT: Duration = Duration::from_secs(30);
/// Between two looks whether to stop.
pub const TICK: Duration = Duration::from_millis(500);
/// Between two looks whether a record is delivered, or has room.
const LOOK: Duration = Duration::from_millis(2);

/// Why a transaction was not committed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Kafka refused or was not in reach.
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// The process, or the session, ends.
    #[error("stopped")]
    Stopped,
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

/// Ends what a former owner of the id left, and keeps it from committing ever again.
pub fn fence<C: ProducerContext>(producer: &BaseProducer<C>, stop: &AtomicBool) -> Result<(), Error> {
    until_done(stop, || producer.init_transactions(TICK))
}

/// Sends a record of the open transaction; waits where the queue is full.
pub fn send<C: ProducerContext>(
    producer: &BaseProducer<C>,
    mut record: BaseRecord<'_, [u8], [u8], C::DeliveryOpaque>,
    stop: &AtomicBool,
) -> Result<(), Error> {
    while let Err((error, refused)) = producer.send(record) {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
            return Err(error.into());
        }
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        record = refused;
        producer.poll(LOOK);
    }
    Ok(())
}

/// Commits the open transaction once all its records are delivered.
///
/// rdkafka's own wait for them (`flush`, which `commit_transaction` begins with) looks every 100 ms only: its `poll` stays for all of its time,
/// whatever arrives. So they are waited for here, in short looks.
pub fn commit<C: ProducerContext>(producer: &BaseProducer<C>, stop: &AtomicBool) -> Result<(), Error> {
    let end = Instant::now() + LIMIT;
    while producer.in_flight_count() > 0 && Instant::now() < end {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        producer.poll(LOOK);
    }
    until_done(stop, || producer.commit_transaction(TICK))
}

/// Calls it again while it says that it may be, which is also what it says when its time is over. It goes on where it was.
pub fn until_done(stop: &AtomicBool, call: impl Fn() -> Result<(), KafkaError>) -> Result<(), Error> {
    let end = Instant::now() + LIMIT;
    loop {
        match call() {
            Ok(()) => return Ok(()),
            Err(_) if stop.load(Ordering::Relaxed) => return Err(Error::Stopped),
            Err(error) if Instant::now() < end && may_be_repeated(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn may_be_repeated(error: &KafkaError) -> bool {
    match error {
        KafkaError::Transaction(error) => error.is_retriable(),
        KafkaError::Flush(code) => *code == RDKafkaErrorCode::OperationTimedOut,
        _ => false,
    }
}
