//! The thread that writes to Kafka and waits for it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
};

use rdkafka::{
    ClientContext, Message, Offset, TopicPartitionList,
    consumer::{Consumer, ConsumerGroupMetadata},
    producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext},
};
use synccluster_runtime::clock::now_millis;
use tokio::sync::oneshot;

use super::{
    reader::{Isolation, reader},
    record,
    recovery::{Lost, Stored, recover},
    session::Error,
    topics,
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
    producer: BaseProducer<Ends>,
    group: ConsumerGroupMetadata,
    published: Position,
}

impl Writer {
    /// Fences whoever published this log before, and finds how far that came.
    pub fn open(settings: Arc<Settings>, origin: Origin, stop: Arc<AtomicBool>) -> Result<Self, Error> {
        let id = format!("{}-counter-{}", settings.cluster, origin.ordinal);
        let producer = transaction::config(&settings.kafka, &id)?.create_with_context(Ends::default())?;
        Attempt::new(&stop).fence(&producer)?;
        let group = format!("{}.counter-{}", settings.cluster, origin.ordinal);
        let reader = reader(&settings.kafka, &group, Isolation::Committed)?;
        let partitions = i32::try_from(topics::partitions(&reader, &settings.topics.likes)?).unwrap_or(i32::MAX);
        let mut writer = Self {
            group: reader.group_metadata().ok_or(Error::Group)?,
            published: Position(0),
            origin,
            stop,
            producer,
            settings,
        };
        let settings = Arc::clone(&writer.settings);
        writer.end_what_is_open(partitions)?;
        let mut asked = TopicPartitionList::new();
        asked.add_partition(&settings.topics.likes, 0);
        let committed = reader.committed_offsets(asked, LIMIT)?;
        drop(reader);
        let own = origin.incarnation.to_string();
        let stored = committed.elements().first().and_then(|stored| {
            let Offset::Offset(position) = stored.offset() else {
                return None;
            };
            let metadata = Stored::read(stored.metadata());
            let position = Position(u64::try_from(position).ok()?);
            (metadata.incarnation == own).then_some((position, metadata.since))
        });
        writer.published = stored.map_or(Position(0), |(position, _)| position);
        if let Some((position, Some(since))) = stored {
            let goes_on = || !writer.stop.load(Ordering::Relaxed);
            let (published, lost) = recover(
                &settings,
                &group,
                origin.ordinal,
                partitions,
                (position, since),
                goes_on,
            )?
            .ok_or(transaction::Error::Stopped)?;
            writer.published = published;
            if published != position || !lost.is_empty() {
                tracing::warn!(%published, "Kafka ended the last transaction in some partitions only: it is committed again");
                writer.publish_again(&lost)?;
            }
        }
        Ok(writer)
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
        self.transaction(published, |attempt, producer| {
            let mut value = Vec::new();
            for entry in entries {
                let key = record::write(entry, self.origin.ordinal, &mut value);
                let record = BaseRecord::to(&self.settings.topics.likes)
                    .key(key.as_bytes())
                    .payload(value.as_slice());
                attempt.send(producer, record)?;
            }
            Ok(())
        })?;
        self.published = published;
        Ok(())
    }

    fn publish_again(&self, lost: &Lost) -> Result<(), Error> {
        self.transaction(self.published, |attempt, producer| {
            for (partition, key, value) in lost.records() {
                let record = BaseRecord::to(&self.settings.topics.likes).partition(partition);
                attempt.send(producer, record.key(key).payload(value))?;
            }
            Ok(())
        })
    }

    /// A transaction that stores the position with what `send` sends; over when it has ended in every partition.
    fn transaction(
        &self,
        position: Position,
        send: impl FnOnce(&Attempt<'_>, &BaseProducer<Ends>) -> Result<(), transaction::Error>,
    ) -> Result<(), Error> {
        let attempt = Attempt::new(&self.stop);
        let since = now_millis();
        self.producer.begin_transaction()?;
        send(&attempt, &self.producer)?;
        attempt.send_offsets(&self.producer, &self.offset(position, Some(since))?, &self.group)?;
        attempt.commit(&self.producer)?;
        self.settle(&attempt)
    }

    /// A transaction of the former owner that is open in any partition ends with this one, as aborted.
    fn end_what_is_open(&self, partitions: i32) -> Result<(), Error> {
        let attempt = Attempt::new(&self.stop);
        self.producer.begin_transaction()?;
        for partition in 0..partitions {
            let record = BaseRecord::to(&self.settings.topics.likes).partition(partition);
            attempt.send(&self.producer, record.key(&[][..]).payload(&[][..]))?;
        }
        attempt.send_offsets(&self.producer, &self.offset(Position(0), None)?, &self.group)?;
        attempt.abort(&self.producer)?;
        self.settle(&attempt)
    }

    fn offset(&self, position: Position, since: Option<i64>) -> Result<TopicPartitionList, Error> {
        let incarnation = self.origin.incarnation.to_string();
        let mut offsets = TopicPartitionList::new();
        let mut stored = offsets.add_partition(&self.settings.topics.likes, 0);
        stored.set_offset(Offset::Offset(i64::try_from(position.0).unwrap_or(i64::MAX)))?;
        stored.set_metadata(Stored { incarnation, since }.to_metadata());
        Ok(offsets)
    }

    fn settle(&self, attempt: &Attempt<'_>) -> Result<(), Error> {
        let ends = std::mem::take(&mut *self.producer.context().ends());
        for (partition, end) in ends {
            attempt.settle(&self.producer, &self.settings.topics.likes, partition, end)?;
        }
        Ok(())
    }
}

/// Behind what was written last, by partition.
#[derive(Default)]
struct Ends(Mutex<BTreeMap<i32, i64>>);

impl Ends {
    fn ends(&self) -> MutexGuard<'_, BTreeMap<i32, i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Ends {}

impl ProducerContext for Ends {
    type DeliveryOpaque = ();

    /// A record that was not delivered fails its transaction; nothing has to be noted here.
    fn delivery(&self, delivered: &DeliveryResult<'_>, (): ()) {
        if let Ok(message) = delivered {
            self.ends().insert(message.partition(), message.offset() + 1);
        }
    }
}
