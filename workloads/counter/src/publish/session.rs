//! Publishing, session after session.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
        mpsc,
    },
    time::Duration,
};

use rdkafka::error::KafkaError;
use synccluster_runtime::link::Probe;
use tokio::{sync::oneshot, time};

use super::{
    Nodes, Sessions, topics,
    transaction::{self, SILENCE},
    writer::Writer,
};
use crate::{
    crdt::Position,
    log::{Follower, Missing, OwnLog},
    windows::Settings,
};

/// Entries of one transaction.
const BATCH: usize = 5000;
/// Between transactions that were not full: few likes a second need not be a transaction each.
const PAUSE: Duration = Duration::from_millis(20);
/// Kafka forgets the offset of a group that nobody is in when it was not stored for a week (`offsets.retention.minutes`).
const STORE_AGAIN_AFTER: Duration = Duration::from_hours(6);

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The topics could not be made.
    #[error(transparent)]
    Topics(#[from] topics::Error),
    /// Kafka refused or was not in reach.
    #[error("cannot publish: Kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// A transaction was not committed.
    #[error("cannot publish: {0}")]
    Transaction(#[from] transaction::Error),
    /// librdkafka has no group.
    #[error("Kafka's client tells no consumer group")]
    Group,
    /// The log could not be read.
    #[error("cannot publish: {0}")]
    Log(#[from] Missing),
    /// The log goes on elsewhere than where publishing ended.
    #[error("the log goes on at position {1}, and position {0} is the last that is published")]
    Gap(Position, Position),
    /// No thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// The thread does not come back from Kafka's client.
    #[error("Kafka's client has not answered for {SILENCE:?}: another one takes its place")]
    Silent,
    /// The thread is gone.
    #[error("the publishing thread ended without a reason")]
    Gone,
}

/// Publishes a node's own log.
pub struct Publisher<Log> {
    settings: Arc<Settings>,
    log: Log,
    probe: Probe,
    nodes: Box<dyn Fn() -> Nodes + Send + Sync>,
    /// Sessions in a row that have not seen the end of what they wrote.
    hidden: AtomicU32,
    error: Reason,
}

impl Error {
    fn is_hidden(&self) -> bool {
        matches!(self, Self::Transaction(error) if error.is_hidden())
    }
}

/// Why it does not go on, if it does not.
#[derive(Clone, Default)]
pub struct Reason(Arc<Mutex<Option<String>>>);

impl Reason {
    /// What it is now.
    pub fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, reason: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }
}

impl<Log> Publisher<Log> {
    /// To where, what, how Kafka is reached, and who else publishes there.
    pub fn new(
        settings: Arc<Settings>,
        log: Log,
        probe: Probe,
        nodes: impl Fn() -> Nodes + Send + Sync + 'static,
    ) -> Self {
        Self {
            settings,
            log,
            probe,
            nodes: Box::new(nodes),
            hidden: AtomicU32::new(0),
            error: Reason::default(),
        }
    }

    /// To look at while it runs.
    pub fn error(&self) -> Reason {
        self.error.clone()
    }
}

/// Tells the thread, which waits for Kafka and not for a session, that it is over.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<Log: OwnLog> Sessions for Publisher<Log> {
    type Error = Error;

    fn probe(&self) -> &Probe {
        &self.probe
    }

    async fn session(&self) -> Result<(), Error> {
        let ended = self.publish().await;
        if ended.as_ref().is_err_and(Error::is_hidden) {
            self.hidden.fetch_add(1, Ordering::Relaxed);
        }
        ended
    }

    fn told(&self, error: Option<String>) {
        self.error.set(error);
    }
}

impl<Log: OwnLog> Publisher<Log> {
    async fn publish(&self) -> Result<(), Error> {
        topics::ensure(&self.settings).await?;
        let stop = StopOnDrop(Arc::default());
        let (settings, origin, flag) = (Arc::clone(&self.settings), self.log.origin(), Arc::clone(&stop.0));
        let (orders, received) = mpsc::channel();
        let (opened, open) = oneshot::channel();
        let others = (self.nodes)().to_end(self.hidden.load(Ordering::Relaxed));
        let work = move || match Writer::open(&settings, origin, &flag, &others) {
            Ok(writer) => {
                // Dropped where the session is over; then there are no orders either.
                drop(opened.send(Ok(writer.published())));
                writer.run(&received);
            }
            Err(error) => drop(opened.send(Err(error))),
        };
        std::thread::Builder::new().name("publish".to_owned()).spawn(work)?;
        let mut position = open.await.map_err(|_| Error::Gone)??;
        tracing::info!(%position, "publishing the log after this position");
        self.hidden.store(0, Ordering::Relaxed);
        self.log.published(position);
        self.told(None);
        let mut follower = self.log.follow(position.next());
        loop {
            let entries = match time::timeout(STORE_AGAIN_AFTER, follower.next(BATCH)).await {
                Ok(entries) => entries?,
                Err(_) => Arc::default(),
            };
            let is_full = entries.len() >= BATCH;
            position = entries.last().map_or(position, |last| last.position);
            let (done, result) = oneshot::channel();
            orders.send((entries, done)).map_err(|_| Error::Gone)?;
            let result = time::timeout(SILENCE, result).await.map_err(|_| Error::Silent)?;
            result.map_err(|_| Error::Gone)??;
            self.log.published(position);
            self.probe.moved();
            if !is_full {
                time::sleep(PAUSE).await;
            }
        }
    }
}
