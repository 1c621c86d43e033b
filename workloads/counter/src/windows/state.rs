//! What the windows tell of themselves.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;
use synccluster_protocol::ClusterName;
use synccluster_runtime::{
    health::{Health, Metric, Pulse},
    link::Probe,
};

use super::engine::Tally;

/// One partition at its last commit.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PartitionStatus {
    /// The offset of the first like that was not counted.
    pub next: i64,
    /// The latest event time seen, or where the wall clock has taken it since, in milliseconds.
    pub stream_time: Option<i64>,
    /// Counts in memory, one for each id and window.
    pub counts: usize,
    /// Ids in memory.
    pub ids: usize,
}

/// What a worker does and did since it was started.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Status {
    /// The partitions it counts.
    pub partitions: BTreeMap<i32, PartitionStatus>,
    /// Likes it counted.
    pub events: u64,
    /// Of these, too late for at least one of their windows.
    pub late: u64,
    /// Of these, from a clock too far ahead.
    pub ahead: u64,
    /// Records that are no likes.
    pub unreadable: u64,
    /// Transactions committed.
    pub commits: u64,
    /// Why it does not count, or not all.
    pub error: Option<String>,
}

/// Written by the worker, read by whoever asks.
pub struct State {
    probe: Probe,
    labels: String,
    pulse: Pulse,
    status: Mutex<Status>,
}

impl State {
    /// Of a worker that reaches Kafka as this probe measures.
    pub fn new(cluster: &ClusterName, probe: Probe) -> Self {
        Self {
            probe,
            labels: format!("cluster=\"{cluster}\""),
            pulse: Pulse::default(),
            status: Mutex::default(),
        }
    }

    /// The way to Kafka.
    pub fn probe(&self) -> &Probe {
        &self.probe
    }

    /// What it tells now.
    pub fn status(&self) -> Status {
        self.edit().clone()
    }

    /// The worker, or whoever waits for Kafka in its place, goes round.
    pub fn alive(&self) {
        self.pulse.beat();
    }

    /// To change it.
    pub(super) fn edit(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what came in between two looks at an engine.
    pub(super) fn add(&self, before: Tally, now: Tally) {
        let mut status = self.edit();
        status.events += now.events - before.events;
        status.late += now.late - before.late;
        status.ahead += now.ahead - before.ahead;
    }
}

impl Status {
    /// As numbers.
    pub fn metrics(&self) -> [Metric; 6] {
        [
            Metric::gauge(
                "synccluster_counter_windows_partitions",
                "Partitions of the likes that are counted here.",
                self.partitions.len() as u64,
            ),
            Metric::counter(
                "synccluster_counter_windows_likes_total",
                "Records that were counted.",
                self.events,
            ),
            Metric::counter(
                "synccluster_counter_windows_late_total",
                "Records too late for at least one of their windows.",
                self.late,
            ),
            Metric::counter(
                "synccluster_counter_windows_ahead_total",
                "Records from a clock too far ahead.",
                self.ahead,
            ),
            Metric::counter(
                "synccluster_counter_windows_unreadable_total",
                "Records that are no likes.",
                self.unreadable,
            ),
            Metric::counter(
                "synccluster_counter_windows_commits_total",
                "Transactions committed.",
                self.commits,
            ),
        ]
    }
}

impl Health for State {
    type Status = Status;

    fn live(&self) -> Result<(), String> {
        self.pulse.check()
    }

    fn ready(&self) -> Result<(), String> {
        self.edit().error.clone().map_or(Ok(()), Err)
    }

    fn status(&self) -> Status {
        self.status()
    }

    fn metrics(&self) -> String {
        self.status()
            .metrics()
            .iter()
            .map(|metric| metric.text(&self.labels))
            .collect()
    }
}
