//! What the connector tells of itself.

use std::sync::{Mutex, MutexGuard, PoisonError};

use synccluster_protocol::{
    ClusterName, Site,
    status::{ConnectorPhase, ConnectorStatus},
};
use synccluster_runtime::{
    health::{Health, Pulse, metric},
    link::Probe,
};

/// Shared between the session and the health endpoints.
pub struct State {
    status: Mutex<ConnectorStatus>,
    pulse: Pulse,
    probe: Probe,
}

impl State {
    /// At the start.
    pub fn new(cluster: ClusterName, site: Site, probe: Probe) -> Self {
        let status = ConnectorStatus {
            cluster,
            site,
            phase: ConnectorPhase::Starting,
            link: probe.status(),
            slot: None,
            lag_bytes: None,
            lag_seconds: 0,
            records_acknowledged: 0,
            snapshot_rows: 0,
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
    pub fn edit(&self) -> MutexGuard<'_, ConnectorStatus> {
        self.alive();
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The main loop is going round.
    pub fn alive(&self) {
        self.pulse.beat();
    }

    /// Changes what it is doing; says so once.
    pub fn phase(&self, phase: ConnectorPhase) {
        let mut status = self.edit();
        if status.phase != phase {
            tracing::info!(?phase, "connector");
            status.phase = phase;
        }
        if phase == ConnectorPhase::Streaming {
            status.error = None;
        }
    }
}

impl Health for State {
    type Status = ConnectorStatus;

    fn live(&self) -> Result<(), String> {
        self.pulse.check()
    }

    fn ready(&self) -> Result<(), String> {
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        match status.phase {
            ConnectorPhase::Streaming | ConnectorPhase::Cut | ConnectorPhase::Snapshotting => Ok(()),
            ConnectorPhase::Starting => Err("starting".to_owned()),
            ConnectorPhase::Failing => Err(status.error.clone().unwrap_or_else(|| "failing".to_owned())),
        }
    }

    fn status(&self) -> ConnectorStatus {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner).clone();
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
            "synccluster_uplink_records_acknowledged_total",
            "counter",
            "Records Kafka has acknowledged.",
            status.records_acknowledged,
        );
        gauge(
            "synccluster_uplink_lag_bytes",
            "gauge",
            "WAL written and not yet in Kafka.",
            status.lag_bytes.unwrap_or_default(),
        );
        gauge(
            "synccluster_uplink_lag_seconds",
            "gauge",
            "Age of the oldest change read and not yet in Kafka.",
            status.lag_seconds,
        );
        let retained = status.slot.map(|slot| slot.retained_bytes).unwrap_or_default();
        gauge(
            "synccluster_uplink_slot_retained_bytes",
            "gauge",
            "WAL kept for the slot.",
            retained,
        );
        let connected = u64::from(status.link.established > 0);
        gauge(
            "synccluster_uplink_connected",
            "gauge",
            "1 while a connection to Kafka is established.",
            connected,
        );
        out
    }
}
