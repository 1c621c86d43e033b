//! The transactional id of one node's log. Whoever owns it publishes that log, and nobody else does: a node its own, and for a moment that of
//! another which does not come back.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use rdkafka::{
    ClientContext, Message, Offset, Timestamp, TopicPartitionList,
    consumer::{Consumer, ConsumerGroupMetadata},
    producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext},
};

use super::{
    reader::{Isolation, reader},
    recovery::{Life, Stored, recover},
    refused::{Notes, Refused},
    session::Error,
    topics,
    transaction::{self, Attempt, LIMIT},
};
use crate::{
    crdt::{Ordinal, Position},
    windows::Settings,
};

/// Owns it until another takes it.
pub struct Owner {
    settings: Arc<Settings>,
    node: Ordinal,
    stop: Arc<AtomicBool>,
    producer: BaseProducer<Reports>,
    group: ConsumerGroupMetadata,
    partitions: i32,
}

impl Owner {
    /// Fences whoever owned it before, and ends what that left open, as aborted.
    pub fn take(settings: Arc<Settings>, node: Ordinal, stop: Arc<AtomicBool>) -> Result<Self, Error> {
        let id = format!("{}-counter-{node}", settings.cluster);
        let producer = transaction::config(&settings.kafka, &id)?.create_with_context(Reports::default())?;
        Attempt::new(&stop).fence(&producer)?;
        let reader = reader(&settings.kafka, &group(&settings, node), Isolation::Committed)?;
        let partitions = topics::partitions(&reader, &settings.topics.likes)?;
        let owner = Self {
            group: reader.group_metadata().ok_or(Error::Group)?,
            partitions: i32::try_from(partitions).unwrap_or(i32::MAX),
            settings,
            node,
            stop,
            producer,
        };
        owner.end_what_is_open()?;
        Ok(owner)
    }

    /// A transaction of the former owner that is open in any partition ends with this one.
    fn end_what_is_open(&self) -> Result<(), Error> {
        let open = self.begin()?;
        for partition in 0..self.partitions {
            open.send(Some(partition), &[], &[])?;
        }
        let nothing = Stored {
            incarnation: String::new(),
            since: None,
        };
        open.attempt
            .send_offsets(&self.producer, &self.offset(Position(0), &nothing)?, &self.group)?;
        Ok(open.attempt.abort(&self.producer)?)
    }

    fn begin(&self) -> Result<Open<'_>, Error> {
        let attempt = Attempt::new(&self.stop);
        self.producer.begin_transaction()?;
        Ok(Open {
            owner: self,
            attempt,
            now: self.settings.clock.now(),
        })
    }

    /// Waits until everything it has written is ended and can be seen to be.
    ///
    /// That takes other nodes' transactions too: Kafka tells where the first one begins that is open, and nothing of those behind it. What is
    /// behind may be committed or aborted, so nobody can recover from there, and whether an own transaction has ended everywhere, which has to
    /// be known before the next begins, cannot be told. So what others leave open is ended (`left`), and waited for until then.
    pub fn settle(&self) -> Result<(), Error> {
        self.settled(&Attempt::new(&self.stop))
    }

    fn settled(&self, attempt: &Attempt<'_>) -> Result<(), Error> {
        let ends = std::mem::take(&mut self.producer.context().delivered().ends);
        for (partition, end) in ends {
            attempt.settle(&self.producer, &self.settings.topics.likes, partition, end)?;
        }
        Ok(())
    }

    /// Up to where the log is published, and in which incarnation; nothing where Kafka knows nothing of it. What of that Kafka ended in some
    /// partitions only is committed again, under the same positions. Everything has to be settled.
    pub fn recover(&self) -> Result<Option<(String, Position)>, Error> {
        let Some((position, stored)) = self.stored()? else {
            return Ok(None);
        };
        let mut published = position;
        if let Some(since) = stored.since {
            let life = Life {
                node: self.node,
                incarnation: &stored.incarnation,
            };
            let goes_on = || !self.stop.load(Ordering::Relaxed);
            let group = group(&self.settings, self.node);
            let found = recover(
                &self.settings,
                &group,
                life,
                self.partitions,
                (position, since),
                goes_on,
            )?;
            let (until, lost) = found.ok_or(transaction::Error::Stopped)?;
            published = until;
            if published != position || !lost.is_empty() {
                let node = self.node;
                tracing::warn!(%node, %published, "Kafka ended the last transaction in some partitions only: it is committed again");
                self.transaction(&stored.incarnation, published, |open| {
                    let mut lost = lost.records();
                    lost.try_for_each(|(partition, key, value)| open.send(Some(partition), key, value))
                })?;
            }
        }
        Ok(Some((stored.incarnation, published)))
    }

    fn stored(&self) -> Result<Option<(Position, Stored)>, Error> {
        let reader = reader(
            &self.settings.kafka,
            &group(&self.settings, self.node),
            Isolation::Committed,
        )?;
        let mut asked = TopicPartitionList::new();
        asked.add_partition(&self.settings.topics.likes, 0);
        let committed = reader.committed_offsets(asked, LIMIT)?;
        Ok(committed.elements().first().and_then(|stored| {
            let Offset::Offset(position) = stored.offset() else {
                return None;
            };
            let position = Position(u64::try_from(position).ok()?);
            Some((position, Stored::read(stored.metadata())))
        }))
    }

    /// A transaction that stores the position with what `send` sends; over when it has ended in every partition.
    pub fn transaction(
        &self,
        incarnation: &str,
        position: Position,
        send: impl FnOnce(&Open<'_>) -> Result<(), transaction::Error>,
    ) -> Result<(), Error> {
        let open = self.begin()?;
        let stored = Stored {
            incarnation: incarnation.to_owned(),
            since: Some(self.producer.context().delivered().time().unwrap_or(open.now)),
        };
        send(&open)?;
        let attempt = &open.attempt;
        attempt.send_offsets(&self.producer, &self.offset(position, &stored)?, &self.group)?;
        attempt.commit(&self.producer)?;
        self.settled(attempt)
    }

    fn offset(&self, position: Position, stored: &Stored) -> Result<TopicPartitionList, Error> {
        let mut offsets = TopicPartitionList::new();
        let mut likes = offsets.add_partition(&self.settings.topics.likes, 0);
        likes.set_offset(Offset::Offset(i64::try_from(position.0).unwrap_or(i64::MAX)))?;
        likes.set_metadata(stored.to_metadata());
        Ok(offsets)
    }
}

/// Where a node's position is stored.
fn group(settings: &Settings, node: Ordinal) -> String {
    format!("{}.counter-{node}", settings.cluster)
}

/// A transaction that is open.
pub struct Open<'a> {
    owner: &'a Owner,
    attempt: Attempt<'a>,
    now: i64,
}

impl Open<'_> {
    /// Sends a record to this partition, or to the one that its key has.
    pub fn send(&self, partition: Option<i32>, key: &[u8], value: &[u8]) -> Result<(), transaction::Error> {
        let record = BaseRecord::to(&self.owner.settings.topics.likes).timestamp(self.now);
        let mut record = record.key(key).payload(value);
        record.partition = partition;
        self.attempt.send(&self.owner.producer, record)
    }
}

/// What the reports of delivered records say.
#[derive(Default)]
pub struct Delivered {
    /// Behind what was written last, by partition.
    ends: BTreeMap<i32, i64>,
    /// When the broker appended the last one, by its own clock, and when that was heard.
    appended: Option<(i64, Instant)>,
}

impl Delivered {
    /// What time the topic's records get now, if that is not the time of who writes them. Never later than that.
    fn time(&self) -> Option<i64> {
        self.appended
            .map(|(at, heard)| at.saturating_add(i64::try_from(heard.elapsed().as_millis()).unwrap_or(i64::MAX)))
    }
}

/// Notes what is delivered, and what is refused.
#[derive(Default)]
pub struct Reports {
    delivered: Mutex<Delivered>,
    refused: Refused,
}

impl Reports {
    fn delivered(&self) -> MutexGuard<'_, Delivered> {
        self.delivered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notes for Reports {
    fn refused(&self) -> &Refused {
        &self.refused
    }
}

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    /// A record that was not delivered fails its transaction; of that no more than the one reason has to be noted here.
    fn delivery(&self, delivered: &DeliveryResult<'_>, (): ()) {
        self.refused.note(delivered);
        if let Ok(message) = delivered {
            let mut delivered = self.delivered();
            delivered.ends.insert(message.partition(), message.offset() + 1);
            if let Timestamp::LogAppendTime(at) = message.timestamp() {
                delivered.appended = Some((at, Instant::now()));
            }
        }
    }
}
