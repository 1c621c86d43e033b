//! What a peer is told: a connection is kept to it, and the own log goes there as it grows.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::{
    io::{AsyncRead, AsyncWrite, BufReader},
    net::TcpStream,
    time,
};
use tokio_util::sync::CancellationToken;

use super::{
    entropy::Entropy,
    link::Link,
    members::HEARTBEAT,
    wire::{self, Answer, Tell, VERSION},
};
use crate::{
    config::NodeAddress,
    crdt::{Ordinal, Origin, Position, Summary},
    leader::clock,
    log::{Follower, Missing, OwnLog, snapshot},
    node::Node,
};

/// A connection that is not made by then is not made.
const CONNECT: Duration = Duration::from_millis(1500);
/// A peer that says nothing for so long is not there.
pub const SILENCE: Duration = Duration::from_secs(5);
/// The same in milliseconds, for the kernel: sent and not acknowledged.
pub const UNACKNOWLEDGED_MILLIS: u32 = 5000;
/// Between two tries.
const RETRY: Duration = Duration::from_millis(200);
/// Entries of a frame, about.
const ENTRIES: usize = 1000;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("no connection within {CONNECT:?}")]
    Timeout,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the peer has closed the connection")]
    Closed,
    #[error("the peer refuses: {0}")]
    Refused(String),
    #[error("node {0} answers there: --nodes is wrong")]
    Other(Ordinal),
    #[error(transparent)]
    Log(#[from] Missing),
    #[error(transparent)]
    Part(#[from] snapshot::Error),
}

/// A peer, as the one who tells it sees it.
pub struct Peer {
    /// Where it is.
    pub address: NodeAddress,
    /// The way to it.
    pub link: Link,
    known: Mutex<Option<Position>>,
}

impl Peer {
    /// Begins to probe the way to it.
    pub fn new(address: NodeAddress) -> Self {
        let link = Link::start(&address.mesh);
        Self {
            address,
            link,
            known: Mutex::new(None),
        }
    }

    /// Up to where it knows the own log, as it said last.
    pub fn known(&self) -> Option<Position> {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn said(&self, node: &Node, peer: Origin, kept: &[(Origin, Position)], theirs: &[Summary]) {
        node.said(peer, kept, theirs);
        let position = position(theirs, node.origin());
        let before = self
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(position);
        if before != Some(position) {
            self.link.moved();
        }
    }
}

/// Keeps a connection until `stop`; when the way is cut it is closed at once.
pub async fn keep(node: Arc<Node>, peer: Arc<Peer>, stop: CancellationToken) {
    let mut said = String::new();
    while !stop.is_cancelled() {
        let ended = tokio::select! {
            () = stop.cancelled() => return,
            () = peer.link.cut() => Err(Error::Closed),
            ended = session(&node, &peer) => ended,
        };
        if let Err(error) = ended {
            // Five times a second the same would be said while a peer is away.
            let error = error.to_string();
            if error != said {
                tracing::info!(peer = %peer.address.ordinal, error, "not connected to a peer; trying again");
                said = error;
            }
        }
        let wait = async {
            time::sleep(RETRY).await;
            peer.link.usable().await;
        };
        tokio::select! { () = stop.cancelled() => return, () = wait => {} }
    }
}

async fn session(node: &Node, peer: &Peer) -> Result<(), Error> {
    let connect = TcpStream::connect(&peer.address.mesh);
    let connected = time::timeout(CONNECT, connect).await.map_err(|_| Error::Timeout)??;
    let _held = peer.link.held();
    let mut stream = connected;
    stream.set_nodelay(true)?;
    let _ = set_tcp_user_timeout(&stream, UNACKNOWLEDGED_MILLIS);
    let (cluster, origin) = (node.cluster().clone(), node.origin());
    wire::write(
        &mut stream,
        &Tell::Hello {
            version: VERSION,
            cluster,
            origin,
        },
    )
    .await?;
    let (them, kept, known) = match answer(&mut stream).await? {
        Answer::Welcome { origin, kept, known } => (origin, kept, known),
        Answer::Refused(reason) => return Err(Error::Refused(reason)),
        Answer::Known { .. } => return Err(Error::Closed),
    };
    if them.ordinal != peer.address.ordinal {
        return Err(Error::Other(them.ordinal));
    }
    peer.said(node, them, &kept, &known);
    tracing::info!(peer = %them, knows = %position(&known, origin), "connected to a peer");
    let theirs = Mutex::new(known);
    let (input, mut output) = stream.split();
    let mut input = BufReader::new(input);
    let hearing = async {
        loop {
            match answer(&mut input).await? {
                Answer::Known { kept, known, vote } => {
                    node.members().voted(them.ordinal, vote);
                    peer.said(node, them, &kept, &known);
                    *theirs.lock().unwrap_or_else(PoisonError::into_inner) = known;
                }
                Answer::Refused(reason) => return Err(Error::Refused(reason)),
                Answer::Welcome { .. } => return Err(Error::Closed),
            }
        }
    };
    tokio::select! {
        ended = hearing => ended,
        ended = telling(node, them, &theirs, &mut output) => ended,
    }
}

async fn answer(input: &mut (impl AsyncRead + Unpin)) -> Result<Answer, Error> {
    match time::timeout(SILENCE, wire::read(input)).await {
        Ok(answer) => answer?.ok_or(Error::Closed),
        Err(_) => Err(Error::Timeout),
    }
}

async fn telling(
    node: &Node,
    them: Origin,
    theirs: &Mutex<Vec<Summary>>,
    output: &mut (impl AsyncWrite + Unpin),
) -> Result<(), Error> {
    let own = node.origin();
    let known = || theirs.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut reader = node.log().follow(position(&known(), own).next());
    let (mut tick, mut entropy) = (time::interval(HEARTBEAT), Entropy::default());
    tick.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    let mut hurries = node.members().hurries();
    loop {
        tokio::select! {
            biased;
            _ = tick.tick() => {
                beat(node, output).await?;
                let ours = node.state().summaries();
                for origin in entropy.due(own, them, &ours, &known()) {
                    whole(node, origin, output).await?;
                }
            }
            Ok(()) = hurries.changed() => beat(node, output).await?,
            entries = reader.next(ENTRIES) => match entries {
                Ok(entries) => wire::write(output, &Tell::Entries(entries.to_vec())).await?,
                Err(Missing::Truncated(_)) => {
                    let position = whole(node, own, output).await?;
                    reader = node.log().follow(position.next());
                }
                Err(error) => return Err(error.into()),
            },
        }
    }
}

async fn beat(node: &Node, output: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    let heartbeat = node.members().heartbeat(Instant::now(), clock::now());
    wire::write(output, &Tell::Heartbeat(heartbeat)).await
}

/// Tells a whole part; up to where it is known.
async fn whole(node: &Node, origin: Origin, output: &mut (impl AsyncWrite + Unpin)) -> Result<Position, Error> {
    let encoded = {
        let state = node.state();
        let part = state.part(origin);
        part.map(|part| Ok::<_, Error>((part.position(), snapshot::encode(origin, part)?)))
            .transpose()?
    };
    let Some((position, bytes)) = encoded else {
        return Ok(Position(0));
    };
    tracing::info!(%origin, %position, bytes = bytes.len(), "telling a peer a whole part");
    wire::write(output, &Tell::Whole(bytes)).await?;
    Ok(position)
}

fn position(summaries: &[Summary], origin: Origin) -> Position {
    let summary = summaries.iter().find(|summary| summary.origin == origin);
    summary.map(|summary| summary.position).unwrap_or_default()
}
