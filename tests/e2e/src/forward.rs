//! A pod's port on this machine: what `kubectl port-forward` does, for whichever pod it is at the moment.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use synccluster_operator::names::Component;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::Cluster;

/// Port of the page and the API in the gateway's pod.
pub(crate) const WEB: u16 = 8000;

/// A way to a port for programs that know nothing of Kubernetes. It ends when dropped.
pub struct Forward {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Forward {
    /// To the gateway, from a free port of the loopback address.
    pub async fn to_gateway_of(cluster: &Cluster) -> Result<Self> {
        Self::to(cluster, None, WEB).await
    }

    /// To this port of this pod.
    pub async fn to_pod(cluster: &Cluster, pod: &str, port: u16) -> Result<Self> {
        Self::to(cluster, Some(pod.to_owned()), port).await
    }

    /// Without the name of a pod it is the gateway's.
    async fn to(cluster: &Cluster, pod: Option<String>, port: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let cluster = cluster.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (cluster, pod) = (cluster.clone(), pod.clone());
                // A connection whose pod is away is closed, as it would be on any network.
                tokio::spawn(async move { drop(carry(&cluster, pod, port, connection).await) });
            }
        });
        Ok(Self { address, accepting })
    }

    /// Where it begins.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(cluster: &Cluster, pod: Option<String>, port: u16, mut connection: TcpStream) -> Result<()> {
    let pod = match pod {
        Some(pod) => pod,
        None => cluster.pod(Component::Gateway, None).await?.name_any(),
    };
    let mut forward = cluster.namespace.api::<Pod>().portforward(&pod, &[port]).await?;
    let mut stream = forward.take_stream(port).context("no stream")?;
    copy_bidirectional(&mut connection, &mut stream).await?;
    Ok(())
}
