//! The thread that writes to Kafka and waits for it.

use std::sync::{Arc, atomic::AtomicBool, mpsc};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata},
    producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer},
};
use tokio::sync::oneshot;

use super::{
    record,
    session::Error,
    transaction::{self, Attempt, LIMIT},
};
use crate::{
    crdt::{Entry, Origin, Position},
    windows::Settings,
};

/// Entries to publish, none to store the position again, and who waits for it.
pub type Order = (Arc<[Entry]>, oneshot::Sender<Result<(), Error>>);

/// Writes one node's log.
pub struct Writer {
    settings: Arc<Settings>,
    origin: Origin,
    stop: Arc<AtomicBool>,
    producer: BaseProducer,
    group: ConsumerGroupMetadata,
    published: Position,
}

impl Writer {
    /// Fences whoever published this log before, and finds how far that came.
    pub fn open(settings: Arc<Settings>, origin: Origin, stop: Arc<AtomicBool>) -> Result<Self, Error> {
        let id = format!("{}-counter-{}", settings.cluster, origin.ordinal);
        let producer: BaseProducer = transaction::config(&settings.kafka, &id)?.create()?;
        Attempt::new(&stop).fence(&producer)?;
        let group = format!("{}.counter-{}", settings.cluster, origin.ordinal);
        let consumer: BaseConsumer = settings.kafka.consumer_config(&group)?.create()?;
        let mut asked = TopicPartitionList::new();
        asked.add_partition(&settings.topics.likes, 0);
        let committed = consumer.committed_offsets(asked, LIMIT)?;
        let own = origin.incarnation.to_string();
        let published = committed.elements().first().and_then(|stored| match stored.offset() {
            Offset::Offset(position) if stored.metadata() == own => u64::try_from(position).ok(),
            // The position of a log that was lost with its disk says nothing of this one.
            _ => None,
        });
        Ok(Self {
            group: consumer.group_metadata().ok_or(Error::Group)?,
            published: Position(published.unwrap_or(0)),
            settings,
            origin,
            stop,
            producer,
        })
    }

    /// The last position that is in the topic.
    pub fn published(&self) -> Position {
        self.published
    }

    /// Publishes until nobody has orders any more, or one fails.
    pub fn run(mut self, orders: &mpsc::Receiver<Order>) {
        for (entries, done) in orders {
            let result = self.publish(&entries);
            let failed = result.is_err();
            // Dropped where the session is over.
            drop(done.send(result));
            if failed {
                return;
            }
        }
    }

    fn publish(&mut self, entries: &[Entry]) -> Result<(), Error> {
        let published = entries.last().map_or(self.published, |last| last.position);
        if let Some(first) = entries.first().filter(|first| first.position != self.published.next()) {
            return Err(Error::Gap(self.published, first.position));
        }
        let attempt = Attempt::new(&self.stop);
        self.producer.begin_transaction()?;
        let mut value = Vec::new();
        for entry in entries {
            let key = record::write(entry, self.origin.ordinal, &mut value);
            let record = BaseRecord::to(&self.settings.topics.likes)
                .key(key.as_bytes())
                .payload(value.as_slice());
            attempt.send::<DefaultProducerContext>(&self.producer, record)?;
        }
        let mut offsets = TopicPartitionList::new();
        let mut stored = offsets.add_partition(&self.settings.topics.likes, 0);
        stored.set_offset(Offset::Offset(i64::try_from(published.0).unwrap_or(i64::MAX)))?;
        stored.set_metadata(self.origin.incarnation.to_string());
        attempt.send_offsets(&self.producer, &offsets, &self.group)?;
        attempt.commit(&self.producer)?;
        self.published = published;
        Ok(())
    }
}
