//! The way to a peer, measured: a fresh dial every second, and the connections to it that are still held. As `runtime::link` does for
//! Kafka, but by address: all peers have the same port.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use synccluster_protocol::status::{Dial, LinkStatus};
use synccluster_runtime::{clock::now_millis, link};
use tokio::{net::lookup_host, sync::watch, time};

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
    inbound: AtomicU32,
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
            inbound: AtomicU32::new(0),
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
                let outbound = outbound(&address).await;
                let Some(inner) = probed.upgrade() else { return };
                blocked = if dial == Dial::Blocked { blocked + 1 } else { 0 };
                inner.observe(dial, outbound, blocked >= BLOCKED_IN_A_ROW);
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

    /// The peer holds a connection to this node until this is dropped.
    pub fn inbound(&self) -> Inbound {
        self.0.inbound.fetch_add(1, Ordering::SeqCst);
        Inbound(self.clone())
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

    fn observe(&self, dial: Dial, outbound: u32, cut: bool) {
        let (now, mut status) = (now_millis(), self.status());
        if status.fresh_dial != dial {
            status.fresh_dial = dial;
            status.fresh_dial_since = Some(now);
        }
        status.probed_at = Some(now);
        status.established = outbound + self.inbound.load(Ordering::SeqCst);
        status.closed_since = (status.established == 0).then(|| status.closed_since.unwrap_or(now));
        drop(status);
        if self.cut.send_replace(cut) != cut {
            tracing::info!(peer = self.address, ?dial, cut, "link to a peer");
        }
    }
}

/// A connection from a peer.
pub struct Inbound(Link);

impl Drop for Inbound {
    fn drop(&mut self) {
        self.0.0.inbound.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Established connections of this network namespace to the address, as the kernel's tables have them.
async fn outbound(address: &str) -> u32 {
    let Ok(addresses) = lookup_host(address).await else {
        return 0;
    };
    let wanted: Vec<_> = addresses.flat_map(columns).collect();
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].iter();
    let tables = tables.filter_map(|path| fs::read_to_string(path).ok());
    tables.map(|table| count(&table, &wanted)).sum()
}

fn count(table: &str, wanted: &[String]) -> u32 {
    let matching = table.lines().skip(1).filter(|line| {
        let mut columns = line.split_ascii_whitespace().skip(2);
        let (remote, state) = (columns.next(), columns.next());
        state == Some("01") && remote.is_some_and(|remote| wanted.iter().any(|wanted| wanted == remote))
    });
    u32::try_from(matching.count()).unwrap_or(u32::MAX)
}

/// An address as the kernel writes it: words of 32 bits in the machine's order. One of four bytes may stand in the table of the long ones.
fn columns(address: SocketAddr) -> Vec<String> {
    let word = |bytes: &[u8]| format!("{:08X}", u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    let long = |bytes: [u8; 16]| bytes.chunks_exact(4).map(word).collect::<String>();
    let port = address.port();
    let hosts = match address.ip() {
        IpAddr::V4(ip) => vec![word(&ip.octets()), long(ip.to_ipv6_mapped().octets())],
        IpAddr::V6(ip) => vec![long(ip.octets())],
    };
    hosts.into_iter().map(|host| format!("{host}:{port:04X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_connections_to_this_very_address_count() {
        for host in ["127.0.0.1", "127.0.0.2", "[::1]"] {
            let Ok(listener) = tokio::net::TcpListener::bind(format!("{host}:0")).await else {
                continue;
            };
            let address = listener.local_addr().unwrap();
            assert_eq!(outbound(&address.to_string()).await, 0);
            let connection = tokio::net::TcpStream::connect(address).await.unwrap();
            assert_eq!(outbound(&address.to_string()).await, 1, "{host}");
            assert_eq!(outbound(&format!("127.0.0.3:{}", address.port())).await, 0);
            drop(connection);
        }
    }

    #[tokio::test]
    async fn a_peer_that_is_down_is_not_cut_off() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let link = Link::start(&address);
        time::sleep(Duration::from_millis(2200)).await;
        assert_eq!((link.status().fresh_dial, *link.0.cut.borrow()), (Dial::Refused, false));
        let inbound = link.inbound();
        time::sleep(Duration::from_millis(1200)).await;
        assert_eq!((link.status().established, link.status().closed_since), (1, None));
        drop(inbound);
    }
}
