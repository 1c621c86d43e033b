//! Which transactions the stream has passed, and whether a reader sees them already. Pure.

use std::collections::VecDeque;

/// More than pass while the session of one of them, whose commit is on disk already, waits for a processor.
const KEPT: usize = 4096;

/// The transactions that the stream passed last.
#[derive(Default)]
pub struct Streamed(VecDeque<u32>);

impl Streamed {
    /// One more.
    pub fn push(&mut self, xid: u32) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(xid);
    }

    /// Whether a reader with this snapshot sees all of them.
    pub fn are_seen(&self, snapshot: &Snapshot) -> bool {
        self.0.iter().all(|xid| snapshot.sees(*xid))
    }
}

/// What a reader sees, as `pg_current_snapshot()` has it: transactions below `xmax` that do not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The first that had not ended when the snapshot was taken, nor any behind it.
    pub xmax: u32,
    /// Those before it that had not ended.
    pub running: Vec<u32>,
}

impl Snapshot {
    /// Of its text, `xmin:xmax:xip,xip`. Its numbers have an epoch in their upper half, which the replication protocol leaves out.
    pub fn parse(text: &str) -> Option<Self> {
        let low = |number: &str| u32::try_from(number.parse::<u64>().ok()? & u64::from(u32::MAX)).ok();
        let mut parts = text.split(':').skip(1);
        let (xmax, running) = (low(parts.next()?)?, parts.next()?);
        let running = running.split(',').filter(|each| !each.is_empty());
        Some(Self {
            xmax,
            running: running.map(low).collect::<Option<_>>()?,
        })
    }

    fn sees(&self, xid: u32) -> bool {
        // They go round: half of them are behind, half ahead (Postgres, "Preventing Transaction ID Wraparound Failures").
        let is_behind = xid.wrapping_sub(self.xmax) > u32::MAX / 2;
        is_behind && !self.running.contains(&xid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(xids: &[u32], snapshot: &str) -> bool {
        let mut streamed = Streamed::default();
        for xid in xids {
            streamed.push(*xid);
        }
        streamed.are_seen(&Snapshot::parse(snapshot).unwrap())
    }

    #[test]
    fn a_transaction_is_seen_when_it_has_ended_for_others_too() {
        assert!(seen(&[], "10:10:"));
        assert!(seen(&[8, 9], "10:10:"));
        assert!(seen(&[11], "10:14:10,13"));
        assert!(
            !seen(&[11, 13], "10:14:10,13"),
            "its commit is on disk, and it still runs"
        );
        assert!(!seen(&[10], "10:10:"), "nothing behind it has ended");
    }

    #[test]
    fn numbers_go_round() {
        let epoch = 1_u64 << 32;
        assert!(seen(&[u32::MAX], &format!("{0}:{1}:", epoch, epoch + 4)));
        assert!(!seen(&[u32::MAX], &format!("{0}:{1}:{0}", epoch - 1, epoch + 4)));
        assert!(!seen(&[5], &format!("{0}:{1}:", epoch, epoch + 4)));
    }

    #[test]
    fn the_last_are_kept() {
        let mut streamed = Streamed::default();
        for xid in 0..=u32::try_from(KEPT).unwrap() {
            streamed.push(xid);
        }
        assert_eq!((streamed.0.len(), streamed.0.front()), (KEPT, Some(&1)));
    }

    #[test]
    fn what_is_no_snapshot_is_none() {
        for text in ["", "10", "10:x:", "10:11:y"] {
            assert_eq!(Snapshot::parse(text), None, "{text}");
        }
    }
}
