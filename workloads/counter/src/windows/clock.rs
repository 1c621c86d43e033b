//! Whether Kafka takes the time of what would be written. A broker refuses records whose time is too far ahead of its own clock; a worker of
//! which that is so must not take partitions that others could count.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use rdkafka::{
    ClientContext,
    error::RDKafkaErrorCode,
    producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext},
};

use super::{partition::Error, settings::Settings};
use crate::publish::transaction::{self, Attempt};

/// Of some topics, one that has refused the time of a record.
pub struct Refused {
    topics: usize,
    topic: AtomicUsize,
}

impl Refused {
    /// None of so many.
    pub fn none_of(topics: usize) -> Self {
        Self {
            topics,
            topic: AtomicUsize::new(topics),
        }
    }

    /// A record for this topic was delivered, or not.
    pub fn note(&self, delivered: &DeliveryResult<'_>, topic: usize) {
        if let Err((error, _)) = delivered
            && error.rdkafka_error_code() == Some(RDKafkaErrorCode::InvalidTimestamp)
        {
            self.topic.store(topic, Ordering::Relaxed);
        }
    }

    /// Whether all times were taken.
    pub fn check(&self, settings: &Settings) -> Result<(), Error> {
        let refused = self.topic.load(Ordering::Relaxed);
        match settings.topics.aggregations.get(refused) {
            Some(topic) if refused < self.topics => Err(Error::Clock { topic: topic.clone() }),
            _ => Ok(()),
        }
    }
}

impl ClientContext for Refused {}

impl ProducerContext for Refused {
    type DeliveryOpaque = usize;

    fn delivery(&self, delivered: &DeliveryResult<'_>, topic: usize) {
        self.note(delivered, topic);
    }
}

/// Asks: a record for each topic of aggregations, in a transaction that is aborted.
pub fn check(settings: &Arc<Settings>, stop: &Arc<AtomicBool>) -> Result<(), Error> {
    let topics = &settings.topics.aggregations;
    let id = format!("{}-windows-clock", settings.cluster);
    let producer: BaseProducer<Refused> =
        transaction::config(&settings.kafka, &id)?.create_with_context(Refused::none_of(topics.len()))?;
    let attempt = Attempt::new(stop);
    attempt.fence(&producer)?;
    producer.begin_transaction()?;
    for (size, topic) in topics.iter().enumerate() {
        let record = BaseRecord::with_opaque_to(topic, size).partition(0);
        attempt.send(&producer, record.key(&[][..]).payload(&[][..]))?;
    }
    let aborted = attempt.abort(&producer);
    producer.context().check(settings)?;
    Ok(aborted?)
}
