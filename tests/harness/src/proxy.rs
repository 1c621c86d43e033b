//! A link that can be cut.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

/// What a stalled connection may send before its sender is held up too.
const HELD_LIMIT: usize = 1 << 20;

/// What passes a [`Proxy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Open,
    /// New dials time out, established connections live on: what a NetworkPolicy does on kindnet and Calico.
    BlocksNew,
    /// New dials time out and established connections stall, and *resume* when the link opens: what a cut by dropped packets does.
    /// The one difference: a stalled sender's bytes are still acknowledged by the kernel here, so its TCP never gives up.
    Blocked,
}

/// A TCP proxy on loopback. As with a packet filter, a blocked dial gets no answer at all: it is neither refused nor accepted and closed.
///
/// That is done with Linux' own means: a listener whose backlog is full ignores SYNs, so a blocked proxy fills its own backlog.
/// A dial that waits gets through when the link opens, at its next retransmitted SYN (after 1 s, 3 s, 7 s, …).
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    orders: mpsc::Sender<(Link, oneshot::Sender<()>)>,
    flows: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port, open, and passes connections on to `target`, which need not listen yet.
    pub async fn start(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("binding a proxy")?;
        let address = listener.local_addr()?;
        let (orders, received) = mpsc::channel(1);
        let flows = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(serve(listener, address, target, received, flows.clone()));
        Ok(Self {
            address,
            orders,
            flows,
            task,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `host:port`, for a workload's `KAFKA_BOOTSTRAP_SERVERS`.
    pub fn bootstrap(&self) -> String {
        self.address.to_string()
    }

    /// Cuts or heals; when this returns, it is so.
    pub async fn set(&self, link: Link) -> Result<()> {
        let (done, is_done) = oneshot::channel();
        self.orders
            .send((link, done))
            .await
            .map_err(|_| anyhow!("the proxy is gone; did its runtime end?"))?;
        is_done.await.context("the proxy could not cut the link")
    }

    /// How many connections through it the near side has not closed: to see that a cut workload really closes its sockets.
    pub fn established(&self) -> usize {
        self.flows.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    listener: TcpListener,
    address: SocketAddr,
    target: SocketAddr,
    mut orders: mpsc::Receiver<(Link, oneshot::Sender<()>)>,
    flows: Arc<AtomicUsize>,
) {
    let (link, _) = watch::channel(Link::Open);
    let mut fillers: Vec<TcpStream> = Vec::new();
    let mut own = HashSet::new();
    // Ends with the proxy.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            order = orders.recv() => {
                let Some((to, done)) = order else { return };
                link.send_replace(to);
                if to == Link::Open {
                    fillers.clear();
                    let _ = rustix::net::listen(&listener, 1024);
                } else if fillers.is_empty() {
                    // Dropping `done` without an answer is how the caller learns that it failed.
                    let Ok(()) = rustix::net::listen(&listener, 1) else { continue };
                    while let Ok(Ok(filler)) = timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
                        own.extend(filler.local_addr());
                        fillers.push(filler);
                    }
                }
                let _ = done.send(());
            }
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if *link.borrow() == Link::Open => {
                let Ok((near, peer)) = accepted else { continue };
                if own.remove(&peer) {
                    continue;
                }
                connections.spawn(flow(near, target, link.subscribe(), flows.clone()));
            }
        }
    }
}

async fn flow(near: TcpStream, target: SocketAddr, link: watch::Receiver<Link>, flows: Arc<AtomicUsize>) {
    let Ok(far) = TcpStream::connect(target).await else {
        return;
    };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    tokio::join!(
        pass(near_read, far_write, link.clone(), Some(Counted::new(flows))),
        pass(far_read, near_write, link, None)
    );
}

/// One direction. A cut holds back bytes and the end of the stream alike, but reads on, so that the end is counted when it happens.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut link: watch::Receiver<Link>,
    mut counted: Option<Counted>,
) {
    let (mut held, mut ended) = (Vec::new(), false);
    loop {
        tokio::select! {
            read = from.read_buf(&mut held), if !ended && held.len() < HELD_LIMIT => {
                ended = !matches!(read, Ok(1..));
                if ended {
                    drop(counted.take());
                }
            }
            opened = async { link.wait_for(|link| *link != Link::Blocked).await.is_ok() }, if ended || !held.is_empty() => {
                if !opened || to.write_all(&held).await.is_err() || ended {
                    return;
                }
                held.clear();
            }
        }
    }
}

/// A connection whose near end has not closed yet.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(flows: Arc<AtomicUsize>) -> Self {
        flows.fetch_add(1, Ordering::SeqCst);
        Self(flows)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
