//! A witness of how long the machine keeps everybody waiting: a time that is promised holds where nobody else takes the machine away.

use std::fs::File;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::place::Folder;

/// Between two of its writes.
const PAUSE: Duration = Duration::from_millis(20);
/// A pause and a write take no longer, where a processor and the disk are to be had.
const DUE: Duration = Duration::from_millis(100);

/// Does over and over what is tested does: sleeps, and writes to the disk if that does. What takes longer than its due is time that was not to be had
/// for anybody.
#[derive(Debug)]
pub struct Witness {
    seen: Arc<Mutex<Seen>>,
    /// Its thread ends with this.
    _stop: mpsc::Sender<()>,
}

#[derive(Debug)]
struct Seen {
    late: Duration,
    began: Instant,
}

impl Witness {
    /// Looks on from now, beside what waits for the disk, such as a counter node's log.
    pub fn of_disk() -> Result<Self> {
        let folder = Folder::new("witness")?;
        let mut file = File::create(folder.join("writes"))?;
        Ok(Self::start(move || {
            let _ = &folder;
            // Only the time it takes matters.
            let _ = file.write_all(&[0]).and_then(|()| file.sync_data());
        }))
    }

    /// Looks on from now, beside what works in memory.
    pub fn of_processor() -> Self {
        Self::start(|| {})
    }

    fn start(mut work: impl FnMut() + Send + 'static) -> Self {
        let seen = Arc::new(Mutex::new(Seen {
            late: Duration::ZERO,
            began: Instant::now(),
        }));
        let (stop, stopped) = mpsc::channel();
        let shared = Arc::clone(&seen);
        thread::spawn(move || {
            while stopped.recv_timeout(PAUSE) == Err(mpsc::RecvTimeoutError::Timeout) {
                work();
                let mut seen = locked(&shared);
                let late = beyond(seen.began.elapsed());
                seen.late += late;
                seen.began = Instant::now();
            }
        });
        Self { seen, _stop: stop }
    }

    /// How long it was kept waiting, all in all.
    pub fn late(&self) -> Duration {
        let seen = locked(&self.seen);
        seen.late + beyond(seen.began.elapsed())
    }
}

fn beyond(took: Duration) -> Duration {
    took.saturating_sub(DUE)
}

fn locked(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_beyond_its_due_is_late_also_before_it_is_over() {
        let ago = |millis| Instant::now().checked_sub(Duration::from_millis(millis)).unwrap();
        let witness = |began| Witness {
            seen: Arc::new(Mutex::new(Seen {
                late: Duration::from_secs(1),
                began,
            })),
            _stop: mpsc::channel().0,
        };
        assert!(witness(ago(0)).late() >= Duration::from_secs(1));
        assert!(witness(ago(600)).late() >= Duration::from_millis(1500));
    }
}
