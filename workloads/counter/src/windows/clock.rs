//! What time it is, and whether Kafka takes it. A broker refuses records whose time is too far ahead of its own clock; a worker of which that is
//! so must not take partitions that others could count.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
};

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use synccluster_runtime::clock::now_millis;

use super::{partition::Error, settings::Settings};
use crate::publish::{
    refused::Refused,
    transaction::{self, Attempt},
};

/// The wall clock of whoever publishes or counts. What is written to Kafka has its time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Clock {
    /// One that shows this, in milliseconds since the Unix epoch.
    pub fn new(now: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// What it shows now.
    pub fn now(&self) -> i64 {
        (self.0)()
    }
}

/// The system's.
impl Default for Clock {
    fn default() -> Self {
        Self::new(now_millis)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}

/// Asks: a record for each topic of aggregations, in a transaction that is aborted.
pub fn check(settings: &Arc<Settings>, stop: &Arc<AtomicBool>) -> Result<(), Error> {
    let id = format!("{}-windows-clock", settings.cluster);
    let producer: BaseProducer<Refused> =
        transaction::config(&settings.kafka, &id)?.create_with_context(Refused::default())?;
    let attempt = Attempt::new(stop);
    attempt.fence(&producer)?;
    producer.begin_transaction()?;
    let now = settings.clock.now();
    for topic in &settings.topics.aggregations {
        let record = BaseRecord::to(topic).partition(0).timestamp(now);
        attempt.send(&producer, record.key(&[][..]).payload(&[][..]))?;
    }
    Ok(attempt.abort(&producer)?)
}
