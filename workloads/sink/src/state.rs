//! What the sink tells of itself.

use std::sync::{Mutex, MutexGuard, PoisonError};

use synccluster_protocol::{
    ClusterName, Site,
    status::{SinkPhase, SinkStatus},
};
use synccluster_runtime::{
    health::{Health, Pulse, metric},
    link::Probe,
};

/// Shared between the session and the health endpoints.
pub struct State {
    status: Mutex<SinkStatus>,
    pulse: Pulse,
    probe: Probe,
}

impl State {
    /// At the start.
    pub fn new(cluster: ClusterName, site: Site, probe: Probe) -> Self {
        let status = SinkStatus {
            cluster,
            site,
            phase: SinkPhase::Starting,
            link: probe.status(),
            sources: Vec::new(),
            lag_seconds: 0,
            digest: None,
            conflicts: 0,
            parked: 0,
            parked_reason: None,
            transactions_applied: 0,
            error: None,
            measured_at: None,
        };
        Self {
            status: Mutex::new(status),
            pulse: Pulse::default(),
            probe,
        }
    }

    /// The way to Kafka.
    pub fn probe(&self) -> &Probe {
        &self.probe
    }

    /// The document, to change.
    pub fn edit(&self) -> MutexGuard<'_, SinkStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The main loop is going round.
    pub fn alive(&self) {
        self.pulse.beat();
    }

    /// Changes what it is doing; says so once.
    pub fn phase(&self, phase: SinkPhase) {
        self.alive();
        let mut status = self.edit();
        if status.phase != phase {
            tracing::info!(?phase, "sink");
            status.phase = phase;
        }
        if phase == SinkPhase::Applying {
            status.error = None;
        }
    }

    /// Waits for something, and says for what.
    pub fn wait(&self, reason: &str) {
        self.phase(SinkPhase::Starting);
        self.edit().error = Some(reason.to_owned());
    }
}

impl Health for State {
    type Status = SinkStatus;

    fn live(&self) -> Result<(), String> {
        self.pulse.check()
    }

    fn ready(&self) -> Result<(), String> {
        let status = self.edit();
        match status.phase {
            SinkPhase::Applying | SinkPhase::Cut => Ok(()),
            SinkPhase::Starting | SinkPhase::Failing => {
                Err(status.error.clone().unwrap_or_else(|| "starting".to_owned()))
            }
        }
    }

    fn status(&self) -> SinkStatus {
        let mut status = self.edit().clone();
        status.link = self.probe.status();
        status
    }

    fn metrics(&self) -> String {
        let status = self.status();
        let labels = format!("cluster=\"{}\",site=\"{}\"", status.cluster, status.site);
        let mut out = String::new();
        let mut gauge =
            |name: &str, kind: &str, help: &str, value: u64| metric(&mut out, name, kind, help, &labels, value);
        gauge(
            "synccluster_downlink_transactions_applied_total",
            "counter",
            "Source transactions applied.",
            status.transactions_applied,
        );
        let lag = status.sources.iter().map(|source| source.lag_records).sum();
        gauge(
            "synccluster_downlink_lag_records",
            "gauge",
            "Records not yet applied, over all topics.",
            lag,
        );
        gauge(
            "synccluster_downlink_lag_seconds",
            "gauge",
            "Age of the oldest change received and not yet applied.",
            status.lag_seconds,
        );
        gauge(
            "synccluster_downlink_conflicts",
            "gauge",
            "Rows of sync.conflicts.",
            status.conflicts,
        );
        gauge(
            "synccluster_downlink_parked",
            "gauge",
            "Rows of sync.parked.",
            status.parked,
        );
        gauge(
            "synccluster_downlink_connected",
            "gauge",
            "1 while a connection to Kafka is established.",
            u64::from(status.link.established > 0),
        );
        out
    }
}
