//! A node's process, from what it is told to its exit code.

use std::{io, net::SocketAddr, process::ExitCode, sync::Arc};

use synccluster_runtime::{
    health::{self, Pulse},
    link::Probe,
};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    config,
    crdt::Remember,
    drain::drain,
    leader::{self, Leader},
    log,
    mesh::{Mesh, members::Heartbeat},
    node::{Node, Settings, StartError},
    publish::{Nodes, Publisher, supervise},
    serve,
    state::{Kafka, State},
    windows::{self, Windows},
};

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What it was told.
    #[error("{0}")]
    Config(String),
    /// Its log.
    #[error(transparent)]
    Node(#[from] StartError),
    /// Its part in leading.
    #[error(transparent)]
    Leader(#[from] leader::Error),
    /// A port.
    #[error("cannot listen on {0}: {1}; is the port taken?")]
    Listen(SocketAddr, io::Error),
}

/// Runs until the process is asked to stop, or the node cannot go on.
pub async fn run(run: config::Run) -> Result<ExitCode, Error> {
    run.check().map_err(Error::Config)?;
    serve::allow_many_clients();
    let node = Node::start(settings(&run))?;
    let clients = listen(run.listen_clients).await?;
    let peers = listen(run.listen_mesh).await?;
    let leading = listen(run.listen_leader).await?;
    let outside = match run.outside.clone() {
        Some(outside) => Some((listen(run.listen_outside).await?, outside)),
        None => None,
    };
    let leader = Leader::new(leading_settings(&run), node.members().clone()).await?;
    let mesh = Mesh::new(Arc::clone(&node), run.nodes);
    let pulse = Arc::new(Pulse::default());
    // Asked to stop, the node leaves; when it has brought away what it has, it stops.
    let (leaves, stop) = (CancellationToken::new(), CancellationToken::new());
    let kafka = run.bootstrap_servers.as_deref();
    let kafka = kafka.map(|servers| Probe::start(&run.kafka.kafka(servers)));
    let mut tasks = JoinSet::new();
    tasks.spawn(Arc::clone(&node).keep(Arc::clone(&pulse), stop.clone()));
    tasks.spawn(Arc::clone(&node).look_around(stop.clone()));
    tasks.spawn(mesh.clone().run(peers, stop.clone()));
    tasks.spawn(Arc::clone(&leader).run(leading, outside, leaves.clone()));
    let serving = serve::run(Arc::clone(&node), clients, leaves.clone(), stop.clone());
    tasks.spawn(async { drop(serving.await) });
    let (asked, stopping) = (leaves.clone(), stop.clone());
    let drained = drain(Arc::clone(&node), mesh.clone(), kafka.clone());
    tasks.spawn(async move {
        asked.cancelled_owned().await;
        drained.await;
        stopping.cancel();
    });
    let kafka = kafka.map(|probe| {
        let settings = Arc::new(run.windows.settings(&run.cluster, probe.kafka()));
        let of = Arc::clone(&node);
        let publisher = Publisher::new(Arc::clone(&settings), node.log().clone(), probe.clone(), move || {
            Nodes::of(&of)
        });
        let windows = Arc::new(windows::State::new(&run.cluster, probe));
        let kafka = Kafka {
            publishing: publisher.error(),
            windows: Arc::clone(&windows),
        };
        tasks.spawn(supervise(publisher, stop.clone()));
        tasks.spawn(supervise(Windows::new(settings, windows), leaves.clone()));
        kafka
    });
    let state = Arc::new(State {
        node: Arc::clone(&node),
        mesh,
        leader,
        kafka,
        pulse,
    });
    let work = tokio::spawn(async move { while tasks.join_next().await.is_some() {} });
    Ok(tokio::select! {
        code = health::run(run.listen, state, work, leaves) => code,
        // Said where it happened.
        _ = node.failed() => ExitCode::FAILURE,
    })
}

fn leading_settings(run: &config::Run) -> leader::Settings {
    leader::Settings {
        lease: run.lease.clone().map(|lease| (lease, run.lease_namespace.clone())),
        nodes: run.nodes.len(),
        data: run.data.clone(),
    }
}

fn settings(run: &config::Run) -> Settings {
    Settings {
        cluster: run.cluster.clone(),
        ordinal: run.node,
        nodes: run.nodes.iter().map(|node| node.ordinal).collect(),
        data: run.data.clone(),
        remember: Remember {
            time: run.remember,
            count: run.remember_requests,
            idle: run.remember_clients,
            runs: run.max_clients,
        },
        max_ids: run.max_ids,
        log: log::Settings {
            segment_bytes: run.segment_bytes,
        },
        log_bytes: run.log_bytes,
        publishes: run.bootstrap_servers.is_some(),
        heartbeat: Heartbeat {
            clients: run.advertised(),
            leader_api: run.leader_api(),
            ..Heartbeat::default()
        },
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address)
        .await
        .map_err(|error| Error::Listen(address, error))
}
