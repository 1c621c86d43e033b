//! A run while it goes on: what it is told, and what it tells.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use synccluster_protocol::Site;
use tokio::sync::watch;

use crate::journal::Order;

/// What a run is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Go on.
    Go,
    /// Wait.
    Pause,
    /// End.
    Stop,
}

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// It writes.
    Running,
    /// It waits to be resumed.
    Paused,
    /// All was done.
    Done,
    /// Somebody stopped it.
    Stopped,
    /// Something failed; a load can be resumed.
    Failed,
    /// The process ended while it ran; a load can be resumed.
    Interrupted,
}

impl Phase {
    /// Whether it has not ended.
    pub fn goes_on(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

/// What a run tells.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Its name.
    pub id: String,
    /// What it is doing.
    pub phase: Phase,
    /// What was asked for.
    pub order: Order,
    /// When it began, in milliseconds since the epoch.
    pub begun_at: i64,
    /// How many rows or writes there will be, if that is known.
    pub planned: Option<u64>,
    /// How many were acknowledged and did something.
    pub acknowledged: u64,
    /// How many were acknowledged and found no row.
    pub missed: u64,
    /// How many were refused, and are not there.
    pub refused: u64,
    /// How many were sent without an answer: they may be there or not.
    pub unknown: u64,
    /// Acknowledged, by site.
    pub sites: BTreeMap<String, u64>,
    /// Acknowledged, by table.
    pub tables: BTreeMap<String, u64>,
    /// Why writes were refused, and how often.
    pub refusals: BTreeMap<String, u64>,
    /// Seconds it has run; pauses do not count.
    pub seconds: f64,
    /// Acknowledged a second, over all that time.
    pub rate: f64,
    /// Why it failed.
    pub error: Option<String>,
}

impl Progress {
    /// At the beginning.
    pub fn new(id: String, order: Order, begun_at: i64, planned: Option<u64>) -> Self {
        Self {
            id,
            phase: Phase::Running,
            order,
            begun_at,
            planned,
            acknowledged: 0,
            missed: 0,
            refused: 0,
            unknown: 0,
            sites: BTreeMap::new(),
            tables: BTreeMap::new(),
            refusals: BTreeMap::new(),
            seconds: 0.0,
            rate: 0.0,
            error: None,
        }
    }

    /// So many writes of a table were acknowledged at a site.
    pub fn acknowledge(&mut self, site: Site, table: &str, count: u64) {
        self.acknowledged += count;
        *self.sites.entry(site.to_string()).or_default() += count;
        *self.tables.entry(table.to_owned()).or_default() += count;
    }

    /// It has run for so long.
    pub fn took(&mut self, time: Duration) {
        self.seconds = time.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
        let acknowledged = self.acknowledged as f64;
        self.rate = if self.seconds > 0.0 {
            acknowledged / self.seconds
        } else {
            0.0
        };
    }

    /// One was refused.
    pub fn refuse(&mut self, why: String) {
        self.refused += 1;
        // Messages with values in them could be many.
        if self.refusals.len() < 20 || self.refusals.contains_key(&why) {
            *self.refusals.entry(why).or_default() += 1;
        }
    }
}

/// A run that goes on.
pub struct Run {
    control: watch::Sender<Control>,
    progress: Mutex<Progress>,
    clock: Mutex<Clock>,
    /// How long its journal was when it ended.
    length: Mutex<Option<u64>>,
}

/// How long it has run without its pauses.
struct Clock {
    before: Duration,
    since: Option<Instant>,
    stopped: bool,
}

impl Clock {
    fn now(&self) -> Duration {
        self.before + self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Run {
    /// It begins now.
    pub fn new(progress: Progress) -> Self {
        Self {
            control: watch::Sender::new(Control::Go),
            progress: Mutex::new(progress),
            clock: Mutex::new(Clock {
                before: Duration::ZERO,
                since: Some(Instant::now()),
                stopped: false,
            }),
            length: Mutex::default(),
        }
    }

    /// Its progress, to change.
    pub fn edit(&self) -> MutexGuard<'_, Progress> {
        lock(&self.progress)
    }

    /// Its progress, now.
    pub fn progress(&self) -> Progress {
        let mut progress = self.edit().clone();
        progress.took(self.elapsed());
        progress
    }

    /// How long it has run; pauses do not count.
    pub fn elapsed(&self) -> Duration {
        lock(&self.clock).now()
    }

    /// Tells it something. What has ended stays ended.
    pub fn tell(&self, control: Control) {
        let mut clock = lock(&self.clock);
        let changed = self.control.send_if_modified(|now| {
            let other = *now != Control::Stop && *now != control;
            if other {
                *now = control;
            }
            other
        });
        if !changed {
            return;
        }
        clock.before = clock.now();
        clock.since = (control != Control::Pause && !clock.stopped).then(Instant::now);
        let mut progress = self.edit();
        match (control, progress.phase) {
            (Control::Pause, Phase::Running) => progress.phase = Phase::Paused,
            (Control::Go | Control::Stop, Phase::Paused) => progress.phase = Phase::Running,
            _ => {}
        }
    }

    /// It does nothing more: what comes now is its journal's, and no time of it. Returns how long it has run.
    pub fn stop_clock(&self) -> Duration {
        let mut clock = lock(&self.clock);
        clock.before = clock.now();
        clock.since = None;
        clock.stopped = true;
        clock.before
    }

    /// It has ended, with a journal of this length.
    pub fn ended(&self, phase: Phase, error: Option<String>, length: Option<u64>) {
        *lock(&self.length) = length;
        let mut progress = self.edit();
        progress.phase = phase;
        progress.error = error;
    }

    /// Whether it has not ended.
    pub fn goes_on(&self) -> bool {
        self.edit().phase.goes_on()
    }

    /// Whether its journal, which is of this length now, says nothing since it ended here.
    pub fn said_all(&self, length: Option<u64>) -> bool {
        *lock(&self.length) == length
    }

    /// Whether it is to end.
    pub fn stopped(&self) -> bool {
        *self.control.borrow() == Control::Stop
    }

    /// Waits while it is paused; false when it is to end.
    pub async fn may_go_on(&self) -> bool {
        let mut control = self.control.subscribe();
        // Fails only when nobody could tell anything any more.
        match control.wait_for(|now| *now != Control::Pause).await {
            Ok(now) => *now == Control::Go,
            Err(_) => false,
        }
    }

    /// Returns when it is to end.
    pub async fn stop(&self) {
        let mut control = self.control.subscribe();
        let _ = control.wait_for(|now| *now == Control::Stop).await;
    }
}
