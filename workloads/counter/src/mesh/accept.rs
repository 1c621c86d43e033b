//! What is learnt from peers: each dials this node and tells.

use std::{
    collections::BTreeMap,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::{
    io::{AsyncRead, BufReader},
    net::{TcpListener, TcpStream},
    time,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    dial::{Peer, SILENCE, UNACKNOWLEDGED_MILLIS},
    wire::{self, Answer, Tell, VERSION},
};
use crate::{
    crdt::{Gap, Ordinal, Origin},
    log::snapshot,
    node::Node,
};

/// Connections at a time; beyond, more are not accepted. Peers have one each, and one more while they probe.
const CONNECTIONS: usize = 256;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the peer says nothing")]
    Silent,
    #[error("not what a peer says now")]
    Unexpected,
    #[error("{0}; it is asked to begin after what is known")]
    Gap(#[from] Gap),
    #[error("a part that cannot be read: {0}")]
    Part(#[from] postcard::Error),
}

/// Accepts peers until `stop`.
pub async fn run(
    node: Arc<Node>,
    peers: Arc<BTreeMap<Ordinal, Arc<Peer>>>,
    listener: TcpListener,
    stop: CancellationToken,
) {
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept(), if tasks.len() < CONNECTIONS => accepted,
            () = time::sleep(Duration::from_millis(100)), if tasks.len() >= CONNECTIONS => continue,
        };
        match accepted {
            Ok((stream, address)) => {
                let (node, peers, stop) = (Arc::clone(&node), Arc::clone(&peers), stop.clone());
                tasks.spawn(async move {
                    let ended = tokio::select! {
                        () = stop.cancelled() => Ok(()),
                        ended = connection(&node, &peers, stream) => ended,
                    };
                    if let Err(error) = ended {
                        tracing::info!(%error, %address, "a peer's connection ended");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a peer");
                time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(node: &Node, peers: &BTreeMap<Ordinal, Arc<Peer>>, stream: TcpStream) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let _ = set_tcp_user_timeout(&stream, UNACKNOWLEDGED_MILLIS);
    let mut stream = BufReader::new(stream);
    // Who says nothing at all has only looked whether somebody is here.
    let (version, cluster, origin) = match next(&mut stream).await? {
        Some(Tell::Hello {
            version,
            cluster,
            origin,
        }) => (version, cluster, origin),
        Some(_) => return Err(Error::Unexpected),
        None => return Ok(()),
    };
    let refused = if version != VERSION {
        Some(format!(
            "it speaks version {version} and this node {VERSION}: bring both to the same release"
        ))
    } else if cluster != *node.cluster() {
        Some(format!(
            "this is a node of cluster {}, not of {cluster}",
            node.cluster()
        ))
    } else if !peers.contains_key(&origin.ordinal) {
        Some(format!(
            "--nodes of node {} does not name {}",
            node.origin().ordinal,
            origin.ordinal
        ))
    } else {
        None
    };
    if let Some(reason) = refused {
        tracing::warn!(peer = %origin, reason, "a peer is refused");
        return Ok(wire::write(stream.get_mut(), &Answer::Refused(reason)).await?);
    }
    let Some(peer) = peers.get(&origin.ordinal) else {
        return Ok(());
    };
    let _held = peer.link.held();
    let mut stream = stream;
    let (kept, known) = node.word();
    let welcome = Answer::Welcome {
        origin: node.origin(),
        kept,
        known,
    };
    wire::write(stream.get_mut(), &welcome).await?;
    tokio::select! {
        () = peer.link.cut() => Ok(()),
        ended = listen(node, origin, &mut stream) => ended,
    }
}

async fn listen(node: &Node, peer: Origin, stream: &mut BufReader<TcpStream>) -> Result<(), Error> {
    loop {
        match next(stream).await? {
            None => return Ok(()),
            Some(Tell::Hello { .. }) => return Err(Error::Unexpected),
            // Closed after a gap, the peer dials again and begins after what is known by then.
            Some(Tell::Entries(entries)) => node.learn(peer, &entries)?,
            Some(Tell::Whole(part)) => {
                let (origin, part) = snapshot::decode(&part)?;
                node.learn_whole(origin, part, origin == peer);
            }
            Some(Tell::Heartbeat(heartbeat)) => {
                let vote = node.members().heard(peer.ordinal, heartbeat, Instant::now());
                let (kept, known) = node.word();
                let known = Answer::Known { kept, known, vote };
                let told = wire::write(stream.get_mut(), &known);
                time::timeout(SILENCE, told).await.map_err(|_| Error::Silent)??;
            }
        }
    }
}

async fn next(input: &mut (impl AsyncRead + Unpin)) -> Result<Option<Tell>, Error> {
    let read = time::timeout(SILENCE, wire::read(input)).await;
    Ok(read.map_err(|_| Error::Silent)??)
}
