//! What a node is told, by flag or environment.

use std::{net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use synccluster_protocol::ClusterName;
use synccluster_runtime::{config::parse_duration, kafka};

use crate::{crdt::Ordinal, leader::Outside, windows};

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
    /// What else there is to say of it.
    #[command(flatten)]
    pub kafka: kafka::More,
    /// Where clients are sent to reach this node, HOST or HOST:PORT; by default its host in --nodes, and the port it serves clients on.
    #[arg(long, env = "COUNTER_ADVERTISE", value_parser = parse_advertise)]
    pub advertise: Option<String>,
    /// Where clients outside the nodes' network are sent who ask at --listen-outside: to node 0 at HOST:PORT, to node 1 at the next port.
    /// Without it nobody is asked there.
    #[arg(long, env = "COUNTER_OUTSIDE", value_name = "HOST:PORT", value_parser = parse_outside)]
    pub outside: Option<Outside>,
    /// The Lease that says who leads, in a Kubernetes cluster. Without it the nodes vote.
    #[arg(long, env = "COUNTER_LEASE")]
    pub lease: Option<String>,
    /// The Lease's namespace; by default that of the service account.
    #[arg(long, env = "POD_NAMESPACE")]
    pub lease_namespace: Option<String>,
    /// Where the leader API is served.
    #[arg(long, env = "COUNTER_LISTEN_LEADER", default_value = "0.0.0.0:5001")]
    pub listen_leader: SocketAddr,
    /// Where the leader API is served to clients outside, with --outside.
    #[arg(long, env = "COUNTER_LISTEN_OUTSIDE", default_value = "0.0.0.0:5004")]
    pub listen_outside: SocketAddr,
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
    /// How many of those of each log are remembered at most. Beyond, the oldest are forgotten earlier; while a node may not know them, more
    /// are refused.
    #[arg(long, env = "COUNTER_REMEMBER_REQUESTS", default_value_t = 200_000)]
    pub remember_requests: usize,
    /// For how long a client is remembered that numbers its requests, `<client>/<number>`, after its last one: a request that is sent again
    /// within it counts once.
    #[arg(long, env = "COUNTER_REMEMBER_CLIENTS", default_value = "24h", value_parser = parse_duration)]
    pub remember_clients: Duration,
    /// How many of these clients a node remembers; each gap in one's numbers counts as one more.
    #[arg(long, env = "COUNTER_MAX_CLIENTS", default_value_t = 50_000)]
    pub max_clients: usize,
    /// How many ids there may be, over all nodes.
    #[arg(long, env = "COUNTER_MAX_IDS", default_value_t = 50_000)]
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
    /// Where clients are sent.
    pub fn advertised(&self) -> String {
        let port = self.listen_clients.port();
        match &self.advertise {
            Some(address) if has_port(address) => address.clone(),
            Some(host) => format!("{host}:{port}"),
            None => format!("{}:{port}", self.host()),
        }
    }

    /// Where peers reach the leader API.
    pub fn leader_api(&self) -> String {
        format!("{}:{}", self.host(), self.listen_leader.port())
    }

    fn host(&self) -> &str {
        let own = self.nodes.iter().find(|node| node.ordinal == self.node);
        own.map_or("localhost", NodeAddress::host)
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
        let last = ordinals.last().copied().unwrap_or_default();
        let beyond = |outside: &&Outside| outside.port(last) > u32::from(u16::MAX);
        if let Some(Outside { host, first }) = self.outside.as_ref().filter(beyond) {
            return Err(format!(
                "--outside {host}:{first} leaves no port for node {last}: begin at a lower one"
            ));
        }
        match ordinals.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(format!("--nodes names {} twice", pair[0])),
            None => Ok(()),
        }
    }
}

/// `host:port`, or `[::1]:port`; not an IPv6 address by itself.
fn has_port(address: &str) -> bool {
    let split = address.rsplit_once(':');
    split.is_some_and(|(host, port)| port.parse::<u16>().is_ok() && (host.ends_with(']') || !host.contains(':')))
}

fn parse_advertise(text: &str) -> Result<String, String> {
    let host = if has_port(text) {
        text.rsplit_once(':').map_or(text, |(host, _)| host)
    } else {
        text
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let good = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
        }
    };
    let wrong =
        || format!("`{text}` is not an address: write HOST or HOST:PORT, like likes.example.org:5002 or [::1]:5002");
    good.then(|| text.to_owned()).ok_or_else(wrong)
}

fn parse_outside(text: &str) -> Result<Outside, String> {
    let outside = || {
        parse_advertise(text).ok().filter(|_| has_port(text))?;
        let (host, port) = text.rsplit_once(':')?;
        Some(Outside {
            host: host.to_owned(),
            first: port.parse().ok()?,
        })
    };
    outside()
        .ok_or_else(|| format!("`{text}` is no address with a port: write HOST:PORT, like likes.example.org:30501"))
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

    #[test]
    fn clients_are_sent_to_a_host_with_or_without_a_port() {
        let advertised = |address: &str| {
            let (nodes, data) = (["--nodes", "0=node-0:5003"], ["--data", "/d"]);
            let flags = ["run", "--cluster", "demo", "--node", "0", "--advertise", address];
            let run = crate::command::run_of(flags.into_iter().chain(nodes).chain(data));
            run.map(|run| (run.advertised(), run.leader_api()))
        };
        for (address, told) in [
            ("localhost", "localhost:5002"),
            ("likes.example.org:80", "likes.example.org:80"),
            ("[::1]", "[::1]:5002"),
            ("[::1]:7", "[::1]:7"),
        ] {
            assert_eq!(
                advertised(address).unwrap(),
                (told.to_owned(), "node-0:5001".to_owned())
            );
        }
        for wrong in ["", ":5002", "host:99999", "host:", "a b", "http://host", "::1", "[x]:5"] {
            assert!(advertised(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn clients_outside_are_sent_to_a_host_with_a_port_for_each_node() {
        let outside = |address: &str| {
            let (nodes, data) = (["--nodes", "0=node-0:5003,2=node-2:5003"], ["--data", "/d"]);
            let flags = ["run", "--cluster", "demo", "--node", "0", "--outside", address];
            let run = crate::command::run_of(flags.into_iter().chain(nodes).chain(data))?;
            run.check()?;
            Ok::<_, String>(run.outside.map(|outside| (outside.host, outside.first)))
        };
        for (address, host, first) in [
            ("likes.example.org:30501", "likes.example.org", 30501),
            ("[::1]:7", "[::1]", 7),
        ] {
            assert_eq!(outside(address).unwrap(), Some((host.to_owned(), first)));
        }
        for wrong in ["", "host", "host:", "[::1]", ":30501", "http://host:1", "host:65536"] {
            assert!(outside(wrong).unwrap_err().contains("write HOST:PORT"), "{wrong}");
        }
        assert!(outside("host:65534").unwrap_err().contains("no port for node 2"));
        assert!(outside("host:65533").is_ok());
    }
}
