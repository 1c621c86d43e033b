//! What the site's topic has: Connect does not tell what Kafka has acknowledged.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
    message::BorrowedMessage,
};
use serde::Deserialize;
use synccluster_protocol::event::Source;
use synccluster_runtime::kafka::Kafka;
use tokio::task;

const ANSWER: Duration = Duration::from_secs(3);
/// How long records are counted before something else is looked at.
const COUNT_FOR: Duration = Duration::from_millis(500);

/// Asks for the end of a topic.
#[derive(Clone)]
pub struct Topic {
    kafka: Kafka,
    consumer: Arc<BaseConsumer>,
    name: String,
}

/// Counts the rows in it that were read while streaming went on.
pub struct Rows {
    consumer: Arc<BaseConsumer>,
    counted: u64,
    /// The next record.
    next: i64,
}

#[derive(Deserialize)]
struct Head {
    source: Option<Source>,
}

impl Topic {
    /// One of this Kafka.
    pub fn new(kafka: &Kafka, name: &str) -> Result<Self, KafkaError> {
        let config = kafka.consumer_config(&format!("{name}-connector"))?;
        Ok(Self {
            kafka: kafka.clone(),
            consumer: Arc::new(config.create()?),
            name: name.to_owned(),
        })
    }

    /// Counts from this offset on.
    pub fn rows(&self, from: i64) -> Result<Rows, KafkaError> {
        let config = self.kafka.consumer_config(&format!("{}-connector", self.name))?;
        let consumer: BaseConsumer = config.create()?;
        let mut place = TopicPartitionList::new();
        place.add_partition_offset(&self.name, 0, Offset::Offset(from))?;
        consumer.assign(&place)?;
        Ok(Rows {
            consumer: Arc::new(consumer),
            counted: 0,
            next: from,
        })
    }

    /// The offset behind its last record; `None` while there is no such topic.
    pub async fn end(&self) -> Result<Option<i64>, KafkaError> {
        let topic = self.clone();
        let asked = task::spawn_blocking(move || topic.consumer.fetch_watermarks(&topic.name, 0, ANSWER)).await;
        match asked {
            Ok(Ok((_, end))) => Ok(Some(end)),
            Ok(Err(error))
                if matches!(
                    error.rdkafka_error_code(),
                    Some(
                        RDKafkaErrorCode::UnknownTopicOrPartition
                            | RDKafkaErrorCode::UnknownPartition
                            | RDKafkaErrorCode::UnknownTopic
                    )
                ) =>
            {
                Ok(None)
            }
            Ok(Err(error)) => Err(error),
            // The runtime is going down.
            Err(_) => Ok(None),
        }
    }
}

impl Rows {
    /// How many there were.
    pub fn counted(&self) -> u64 {
        self.counted
    }

    /// Counts for a while; whether everything before `end` was counted.
    pub async fn count(&mut self, end: i64) -> Result<bool, KafkaError> {
        let (consumer, mut next) = (Arc::clone(&self.consumer), self.next);
        let counting = task::spawn_blocking(move || {
            let (until, mut rows) = (Instant::now() + COUNT_FOR, 0);
            while next < end && Instant::now() < until {
                if let Some(record) = consumer.poll(COUNT_FOR).transpose()? {
                    rows += u64::from(is_incremental(&record));
                    next = record.offset() + 1;
                }
            }
            Ok::<_, KafkaError>((rows, next))
        });
        // An error of joining: the runtime is going down.
        let (rows, next) = counting.await.unwrap_or(Ok((0, self.next)))?;
        self.counted += rows;
        self.next = next;
        Ok(next >= end)
    }
}

fn is_incremental(record: &BorrowedMessage<'_>) -> bool {
    record
        .payload()
        .and_then(|payload| serde_json::from_slice::<Head>(payload).ok()?.source)
        .is_some_and(|source| source.is_incremental())
}
