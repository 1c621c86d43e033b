//! The way to a peer, measured: a fresh dial every second, and the connections with it that are still held. As `runtime::link` does for
//! Kafka, but each connection is counted where it is held: the kernel's table tells a port's connections only, all peers have the same
//! port, and on a large machine reading it takes tens of milliseconds, which likes would wait for.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use synccluster_protocol::status::{Dial, LinkStatus};
use synccluster_runtime::{clock::now_millis, link};
use tokio::{sync::watch, time};

/// Time between two dials.
const EVERY: Duration = Duration::from_secs(1);
/// One lost packet is not a cut.
const BLOCKED_IN_A_ROW: u32 = 2;

/// The way to one peer. Clones are the same way; probing ends with the last.
#[derive(Clone)]
pub struct Link(Arc<Inner>);

struct Inner {
    address: String,
    status: Mutex<LinkStatus>,
    held: AtomicU32,
    cut: watch::Sender<bool>,
}

impl Link {
    /// Starts probing `host:port`.
    pub fn start(address: &str) -> Self {
        let link = Self(Arc::new(Inner {
            address: address.to_owned(),
            status: Mutex::new(LinkStatus {
                peer: address.to_owned(),
                ..LinkStatus::default()
            }),
            held: AtomicU32::new(0),
            cut: watch::Sender::new(false),
        }));
        let probed = Arc::downgrade(&link.0);
        tokio::spawn(async move {
            let (mut tick, mut blocked) = (time::interval(EVERY), 0);
            tick.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                let Some(address) = probed.upgrade().map(|inner| inner.address.clone()) else {
                    return;
                };
                let dial = link::dial(&address).await;
                let Some(inner) = probed.upgrade() else { return };
                blocked = if dial == Dial::Blocked { blocked + 1 } else { 0 };
                inner.observe(dial, blocked >= BLOCKED_IN_A_ROW);
            }
        });
        link
    }

    /// What was measured last.
    pub fn status(&self) -> LinkStatus {
        self.0.status().clone()
    }

    /// Something was acknowledged just now.
    pub fn moved(&self) {
        self.0.status().last_moved_at = Some(now_millis());
    }

    /// Returns when nothing gets through any more.
    pub async fn cut(&self) {
        self.is_cut(true).await;
    }

    /// Returns when it is worth dialling.
    pub async fn usable(&self) {
        self.is_cut(false).await;
    }

    /// A connection with the peer, whoever has dialled, is held until this is dropped; it is dropped after the connection.
    pub fn held(&self) -> Held {
        self.0.held.fetch_add(1, Ordering::SeqCst);
        Held(self.clone())
    }

    async fn is_cut(&self, wanted: bool) {
        let mut cut = self.0.cut.subscribe();
        // The sender lives as long as this.
        let _ = cut.wait_for(|cut| *cut == wanted).await;
    }
}

impl Inner {
    fn status(&self) -> MutexGuard<'_, LinkStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn observe(&self, dial: Dial, cut: bool) {
        let (now, mut status) = (now_millis(), self.status());
        if status.fresh_dial != dial {
            status.fresh_dial = dial;
            status.fresh_dial_since = Some(now);
        }
        status.probed_at = Some(now);
        status.established = self.held.load(Ordering::SeqCst);
        status.closed_since = (status.established == 0).then(|| status.closed_since.unwrap_or(now));
        drop(status);
        if self.cut.send_replace(cut) != cut {
            tracing::info!(peer = self.address, ?dial, cut, "link to a peer");
        }
    }
}

/// Counts as one connection while it lives.
pub struct Held(Link);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.0.held.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the next look says.
    async fn looked(link: &Link) -> LinkStatus {
        let before = link.status().probed_at;
        let look = async {
            while link.status().probed_at == before {
                time::sleep(Duration::from_millis(20)).await;
            }
        };
        time::timeout(Duration::from_mins(1), look)
            .await
            .expect("it does not look");
        link.status()
    }

    #[tokio::test]
    async fn a_peer_that_is_down_is_not_cut_off() {
        let link = Link::start("127.0.0.1:1");
        for _ in 0..=BLOCKED_IN_A_ROW {
            assert_eq!(looked(&link).await.fresh_dial, Dial::Refused);
        }
        assert!(!*link.0.cut.borrow());
        let held = link.held();
        let status = looked(&link).await;
        assert_eq!((status.established, status.closed_since), (1, None));
        drop(held);
        let status = looked(&link).await;
        assert_eq!(status.established, 0);
        assert!(status.closed_since.is_some());
    }
}
