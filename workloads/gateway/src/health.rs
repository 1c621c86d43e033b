//! What the gateway tells of itself.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
};

use serde::Serialize;
use synccluster_runtime::health::Health;

use crate::app::Shared;

/// The document at `/status`.
#[derive(Debug, Serialize)]
pub struct Status {
    cluster: String,
    sites: Vec<String>,
    connections: usize,
    tails: usize,
    events: usize,
    sockets: usize,
}

/// The state of the process.
pub struct Gateway {
    app: Shared,
    bound: AtomicBool,
}

impl Gateway {
    /// The web port is not bound yet.
    pub fn new(app: Shared) -> Self {
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

impl Health for Gateway {
    type Status = Status;

    fn live(&self) -> Result<(), String> {
        // It has no main loop that could stand still: whether this is answered is the answer.
        Ok(())
    }

    fn ready(&self) -> Result<(), String> {
        if self.app.stop.is_cancelled() {
            return Err("the process is asked to stop".to_owned());
        }
        if !self.bound.load(Ordering::Relaxed) {
            return Err("the web port is not bound yet".to_owned());
        }
        match self.app.sites.names().next() {
            Some(_) => Ok(()),
            None => Err("no site is known: SYNC_SITES_DIR is empty".to_owned()),
        }
    }

    fn status(&self) -> Status {
        Status {
            cluster: self.app.cluster.to_string(),
            sites: self.app.sites.names().map(|site| site.to_string()).collect(),
            connections: self.app.connections.taken(),
            tails: self.app.tails.taken(),
            events: self.app.events.taken(),
            sockets: self.app.sockets.taken(),
        }
    }

    fn metrics(&self) -> String {
        let metrics = &self.app.metrics;
        let open = |kind: &str, taken: usize| {
            metrics
                .gauge(
                    "synccluster_gateway_open",
                    "what is open now, by kind",
                    &[("kind", kind)],
                )
                .set(i64::try_from(taken).unwrap_or(i64::MAX));
        };
        open("connections", self.app.connections.taken());
        open("tails", self.app.tails.taken());
        open("events", self.app.events.taken());
        open("sockets", self.app.sockets.taken());
        if let Some(bytes) = resident() {
            metrics
                .gauge("process_resident_memory_bytes", "resident memory", &[])
                .set(bytes);
        }
        metrics.text()
    }
}

/// Resident memory of this process; left out where `/proc` cannot be read.
fn resident() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: i64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read() {
        assert!(resident().is_some_and(|bytes| bytes > 100_000));
    }
}
