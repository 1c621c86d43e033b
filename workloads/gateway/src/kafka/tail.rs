//! Follows topics from their end.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use memchr::memmem::Finder;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    types::RDKafkaErrorCode,
};
use tokio::{
    sync::{mpsc, oneshot},
    task,
};
use tokio_util::sync::CancellationToken;

use super::{CLIENT_ID, Error, Kafka, Known, Message, message::Record, pace::Pace, read, topics};
use crate::limit::Place;

/// Messages a second that are shown.
const MOST: u32 = 100;
/// Events that wait for a slow reader: what may come in a second, at once.
const WAITING: usize = 128;
/// Bytes of a value that are shown; who wants all of it reads the message.
const SHOWN: usize = 32 << 10;
/// How soon the tail of a reader who left ends.
const ROUND: Duration = Duration::from_millis(100);

/// What is followed.
#[derive(Debug)]
pub struct Tail {
    /// These topics, each once.
    pub topics: Vec<String>,
    /// Only messages whose key or value has these bytes.
    pub filter: Option<String>,
    /// Held until the tail's consumer is closed.
    pub place: Place,
    /// Ends the tail.
    pub stop: CancellationToken,
}

/// What a tail tells.
#[derive(Clone, Debug, PartialEq)]
pub enum TailEvent {
    /// A message.
    Message(Box<Message>),
    /// So many messages were not shown: there were too many, or the reader is too slow.
    Skipped(u64),
}

impl Kafka {
    /// Begins to follow. What is written after this has returned is told.
    pub async fn tail(&self, tail: Tail, tables: Arc<Known>) -> Result<mpsc::Receiver<TailEvent>, Error> {
        let (begun, begins) = oneshot::channel();
        let (events, receiver) = mpsc::channel(WAITING);
        let mut config = self.reading(CLIENT_ID)?;
        config.set("enable.partition.eof", "false");
        // A thread of its own for as long as somebody listens; `Place` bounds how many there are.
        task::spawn_blocking(move || match begin(&config, &tail.topics) {
            Ok(consumer) => {
                if begun.send(Ok(())).is_ok() {
                    follow(&consumer, &tail, tables.as_ref(), &events);
                }
            }
            Err(error) => {
                // Who is told that nothing is followed no longer holds a place.
                drop(tail);
                drop(begun.send(Err(error)));
            }
        });
        begins.await.unwrap_or(Err(Error::Ended))?;
        Ok(receiver)
    }
}

/// At the end of every partition, as it is now.
fn begin(config: &ClientConfig, names: &[String]) -> Result<BaseConsumer, Error> {
    let consumer: BaseConsumer = config.create()?;
    let mut from = TopicPartitionList::new();
    for name in names {
        let topic = topics::find(&consumer, name)?;
        for partition in &topic.partitions {
            let high = topic.bounds(partition.id)?.high;
            from.add_partition_offset(name, partition.id, Offset::Offset(high))?;
        }
    }
    consumer.assign(&from)?;
    Ok(consumer)
}

fn follow(consumer: &BaseConsumer, tail: &Tail, tables: &Known, events: &mpsc::Sender<TailEvent>) {
    let (began, mut pace) = (Instant::now(), Pace::new(MOST));
    let filter = tail.filter.as_deref().map(Finder::new);
    while !events.is_closed() && !tail.stop.is_cancelled() {
        let received = consumer.poll(ROUND);
        let now = began.elapsed();
        if let Some(skipped) = pace.untold(now)
            && events.try_send(TailEvent::Skipped(skipped)).is_ok()
        {
            pace.told(skipped);
        }
        match received {
            Some(Ok(message)) => {
                let record = read::record(&message);
                if matches(filter.as_ref(), &record) && pace.admits(now) {
                    let mut shown = record.show(SHOWN, tables);
                    shown.topic = Some(rdkafka::Message::topic(&message).to_owned());
                    if events.try_send(TailEvent::Message(Box::new(shown))).is_err() {
                        pace.lost();
                    }
                }
            }
            // A topic that was deleted: whoever follows it asks again and is told so.
            Some(Err(KafkaError::MessageConsumption(
                RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition,
            ))) => return,
            // librdkafka connects again by itself.
            Some(Err(error)) => tracing::debug!(%error, "following topics"),
            None => {}
        }
    }
}

fn matches(filter: Option<&Finder<'_>>, record: &Record<'_>) -> bool {
    let within = |filter: &Finder<'_>| {
        let mut parts = [record.key, record.value].into_iter().flatten();
        parts.any(|bytes| filter.find(bytes).is_some())
    };
    filter.is_none_or(within)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_looks_at_key_and_value() {
        let record = Record {
            key: Some(b"{\"id\":7}"),
            value: Some(b"a \xff milk"),
            ..Record::default()
        };
        let matches = |part: &str| matches(Some(&Finder::new(part)), &record);
        assert!(matches("\"id\":7") && matches("milk"));
        assert!(!matches("7a") && !matches("bread"));
        let tombstone = Record {
            value: None,
            ..record.clone()
        };
        assert!(!super::matches(Some(&Finder::new("milk")), &tombstone));
        assert!(super::matches(None, &tombstone));
    }
}
