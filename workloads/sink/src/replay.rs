//! A transaction too large to be held, read again while it is applied: what is in memory is one piece of it.
//!
//! It has a consumer of its own, so that the topics go on where they are. Its end has been seen in the topic before, so the transaction of
//! the target is open, and holds locks, no longer than applying takes; not while a source that was cut off in the middle stays away.

use std::time::Duration;

use rdkafka::{
    ClientContext, Message, Offset, TopicPartitionList,
    consumer::{Consumer, ConsumerContext, StreamConsumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::BorrowedMessage,
};
use synccluster_runtime::kafka::Kafka;
use tokio::time;

/// Bytes of records read in one go.
const PIECE: usize = 1 << 20;
/// How long the next record may take: meanwhile other writers wait.
const SILENCE: Duration = Duration::from_secs(10);

/// Why the rest of a transaction could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Kafka refused.
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// Nothing came.
    #[error("Kafka sent nothing for {} s in the middle of a transaction: it is begun again", SILENCE.as_secs())]
    Silence,
}

/// The end of a topic is none of the errors that are logged.
struct Quiet;

impl ClientContext for Quiet {
    fn error(&self, error: KafkaError, reason: &str) {
        if !matches!(error, KafkaError::Global(RDKafkaErrorCode::PartitionEOF)) {
            tracing::error!(%error, reason, "librdkafka");
        }
    }
}

impl ConsumerContext for Quiet {}

/// The records of a part of a topic.
pub struct Replay {
    consumer: StreamConsumer<Quiet>,
    next: i64,
    end: i64,
}

impl Replay {
    /// The records from offset `first` up to before `end`.
    pub fn start(kafka: &Kafka, client_id: &str, topic: &str, first: i64, end: i64) -> Result<Self, KafkaError> {
        let mut config = kafka.consumer_config(client_id)?;
        // Compaction may have taken the last records meanwhile; then the end of the topic is the end.
        config.set("enable.partition.eof", "true");
        let consumer = config.create_with_context::<_, StreamConsumer<Quiet>>(Quiet)?;
        let mut part = TopicPartitionList::new();
        part.add_partition_offset(topic, 0, Offset::Offset(first))?;
        consumer.assign(&part)?;
        Ok(Self {
            consumer,
            next: first,
            end,
        })
    }

    /// The next records; none when all were read.
    pub async fn piece(&mut self) -> Result<Vec<Box<str>>, Error> {
        let mut records = Vec::new();
        let mut bytes = 0;
        while self.next < self.end && bytes < PIECE {
            match time::timeout(SILENCE, self.consumer.recv()).await {
                Err(_) => return Err(Error::Silence),
                Ok(Err(KafkaError::PartitionEOF(_))) => self.next = self.end,
                Ok(Err(error)) => return Err(error.into()),
                Ok(Ok(message)) => {
                    self.next = message.offset() + 1;
                    if let Some(raw) = raw(&message).filter(|_| self.next <= self.end) {
                        bytes += raw.len();
                        records.push(raw);
                    }
                }
            }
        }
        Ok(records)
    }
}

/// A record's value; Kafka's tombstones have none.
pub fn raw(message: &BorrowedMessage<'_>) -> Option<Box<str>> {
    message.payload().map(|payload| String::from_utf8_lossy(payload).into())
}
