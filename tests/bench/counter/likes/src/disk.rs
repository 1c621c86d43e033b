//! How long the disk itself takes meanwhile: what a node can promise ends there, since it acknowledges what is on disk.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};

/// From one write to the next.
const PERIOD: Duration = Duration::from_millis(10);
/// What a batch of some likes is.
const BYTES: [u8; 4096] = [b'.'; 4096];

/// Somebody who appends to a file of his own beside the nodes' logs, and has every write put on disk.
pub struct Disk {
    over: Arc<AtomicBool>,
    writer: JoinHandle<Result<Vec<Duration>>>,
}

impl Disk {
    /// Begins.
    pub fn watch() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("synccluster-bench-disk-{}", process::id()));
        let file = OpenOptions::new()
            .create_new(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("creating {}", path.display()))?;
        // It needs no name, and is gone however this ends.
        fs::remove_file(&path)?;
        let over = Arc::new(AtomicBool::new(false));
        let writer = {
            let over = Arc::clone(&over);
            thread::spawn(move || writes(file, &over))
        };
        Ok(Self { over, writer })
    }

    /// Ends, with how long after its time each write was on disk: what waits behind a slow one counts as it does for a node's clients.
    pub fn end(self) -> Result<Vec<Duration>> {
        self.over.store(true, Ordering::Relaxed);
        self.writer.join().map_err(|_| anyhow!("the disk's writer panicked"))?
    }
}

fn writes(mut file: File, over: &AtomicBool) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    let mut due = Instant::now();
    while !over.load(Ordering::Relaxed) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        file.write_all(&BYTES)?;
        file.sync_data()?;
        latencies.push(due.elapsed());
        due += PERIOD;
    }
    Ok(latencies)
}
