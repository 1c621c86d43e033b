//! What the operator counts of itself, in the text format of Prometheus.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// The counters.
#[derive(Debug, Default)]
pub struct Metrics {
    reconciles: AtomicU64,
    errors: AtomicU64,
    micros: AtomicU64,
    status_writes: AtomicU64,
    ready: AtomicBool,
}

/// A reconcile that runs.
pub struct Timer<'a> {
    metrics: &'a Metrics,
    began: Instant,
}

impl Timer<'_> {
    /// It is over.
    pub fn done(self, good: bool) {
        self.metrics.reconciles.fetch_add(1, Relaxed);
        self.metrics.errors.fetch_add(u64::from(!good), Relaxed);
        let micros = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.metrics.micros.fetch_add(micros, Relaxed);
    }
}

impl Metrics {
    /// A reconcile begins.
    pub fn reconcile(&self) -> Timer<'_> {
        Timer {
            metrics: self,
            began: Instant::now(),
        }
    }

    /// A status was written.
    pub fn status_written(&self) {
        self.status_writes.fetch_add(1, Relaxed);
    }

    /// The SyncClusters are known.
    pub fn set_ready(&self) {
        self.ready.store(true, Relaxed);
    }

    /// Whether they are.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Relaxed)
    }

    /// All of it as text. Resident memory is left out where /proc is not readable.
    pub fn render(&self) -> String {
        let mut text = String::new();
        let mut metric = |name: &str, kind: &str, help: &str, value: f64| {
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
        };
        let count = |counter: &AtomicU64| precise(counter.load(Relaxed));
        metric(
            "synccluster_reconciles_total",
            "counter",
            "Looks at a SyncCluster.",
            count(&self.reconciles),
        );
        metric(
            "synccluster_reconcile_errors_total",
            "counter",
            "Looks that failed and were tried again.",
            count(&self.errors),
        );
        metric(
            "synccluster_reconcile_seconds_total",
            "counter",
            "Time spent looking.",
            count(&self.micros) / 1e6,
        );
        metric(
            "synccluster_status_writes_total",
            "counter",
            "Statuses written.",
            count(&self.status_writes),
        );
        if let Some(bytes) = resident_bytes() {
            metric(
                "process_resident_memory_bytes",
                "gauge",
                "Resident memory.",
                precise(bytes),
            );
        }
        text
    }
}

/// Counters stay far below 2^53.
#[allow(clippy::cast_precision_loss)]
fn precise(count: u64) -> f64 {
    count as f64
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}
