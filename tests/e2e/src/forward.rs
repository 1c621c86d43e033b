//! The gateway's port on this machine: what `kubectl port-forward` does, for whichever pod of it runs at the moment.

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

/// A way to the gateway for programs that know nothing of Kubernetes. It ends when dropped.
pub struct Forward {
    port: u16,
    accepting: JoinHandle<()>,
}

impl Forward {
    /// From a free port of the loopback address.
    pub async fn to_gateway_of(cluster: &Cluster) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let cluster = cluster.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let cluster = cluster.clone();
                // A connection whose pod is away is closed, as it would be on any network.
                tokio::spawn(async move { drop(carry(&cluster, connection).await) });
            }
        });
        Ok(Self { port, accepting })
    }

    /// `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(cluster: &Cluster, mut connection: TcpStream) -> Result<()> {
    let pod = cluster.pod(Component::Gateway, None).await?.name_any();
    let mut forward = cluster.namespace.api::<Pod>().portforward(&pod, &[WEB]).await?;
    let mut stream = forward.take_stream(WEB).context("no stream")?;
    copy_bidirectional(&mut connection, &mut stream).await?;
    Ok(())
}
