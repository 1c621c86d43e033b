//! The sign of life of a partition's thread.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::publish::transaction::SILENCE;

/// When a thread last came back from Kafka's client, whose calls have been seen to stay away for ever when a broker was killed.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<Mutex<Instant>>);

impl Pulse {
    /// Of a thread that begins now.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    /// It lives, or has been asked something.
    pub fn beat(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Whether it has been away for longer than any call may take. Of interest only while it owes an answer.
    pub fn is_silent(&self, now: Instant) -> bool {
        self.since(now) > SILENCE
    }

    fn since(&self, now: Instant) -> Duration {
        now.saturating_duration_since(*self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
