//! What the seeder tells of itself.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde::Serialize;
use synccluster_runtime::health::{Health, Metric};

use crate::{api::App, run::Phase};

/// The document at `/status`.
#[derive(Debug, Serialize)]
pub struct Status {
    sites: Vec<String>,
    running: Option<String>,
}

/// The state of the process.
pub struct Seeder {
    app: Arc<App>,
    bound: AtomicBool,
}

impl Seeder {
    /// The web port is not bound yet.
    pub fn new(app: Arc<App>) -> Self {
        Self {
            app,
            bound: AtomicBool::new(false),
        }
    }

    /// The web port is bound.
    pub fn bound(&self) {
        self.bound.store(true, Ordering::Relaxed);
    }
}

impl Health for Seeder {
    type Status = Status;

    fn live(&self) -> Result<(), String> {
        // It has no main loop that could stand still: whether this is answered is the answer.
        Ok(())
    }

    fn ready(&self) -> Result<(), String> {
        if !self.bound.load(Ordering::Relaxed) {
            return Err("the web port is not bound yet".to_owned());
        }
        match self.app.runs.sites.names().first() {
            Some(_) => Ok(()),
            None => Err("no site is known: SYNC_SITES_DIR is empty".to_owned()),
        }
    }

    fn status(&self) -> Status {
        let going = self.app.runs.going_on().into_iter();
        Status {
            sites: self.app.runs.sites.names().iter().map(ToString::to_string).collect(),
            running: going.filter(|run| run.phase.goes_on()).map(|run| run.id).next(),
        }
    }

    fn metrics(&self) -> String {
        let runs = self.app.runs.going_on();
        let sum = |of: fn(&crate::run::Progress) -> u64| runs.iter().map(of).sum();
        let running = runs.iter().filter(|run| run.phase == Phase::Running).count() as u64;
        let metrics = [
            Metric::gauge("synccluster_seeder_running", "runs that go on", running),
            Metric::counter(
                "synccluster_seeder_acknowledged_total",
                "writes that were acknowledged",
                sum(|run| run.acknowledged),
            ),
            Metric::counter(
                "synccluster_seeder_missed_total",
                "writes that found no row",
                sum(|run| run.missed),
            ),
            Metric::counter(
                "synccluster_seeder_refused_total",
                "writes that Postgres refused",
                sum(|run| run.refused),
            ),
            Metric::counter(
                "synccluster_seeder_unknown_total",
                "writes that were sent without an answer",
                sum(|run| run.unknown),
            ),
        ];
        metrics.iter().map(|metric| metric.text("")).collect()
    }
}
