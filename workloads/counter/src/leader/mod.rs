//! Which node a client goes to. One node leads and says; the others ask it.
//!
//! `lease`, `ballot` and `assign` decide, without IO or clock; `kubernetes` reads and writes the Lease, `votes` takes part in elections where
//! there is none; `serve` is port 5001.

mod ask;
pub mod assign;
pub mod ballot;
pub mod clock;
mod kubernetes;
pub mod lease;
mod outside;
mod serve;
mod term;
mod votes;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    crdt::Ordinal,
    mesh::members::{Claim, Load, Member, Members, hears_majority},
};
use assign::{Assignments, Who};
use ballot::Ballot;
use lease::Elector;

pub use ask::{Answer, get};
pub use outside::Outside;
pub use serve::{FORWARDED, TERM};

/// Why a node cannot take part.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No Kubernetes.
    #[error(
        "cannot find the Kubernetes API for --lease: {0}; run in a pod with a service account, or set KUBECONFIG, or leave --lease out"
    )]
    Kubernetes(Box<kube::Error>),
    /// Its last vote.
    #[error(transparent)]
    Vote(#[from] term::Error),
}

/// `GET /assign`: where a client goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The node.
    pub node: Ordinal,
    /// Where it serves clients: `host:5002`.
    pub address: String,
    /// Its WebSocket.
    pub ws: String,
    /// The term of the leader that says so: of two answers the one with the higher term is right.
    pub term: u64,
    /// That leader hears no majority of the nodes: no client leaves another node for its word.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub alone: bool,
}

impl Assignment {
    /// To this node, which serves clients at `host:port`, by the word of one that is not alone.
    pub fn new(node: Ordinal, address: String, term: u64) -> Self {
        Self {
            node,
            ws: format!("ws://{address}/ws"),
            address,
            term,
            alone: false,
        }
    }
}

/// One of `GET /nodes`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeEntry {
    /// Which.
    pub node: Ordinal,
    /// Where it serves clients; absent until it was heard, and when it is leaving.
    pub address: Option<String>,
    /// Whether it was heard within the last 1.5 s.
    pub alive: bool,
    /// How busy it is.
    pub load: Load,
    /// Whether it leads.
    pub leader: bool,
}

/// How a node takes part.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name and namespace of the Lease; without one nodes vote.
    pub lease: Option<(String, Option<String>)>,
    /// How many nodes are configured.
    pub nodes: usize,
    /// Folder of the node.
    pub data: PathBuf,
}

/// A node's part in leading, shared by all who ask.
pub struct Leader {
    members: Members,
    mode: Mode,
    data: PathBuf,
    assignments: Mutex<Assignments>,
    /// The highest term this node knows; what has a lower one is refused.
    highest: AtomicU64,
    /// What it has voted last.
    voted: Mutex<Claim>,
}

enum Mode {
    Lease(Box<kubernetes::Lease>),
    Votes(Ballot),
}

impl Leader {
    /// Of a node that knows its peers by `members`.
    pub async fn new(settings: Settings, members: Members) -> Result<Arc<Self>, Error> {
        let voted = term::read(&settings.data)?;
        members.term(voted.term);
        let mode = match settings.lease {
            Some((name, namespace)) => {
                let elector = Elector::new(format!("{name}-{}", members.own()));
                Mode::Lease(Box::new(kubernetes::Lease::new(name, namespace, elector).await?))
            }
            None => Mode::Votes(Ballot {
                own: members.own(),
                nodes: settings.nodes,
            }),
        };
        Ok(Arc::new(Self {
            members,
            mode,
            data: settings.data,
            assignments: Mutex::default(),
            highest: AtomicU64::new(voted.term),
            voted: Mutex::new(voted),
        }))
    }

    /// Takes part, and serves port 5001, until `stop`; also the port at which clients outside ask, if there is one.
    pub async fn run(
        self: Arc<Self>,
        listener: TcpListener,
        outside: Option<(TcpListener, Outside)>,
        stop: CancellationToken,
    ) {
        let mut tasks = JoinSet::new();
        let (leader, stopped) = (Arc::clone(&self), stop.clone());
        tasks.spawn(async move {
            match &leader.mode {
                Mode::Lease(lease) => kubernetes::run(&leader, lease, stopped).await,
                Mode::Votes(ballot) => votes::run(&leader, *ballot, stopped).await,
            }
        });
        if let Some((listener, outside)) = outside {
            let serving = serve::run(Arc::clone(&self), Some(outside), listener, stop.clone());
            tasks.spawn(async { drop(serving.await) });
        }
        tasks.spawn(async { drop(serve::run(self, None, listener, stop).await) });
        while tasks.join_next().await.is_some() {}
    }

    /// Where a client goes, if this node leads at this moment: nothing is between the look at the clock and the decision.
    pub fn assign(&self, who: &Who) -> Option<Assignment> {
        let mut assignments = self.assignments.lock().unwrap_or_else(PoisonError::into_inner);
        let members = self.members.all(Instant::now());
        let (term, now) = (self.leads(&members)?, clock::now());
        let node = assignments.assign(term, who, &members, now)?;
        let alone = !hears_majority(&members);
        let member = members.into_iter().find(|member| member.ordinal == node)?;
        Some(Assignment {
            alone,
            ..Assignment::new(node, member.heartbeat?.clients, term)
        })
    }

    /// All nodes as this one knows them, and its term if it leads.
    pub fn nodes(&self) -> (Vec<NodeEntry>, Option<u64>) {
        let members = self.members.all(Instant::now());
        let term = self.leads(&members);
        let entry = |member: Member| NodeEntry {
            node: member.ordinal,
            alive: member.alive(),
            leader: term.is_some() && member.ordinal == self.members.own(),
            load: member
                .heartbeat
                .as_ref()
                .map(|heartbeat| heartbeat.load)
                .unwrap_or_default(),
            address: member
                .heartbeat
                .map(|heartbeat| heartbeat.clients)
                .filter(|clients| !clients.is_empty()),
        };
        (members.into_iter().map(entry).collect(), term)
    }

    /// Whom this node takes for the leader; while it does not know itself, whom the nodes it hears do.
    pub fn known(&self) -> Option<Claim> {
        let members = self.members.all(Instant::now());
        let own = members.iter().find(|member| member.ordinal == self.members.own());
        let heard = members.iter().filter(|member| member.alive()).filter_map(Member::claim);
        own.and_then(Member::claim)
            .or_else(|| heard.max_by_key(|claim| claim.term))
    }

    fn hears_majority(&self) -> bool {
        hears_majority(&self.members.all(Instant::now()))
    }

    fn leads(&self, members: &[Member]) -> Option<u64> {
        match &self.mode {
            Mode::Lease(lease) => lease.leads(clock::now()),
            Mode::Votes(ballot) => ballot.leads(members, clock::now()),
        }
    }

    /// A leader of this term has spoken. False if a later one is known.
    fn heard(&self, term: u64) -> bool {
        let before = self.highest.fetch_max(term, Ordering::SeqCst);
        self.members.term(term);
        before <= term
    }

    /// The highest term anybody has told.
    fn highest(&self) -> u64 {
        let members = self.members.all(Instant::now());
        let told = members
            .iter()
            .filter_map(|member| Some(member.heartbeat.as_ref()?.term));
        told.max().unwrap_or(0).max(self.highest.load(Ordering::SeqCst))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
