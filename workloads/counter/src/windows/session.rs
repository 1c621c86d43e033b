//! Counting, session after session.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use synccluster_runtime::link::Probe;
use tokio::{sync::oneshot, task::spawn_blocking, time};

use super::{clock, partition, settings::Settings, state::State, worker};
use crate::publish::{Sessions, topics};

/// Before a clock that Kafka has refused is tried again.
const CLOCK_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The topics could not be made.
    #[error(transparent)]
    Topics(#[from] topics::Error),
    /// The worker could not go on.
    #[error(transparent)]
    Worker(#[from] worker::Error),
    /// The clock is still wrong.
    #[error("{0}; other workers count meanwhile")]
    Clock(partition::Error),
    /// No thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// The worker's thread is gone.
    #[error("the worker ended without a reason")]
    Gone,
}

/// Counts the partitions that the consumer group gives it.
pub struct Windows {
    settings: Arc<Settings>,
    state: Arc<State>,
    /// Kafka has refused this clock: it is asked before partitions are taken again.
    is_clock_refused: AtomicBool,
}

impl Windows {
    /// From where, to where, and what; and what it tells of itself.
    pub fn new(settings: Arc<Settings>, state: Arc<State>) -> Self {
        Self {
            settings,
            state,
            is_clock_refused: AtomicBool::new(false),
        }
    }
}

/// librdkafka's calls block, so the worker has threads of its own; they end when the session is dropped.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Sessions for Windows {
    type Error = Error;

    fn probe(&self) -> &Probe {
        self.state.probe()
    }

    async fn session(&self) -> Result<(), Error> {
        topics::ensure(&self.settings).await?;
        let stop = StopOnDrop(Arc::default());
        if self.is_clock_refused.load(Ordering::Relaxed) {
            time::sleep(CLOCK_AGAIN_AFTER).await;
            let (settings, flag) = (Arc::clone(&self.settings), Arc::clone(&stop.0));
            let asked = spawn_blocking(move || clock::check(&settings, &flag)).await;
            asked.map_err(|_| Error::Gone)?.map_err(Error::Clock)?;
        }
        let (ended, end) = oneshot::channel();
        let (settings, state, flag) = (Arc::clone(&self.settings), Arc::clone(&self.state), Arc::clone(&stop.0));
        let work = move || drop(ended.send(worker::run(&settings, &state, &flag)));
        std::thread::Builder::new().name("windows".to_owned()).spawn(work)?;
        let ended = end.await.map_err(|_| Error::Gone)?;
        self.state.edit().partitions.clear();
        self.is_clock_refused
            .store(matches!(ended, Err(worker::Error::Clock(..))), Ordering::Relaxed);
        Ok(ended?)
    }

    fn waits(&self) {
        self.state.alive();
    }

    fn told(&self, error: Option<String>) {
        self.state.edit().error = error;
    }
}
