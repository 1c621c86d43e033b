//! The daemon: watch, and keep the node as the cluster wants it.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use clap::Parser;
use futures::StreamExt;
use kube::{Client, Config};
use synccluster_kind_network::{agent::Agent, watch};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, interval, sleep_until},
};
use tracing::info;
use tracing_subscriber::EnvFilter;

/// Changes come in swarms (a Deployment, a namespace); one that comes alone should not wait long.
const SETTLE: Duration = Duration::from_millis(50);
/// After a failure.
const RETRY: Duration = Duration::from_secs(1);
/// Between two looks whether somebody else has changed the node.
const VERIFY: Duration = Duration::from_secs(30);
/// Shorter than the client's own: an address that is not served yet swallows the packets.
const CONNECT: Duration = Duration::from_secs(3);
/// The client reports failed requests as errors of its own; `watch` says the same in one line.
const FILTER: &str = "info,kube_client=off";
/// Longer than the API server keeps a watch open without a word.
const SILENCE: Duration = Duration::from_secs(330);

/// Pod network and network policies for one node of a kind cluster: CNI configuration, routes to the other nodes' pods, and
/// policies as one nftables table. IPv4. Needs `nft`, `ip` and the capability to administer the node's network.
#[derive(Parser)]
#[command(
    version,
    after_help = "Example:\n  synccluster-kind-network --node-name kind-worker --cni-dir /etc/cni/net.d\n\n\
                  The API server is found by KUBECONFIG, or as in any pod by KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT:\n\
                  set these to the control plane's own address where Services do not work.\n\
                  RUST_LOG=debug says more. What is in force: nft list table ip synccluster-kind-network"
)]
struct Args {
    /// The node this runs on, by its name in Kubernetes
    #[arg(long, env = "NODE_NAME")]
    node_name: String,
    /// Where the container runtime looks for its network configuration
    #[arg(long, env = "CNI_DIR", default_value = "/etc/cni/net.d")]
    cni_dir: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(FILTER));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .init();

    let mut config = Config::infer()
        .await
        .context("no API server: run in a pod, or set KUBECONFIG")?;
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(SILENCE);
    info!(node = args.node_name, api = %config.cluster_url, "starting");
    let client = Client::try_from(config).context("cannot make a client for the API server")?;
    run(watch::watch(&client), Agent::new(args.node_name, args.cni_dir)).await
}

/// Until it is told to end. What is in force then stays in force: the node keeps its pods isolated while this restarts.
async fn run(mut events: impl futures::Stream<Item = watch::Seen> + Unpin, mut agent: Agent) -> Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut verify = interval(VERIFY);
    let mut world = watch::World::default();
    let mut due: Option<Instant> = None;
    loop {
        tokio::select! {
            Some(seen) = events.next() => {
                if world.take(seen) {
                    due.get_or_insert(Instant::now() + SETTLE);
                }
            }
            () = async { sleep_until(due.unwrap_or_else(Instant::now)).await }, if due.is_some() => {
                due = (!agent.keep(&world).await).then(|| Instant::now() + RETRY);
            }
            _ = verify.tick() => {
                agent.verify().await;
                due.get_or_insert_with(Instant::now);
            }
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        }
    }
}
