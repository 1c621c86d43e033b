//! From a folder to a node that works.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, atomic::AtomicU32, atomic::AtomicU64},
    thread,
};

use synccluster_protocol::ClusterName;
use synccluster_runtime::clock::now_millis;
use tokio::sync::{Notify, broadcast, mpsc, watch};

use super::{Node, stable::Stable, writer};
use crate::{
    crdt::{Incarnation, Ordinal, Remember, State},
    log::{self, identity},
    mesh::members::{Heartbeat, Members},
};

/// Orders that may wait for the disk.
const ORDERS: usize = 65_536;
/// Changes a watcher may fall behind.
const CHANGES: usize = 1024;

/// What a node needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whose.
    pub cluster: ClusterName,
    /// Which.
    pub ordinal: Ordinal,
    /// All nodes, this one included.
    pub nodes: Vec<Ordinal>,
    /// Folder of the log.
    pub data: PathBuf,
    /// How requests are remembered.
    pub remember: Remember,
    /// How many ids there may be.
    pub max_ids: usize,
    /// How the log is kept.
    pub log: log::Settings,
    /// Bytes beyond which likes are refused.
    pub log_bytes: u64,
    /// Whether Kafka has to have the log before it is truncated.
    pub publishes: bool,
    /// What peers are told at first.
    pub heartbeat: Heartbeat,
}

/// Why there is no node.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder.
    #[error(transparent)]
    Folder(#[from] identity::Error),
    /// What is in it.
    #[error(transparent)]
    Log(#[from] log::OpenError),
    /// Threads.
    #[error("cannot start the writing thread: {0}")]
    Thread(io::Error),
}

impl Node {
    /// Opens the log and starts to write; ends with [`Node::stop`].
    pub fn start(settings: Settings) -> Result<Arc<Self>, StartError> {
        let fresh = Incarnation::new(now_millis(), rand::random());
        let (origin, lock) = identity::take(&settings.data, &settings.cluster, settings.ordinal, fresh)?;
        let mut state = State::new(origin, settings.remember);
        let (log_writer, log) = log::open(&settings.data, lock, settings.log, &mut state)?;
        state.find_doubled();
        let kept = super::others(origin, &state.summaries());
        tracing::info!(node = %origin.ordinal, incarnation = %origin.incarnation, position = %state.position(origin), ids = state.ids(), "the log is open");
        let (orders, received) = mpsc::channel(ORDERS);
        let peers = settings.nodes.iter().copied().filter(|node| *node != settings.ordinal);
        let node = Arc::new(Self {
            members: Members::new(
                settings.ordinal,
                settings.nodes.iter().copied(),
                settings.heartbeat.clone(),
            ),
            stable: Mutex::new(Stable::new(origin, peers, settings.publishes)),
            kept: Mutex::new(kept),
            state: Mutex::new(state),
            log,
            orders,
            changes: broadcast::Sender::new(CHANGES),
            doubles: Notify::new(),
            trouble: watch::Sender::new(None),
            unkept: Mutex::new(None),
            failure: watch::Sender::new(None),
            alone: watch::Sender::new(false),
            acknowledged: AtomicU64::new(0),
            clients: AtomicU32::new(0),
            settings,
        });
        node.doubles.notify_one();
        let shared = Arc::clone(&node);
        let writing = move || writer::run(&shared, log_writer, received);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(writing)
            .map_err(StartError::Thread)?;
        Ok(node)
    }
}
