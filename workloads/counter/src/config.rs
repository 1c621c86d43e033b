//! What a node is told, by flag or environment.

use std::{net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use synccluster_protocol::ClusterName;
use synccluster_runtime::config::parse_duration;

use crate::{crdt::Ordinal, windows};

/// A node of the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAddress {
    /// Which.
    pub ordinal: Ordinal,
    /// Where its mesh port is: `host:port`.
    pub mesh: String,
}

impl NodeAddress {
    /// Its host alone.
    pub fn host(&self) -> &str {
        self.mesh.rsplit_once(':').map_or(self.mesh.as_str(), |(host, _)| host)
    }
}

impl FromStr for NodeAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("`{text}` is not a node: write ordinal=host:port, like 0=demo-counter-0.demo-counter-nodes:5003")
        };
        let (ordinal, mesh) = text.split_once('=').ok_or_else(wrong)?;
        let (host, port) = mesh.rsplit_once(':').ok_or_else(wrong)?;
        port.parse::<u16>().map_err(|_| wrong())?;
        if host.is_empty() {
            return Err(wrong());
        }
        Ok(Self {
            ordinal: ordinal.parse().map_err(|_| wrong())?,
            mesh: mesh.to_owned(),
        })
    }
}

/// `synccluster-counter run`.
#[derive(Clone, Debug, clap::Args)]
pub struct Run {
    /// The SyncCluster's name.
    #[arg(long, env = "SYNC_CLUSTER")]
    pub cluster: ClusterName,
    /// This node: its ordinal, or a pod's name that ends with it.
    #[arg(long, env = "COUNTER_NODE")]
    pub node: Ordinal,
    /// All nodes with their mesh ports, this one included: 0=host:5003,1=host:5003.
    #[arg(long, env = "COUNTER_NODES", value_delimiter = ',', required = true)]
    pub nodes: Vec<NodeAddress>,
    /// Folder of the log, on a volume that lasts.
    #[arg(long, env = "COUNTER_DATA")]
    pub data: PathBuf,
    /// Kafka, as host:port. Without it likes are kept and shared, and not published.
    #[arg(long, env = "KAFKA_BOOTSTRAP_SERVERS")]
    pub bootstrap_servers: Option<String>,
    /// The host clients and peers are told; by default this node's in --nodes.
    #[arg(long, env = "COUNTER_ADVERTISE")]
    pub advertise: Option<String>,
    /// Where the leader API is served.
    #[arg(long, env = "COUNTER_LISTEN_LEADER", default_value = "0.0.0.0:5001")]
    pub listen_leader: SocketAddr,
    /// Where clients are served, HTTP and WebSocket.
    #[arg(long, env = "COUNTER_LISTEN_CLIENTS", default_value = "0.0.0.0:5002")]
    pub listen_clients: SocketAddr,
    /// Where peers are served.
    #[arg(long, env = "COUNTER_LISTEN_MESH", default_value = "0.0.0.0:5003")]
    pub listen_mesh: SocketAddr,
    /// Where /livez, /readyz, /metrics and /status are served.
    #[arg(long, env = "SYNC_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// How long a request that is not `<client>/<number>` is remembered.
    #[arg(long, env = "COUNTER_REMEMBER", default_value = "10m", value_parser = parse_duration)]
    pub remember: Duration,
    /// How many of those a node's log is remembered by at most.
    #[arg(long, env = "COUNTER_REMEMBER_REQUESTS", default_value_t = 200_000)]
    pub remember_requests: usize,
    /// How many ids there may be.
    #[arg(long, env = "COUNTER_MAX_IDS", default_value_t = 1_000_000)]
    pub max_ids: usize,
    /// Bytes of a segment of the log.
    #[arg(long, env = "COUNTER_SEGMENT_BYTES", default_value_t = 16 << 20)]
    pub segment_bytes: u64,
    /// Bytes the log may have; beyond, likes are refused until what holds it back is gone.
    #[arg(long, env = "COUNTER_LOG_BYTES", default_value_t = 768 << 20)]
    pub log_bytes: u64,
    /// What is published and counted.
    #[command(flatten)]
    pub windows: windows::Arguments,
}

impl Run {
    /// The host others are told.
    pub fn advertised(&self) -> String {
        let own = self.nodes.iter().find(|node| node.ordinal == self.node);
        let host = || own.map_or_else(|| "localhost".to_owned(), |node| node.host().to_owned());
        self.advertise.clone().unwrap_or_else(host)
    }

    /// What is wrong with what was told.
    pub fn check(&self) -> Result<(), String> {
        if !self.nodes.iter().any(|node| node.ordinal == self.node) {
            return Err(format!(
                "--nodes does not name this node, {}: it has to name all",
                self.node
            ));
        }
        let mut ordinals: Vec<_> = self.nodes.iter().map(|node| node.ordinal).collect();
        ordinals.sort_unstable();
        match ordinals.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(format!("--nodes names {} twice", pair[0])),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_an_ordinal_and_where_its_mesh_port_is() {
        let node: NodeAddress = "2=demo-counter-2.demo-counter-nodes:5003".parse().unwrap();
        assert_eq!(
            (node.ordinal, node.host()),
            (Ordinal(2), "demo-counter-2.demo-counter-nodes")
        );
        for wrong in [
            "",
            "2",
            "2=",
            "2=host",
            "=host:1",
            "2=:1",
            "2=host:x",
            "2=host:99999",
            "x=host:1",
            "-1=host:1",
        ] {
            assert!(wrong.parse::<NodeAddress>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_pod_knows_its_ordinal_by_its_name() {
        assert_eq!("demo-counter-12".parse(), Ok(Ordinal(12)));
        assert_eq!("0".parse(), Ok(Ordinal(0)));
        for wrong in ["", "demo", "demo-counter-", "demo-counter-01", "70000"] {
            assert!(wrong.parse::<Ordinal>().is_err(), "{wrong}");
        }
    }
}
