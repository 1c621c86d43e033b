//! Hands records to Kafka, and finds out which it does not take because they are too large.
//!
//! How large a record may be is known only by trying: what counts for a broker is the compressed batch. A batch that is too large comes
//! back as a whole, and what was handed over behind it goes on; so a record that may be too large travels alone, with nothing else on the way.
//! Then its refusal concerns it alone, and no order is lost.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use rdkafka::{
    ClientContext,
    error::{KafkaError, RDKafkaErrorCode},
    message::Header,
    producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer},
};
use synccluster_protocol::event::{INSTALLATION_HEADER, Installation, TRANSACTION_END_HEADER};
use synccluster_runtime::kafka::Kafka;
use tokio::{sync::Notify, time};

use crate::{envelope::Record, progress::Progress, session::Error};

/// Bytes of the largest record that is sent, before compression. The brokers of a SyncCluster take it; for others it is a limit beside their own.
pub const LARGEST: usize = 10_000_000;
/// Bytes of records that may be in the producer: at least one of the largest.
const QUEUE_KBYTES: usize = LARGEST / 1024 + 256;
/// Records from this size on travel alone at first: half of what brokers take unless somebody says otherwise.
const ALONE_FROM: usize = 512 << 10;
/// How long a full producer is waited for before it is tried again.
const BACKPRESSURE: Duration = Duration::from_millis(5);
/// How long news of Kafka is waited for before anything else is looked at.
const NEWS: Duration = Duration::from_secs(1);

/// From which size on records travel alone; learned from what came back, for as long as the process lives.
#[derive(Clone, Debug)]
pub struct Alone(Arc<AtomicUsize>);

impl Default for Alone {
    fn default() -> Self {
        Self(Arc::new(AtomicUsize::new(ALONE_FROM)))
    }
}

impl Alone {
    fn is(&self, record: &Record) -> bool {
        record.size() >= self.0.load(Relaxed)
    }

    fn came_back(&self, size: usize) {
        self.0.fetch_min(size, Relaxed);
    }
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is on its way, or there.
    Sent,
    /// It is larger than what a connector sends.
    LargerThanSent,
    /// It is larger than what the brokers take.
    LargerThanTaken,
}

/// Acknowledgements, as the producer's thread brings them.
#[derive(Default)]
pub struct Acknowledged {
    progress: Mutex<Progress>,
    failure: Mutex<Option<KafkaError>>,
    /// What became of the record that travels alone.
    alone: Mutex<Option<Outcome>>,
    alone_from: Alone,
    records: AtomicU64,
    /// Something was acknowledged, or came back.
    pub changed: Notify,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Acknowledged {
    /// What Kafka has.
    pub fn progress(&self) -> MutexGuard<'_, Progress> {
        locked(&self.progress)
    }

    /// Records Kafka has acknowledged.
    pub fn records(&self) -> u64 {
        self.records.load(Relaxed)
    }

    /// `Err` once a record came back.
    pub fn check(&self) -> Result<(), Error> {
        locked(&self.failure)
            .take()
            .map_or(Ok(()), |error| Err(Error::NotTaken(error)))
    }

    async fn news(&self) -> Result<(), Error> {
        self.check()?;
        let _ = time::timeout(NEWS, self.changed.notified()).await;
        Ok(())
    }
}

/// What a record is a part of.
struct Token {
    transaction: u64,
    alone: bool,
}

#[derive(Clone)]
struct Context(Arc<Acknowledged>);

impl ClientContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<Token>;

    fn delivery(&self, result: &DeliveryResult<'_>, token: Self::DeliveryOpaque) {
        let Self(acknowledged) = self;
        match result {
            Ok(_) => {
                acknowledged.records.fetch_add(1, Relaxed);
                acknowledged.progress().acknowledged(token.transaction);
                if token.alone {
                    *locked(&acknowledged.alone) = Some(Outcome::Sent);
                }
            }
            Err((error, _)) if token.alone && is_too_large(error) => {
                acknowledged.progress().acknowledged(token.transaction);
                *locked(&acknowledged.alone) = Some(Outcome::LargerThanTaken);
            }
            Err((error, message)) => {
                if is_too_large(error) {
                    let size = message.key_len() + message.payload_len();
                    acknowledged.alone_from.came_back(size);
                }
                locked(&acknowledged.failure).get_or_insert(error.clone());
            }
        }
        acknowledged.changed.notify_one();
    }
}

/// Larger than what the topic takes, or than one of its segments.
fn is_too_large(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{InvalidMessageSize, MessageBatchTooLarge, MessageSizeTooLarge};
    matches!(
        error.rdkafka_error_code(),
        Some(MessageSizeTooLarge | MessageBatchTooLarge | InvalidMessageSize)
    )
}

/// The way into a site's topic.
pub struct Producer {
    inner: ThreadedProducer<Context>,
    acknowledged: Arc<Acknowledged>,
    topic: String,
    /// What every record says of where it is from.
    installation: Option<String>,
}

impl Producer {
    /// Into this topic, out of this database.
    pub fn new(
        kafka: &Kafka,
        client_id: &str,
        topic: &str,
        installation: Installation,
        alone_from: &Alone,
    ) -> Result<Self, KafkaError> {
        let mut config = kafka.producer_config(client_id)?;
        // Kafka being down is waited out: giving a record up would only mean to read it again.
        config
            .set("message.timeout.ms", "0")
            .set("message.max.bytes", LARGEST.to_string())
            .set("queue.buffering.max.kbytes", QUEUE_KBYTES.to_string());
        let acknowledged = Arc::new(Acknowledged {
            alone_from: alone_from.clone(),
            ..Acknowledged::default()
        });
        Ok(Self {
            inner: config.create_with_context(Context(Arc::clone(&acknowledged)))?,
            acknowledged,
            topic: topic.to_owned(),
            installation: (installation != Installation::default()).then(|| installation.to_string()),
        })
    }

    /// What Kafka has of it.
    pub fn acknowledged(&self) -> &Arc<Acknowledged> {
        &self.acknowledged
    }

    /// Hands a record over. Waits while the producer is full, and until Kafka has answered where the record may be too large; calls
    /// `alive` all the while. `alone`: waits for the answer whatever its size, so that [`Outcome::Sent`] means that Kafka has it.
    pub async fn send(
        &self,
        record: &Record,
        transaction: u64,
        end_of: Option<u64>,
        alone: bool,
        alive: impl Fn(),
    ) -> Result<Outcome, Error> {
        let alone = alone || self.acknowledged.alone_from.is(record);
        if alone {
            while self.acknowledged.progress().waits() {
                self.acknowledged.news().await?;
                alive();
            }
        }
        if !self
            .hand_over(record, Token { transaction, alone }, end_of, &alive)
            .await?
        {
            return Ok(Outcome::LargerThanSent);
        }
        if !alone {
            return Ok(Outcome::Sent);
        }
        loop {
            if let Some(outcome) = locked(&self.acknowledged.alone).take() {
                // For whoever tells what was acknowledged: the news of it were heard here.
                self.acknowledged.changed.notify_one();
                return Ok(outcome);
            }
            self.acknowledged.news().await?;
            alive();
        }
    }

    /// Whether it was not too large.
    async fn hand_over(
        &self,
        record: &Record,
        token: Token,
        end_of: Option<u64>,
        alive: impl Fn(),
    ) -> Result<bool, Error> {
        let end_of = end_of.map(|events| events.to_string());
        let headers = [
            (INSTALLATION_HEADER, &self.installation),
            (TRANSACTION_END_HEADER, &end_of),
        ];
        let transaction = token.transaction;
        self.acknowledged.progress().sent(transaction);
        let mut token = Box::new(token);
        loop {
            let mut message = BaseRecord::with_opaque_to(&self.topic, token)
                .key(&record.key)
                .partition(0);
            if let Some(value) = &record.value {
                message = message.payload(value);
            }
            for (key, value) in headers {
                if let Some(value) = value {
                    let said = message.headers.take().unwrap_or_default();
                    let value = Some(value);
                    message = message.headers(said.insert(Header { key, value }));
                }
            }
            match self.inner.send(message) {
                Ok(()) => return Ok(true),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), given_back)) => {
                    self.acknowledged.check()?;
                    alive();
                    token = given_back.delivery_opaque;
                    time::sleep(BACKPRESSURE).await;
                }
                Err((error, _)) if is_too_large(&error) => {
                    self.acknowledged.progress().acknowledged(transaction);
                    return Ok(false);
                }
                Err((error, _)) => return Err(Error::NotTaken(error)),
            }
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        // What is still queued will be read again from the slot: no need to wait for it.
        self.inner.purge(PurgeConfig::default().queue().inflight());
    }
}
