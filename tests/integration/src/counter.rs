//! Counter nodes as processes, with a link that can be cut between every two, in both directions.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use hyper::Method;
use serde_json::{Value, json};
use synccluster_harness::{Link, Proxy, eventually, free_port};
use synccluster_protocol::status::CounterStatus;
use tokio::{
    process::{Child, Command},
    time::timeout,
};

pub use crate::PATIENCE;
use crate::http::{self, Answer};

/// How long a node may take to answer.
const ANSWER: Duration = Duration::from_mins(1);

/// Nodes of one cluster.
pub struct Nodes {
    /// The binary.
    binary: PathBuf,
    /// By ordinal.
    pub nodes: Vec<NodeUnderTest>,
    links: BTreeMap<(usize, usize), Proxy>,
    more: Vec<String>,
    environment: Vec<(String, String)>,
    folder: PathBuf,
}

/// A node and its process.
pub struct NodeUnderTest {
    ordinal: usize,
    /// Where clients go.
    pub clients: SocketAddr,
    /// Where the leader API is.
    pub leader: SocketAddr,
    mesh: SocketAddr,
    health: SocketAddr,
    /// Its log.
    pub data: PathBuf,
    process: Option<Child>,
}

impl Nodes {
    /// So many nodes, all at work, with further flags. `binary` is `env!("CARGO_BIN_EXE_counter_node")`.
    pub async fn start(binary: &str, count: usize, more: &[&str]) -> Result<Self> {
        Self::start_in(binary, count, more, &[]).await
    }

    /// The same in an environment; `{}` in a value is the node's ordinal.
    pub async fn start_in(binary: &str, count: usize, more: &[&str], environment: &[(&str, &str)]) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("synccluster-counter-{:016x}", rand::random::<u64>()));
        let node = |ordinal| {
            Ok(NodeUnderTest {
                ordinal,
                clients: free_address()?,
                leader: free_address()?,
                mesh: free_address()?,
                health: free_address()?,
                data: folder.join(ordinal.to_string()),
                process: None,
            })
        };
        let nodes: Vec<_> = (0..count).map(node).collect::<Result<_>>()?;
        let mut links = BTreeMap::new();
        for from in 0..count {
            for to in (0..count).filter(|to| *to != from) {
                links.insert((from, to), Proxy::start(nodes[to].mesh).await?);
            }
        }
        let more = more.iter().map(|flag| (*flag).to_owned()).collect();
        let environment = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut nodes = Self {
            binary: binary.into(),
            nodes,
            links,
            more,
            environment: environment.collect(),
            folder,
        };
        for node in 0..count {
            nodes.run(node).await?;
        }
        Ok(nodes)
    }

    /// Starts a node's process and waits until it answers.
    pub async fn run(&mut self, node: usize) -> Result<()> {
        self.run_as(node, &[]).await
    }

    /// The same, with a shell's words before it, as in `ulimit -f 64;`.
    pub async fn run_as(&mut self, node: usize, before: &[&str]) -> Result<()> {
        let own = &self.nodes[node];
        let address = |to: &NodeUnderTest| match self.links.get(&(node, to.ordinal)) {
            Some(link) => format!("{}={}", to.ordinal, link.address()),
            None => format!("{}={}", to.ordinal, to.mesh),
        };
        let addresses: Vec<_> = self.nodes.iter().map(address).collect();
        std::fs::create_dir_all(&self.folder)?;
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.join(format!("{node}.log")))?;
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig=KILL", "--", "sh", "-c"])
            .arg(format!("{} exec \"$0\" \"$@\"", before.join(" ")))
            .arg(&self.binary)
            .args(["run", "--cluster", "demo", "--advertise", "127.0.0.1"])
            .args(["--node", &node.to_string(), "--nodes", &addresses.join(",")])
            .arg("--data")
            .arg(&own.data)
            .args(["--listen-clients", &own.clients.to_string()])
            .args(["--listen-leader", &own.leader.to_string()])
            .args(["--listen-mesh", &own.mesh.to_string()])
            .args(["--listen", &own.health.to_string()])
            .args(&self.more)
            .envs(
                self.environment
                    .iter()
                    .map(|(name, value)| (name, value.replace("{}", &node.to_string()))),
            )
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true);
        let process = command
            .spawn()
            .context("starting a node through setpriv (util-linux)")?;
        self.nodes[node].process = Some(process);
        eventually(PATIENCE, async || self.status(node).await.map(drop))
            .await
            .with_context(|| format!("node {node} does not answer; it has said:\n{}", self.said(node)))
    }

    /// `kill -9`, and waits for the end.
    pub async fn kill(&mut self, node: usize) -> Result<()> {
        if let Some(mut process) = self.nodes[node].process.take() {
            process.kill().await?;
        }
        Ok(())
    }

    /// Sends a signal, like `STOP`.
    pub async fn signal(&self, node: usize, signal: &str) -> Result<()> {
        let process = self.nodes[node].process.as_ref().context("it does not run")?;
        let id = process.id().context("it has ended by itself")?;
        let status = Command::new("kill")
            .args(["-s", signal, &id.to_string()])
            .status()
            .await?;
        ensure!(status.success(), "kill -s {signal}: {status}");
        Ok(())
    }

    /// SIGTERM, and waits for the end.
    pub async fn stop(&mut self, node: usize) -> Result<()> {
        if self.nodes[node].process.is_some() {
            self.signal(node, "TERM").await?;
        }
        if let Some(mut process) = self.nodes[node].process.take() {
            let status = timeout(PATIENCE, process.wait()).await??;
            ensure!(status.success(), "node {node}: {status}");
        }
        Ok(())
    }

    /// The exit of a process that ends by itself.
    pub async fn ended(&mut self, node: usize) -> Result<std::process::ExitStatus> {
        let process = self.nodes[node].process.as_mut().context("it does not run")?;
        Ok(timeout(PATIENCE, process.wait()).await??)
    }

    /// Cuts a node from all others, or mends that.
    pub async fn cut(&self, node: usize, link: Link) -> Result<()> {
        for ((from, to), proxy) in &self.links {
            if *from == node || *to == node {
                proxy.set(link).await?;
            }
        }
        Ok(())
    }

    /// Connections between a node and the others that whoever dialled has not closed.
    pub fn established(&self, node: usize) -> usize {
        let links = self.links.iter().filter(|((from, to), _)| *from == node || *to == node);
        links.map(|(_, proxy)| proxy.established()).sum()
    }

    /// `/status`.
    pub async fn status(&self, node: usize) -> Result<CounterStatus> {
        let answer = send(self.nodes[node].health, Method::GET, "/status", None).await?;
        serde_json::from_value(answer.ok()?).context("reading a status")
    }

    /// Waits until every node that runs hears all others and does not say that it is alone, as one may that started before them.
    pub async fn together(&self) -> Result<()> {
        eventually(PATIENCE, async || {
            for node in self.nodes.iter().filter(|node| node.process.is_some()) {
                let answer = send(node.health, Method::GET, "/status", None).await?.ok()?;
                let hears = |peer: &Value| peer["alive"] == true;
                let all = answer["peers"].as_array().context("no peers")?.iter().all(hears);
                ensure!(all && answer["alone"] == false, "{answer}");
            }
            Ok(())
        })
        .await
    }

    /// `/metrics`.
    pub async fn metrics(&self, node: usize) -> Result<String> {
        let answer = send(self.nodes[node].health, Method::GET, "/metrics", None).await?;
        ensure!(answer.status.is_success(), "{}: {}", answer.status, answer.text());
        Ok(answer.text())
    }

    /// The most memory a node's process has had, in MB.
    pub fn peak_mb(&self, node: usize) -> Result<f64> {
        let id = self.nodes[node]
            .process
            .as_ref()
            .and_then(Child::id)
            .context("it does not run")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes: f64 = line.context("no VmHWM")?.trim().trim_end_matches(" kB").parse()?;
        Ok(kilobytes / 1024.0)
    }

    /// What a node's process has said.
    pub fn said(&self, node: usize) -> String {
        std::fs::read_to_string(self.folder.join(format!("{node}.log"))).unwrap_or_default()
    }

    /// Any request to a node's port for clients.
    pub async fn ask(&self, node: usize, method: Method, path: &str, body: Option<&Value>) -> Result<Answer> {
        send(self.nodes[node].clients, method, path, body).await
    }

    /// GET at a node's leader API.
    pub async fn ask_leader(&self, node: usize, path: &str) -> Result<Answer> {
        send(self.nodes[node].leader, Method::GET, path, None).await
    }

    /// `POST /likes`, which has to succeed.
    pub async fn like(&self, node: usize, body: &Value) -> Result<Value> {
        self.ask(node, Method::POST, "/likes", Some(body)).await?.ok()
    }

    /// All totals of a node.
    pub async fn totals(&self, node: usize) -> Result<BTreeMap<String, i64>> {
        let (mut totals, mut after) = (BTreeMap::new(), String::new());
        loop {
            let path = format!("/totals?limit=1000&after={after}");
            let page = self.ask(node, Method::GET, &path, None).await?.ok()?;
            let page = page["totals"].as_array().context("no totals")?.clone();
            for total in &page {
                let id = total["id"].as_str().context("no id")?;
                totals.insert(id.to_owned(), total["total"].as_i64().context("no total")?);
                id.clone_into(&mut after);
            }
            if page.len() < 1000 {
                return Ok(totals);
            }
        }
    }

    /// Waits until all nodes that run have these totals and the same digest.
    pub async fn agree(&self, expected: &BTreeMap<String, i64>) -> Result<()> {
        let running = || self.nodes.iter().filter(|node| node.process.is_some());
        eventually(PATIENCE, async || {
            let mut digests = Vec::new();
            for node in running() {
                let totals = self.totals(node.ordinal).await?;
                let differs = expected.iter().filter(|(id, total)| totals.get(*id) != Some(total));
                let differs: Vec<_> = differs
                    .map(|(id, total)| format!("{id}: {:?}, not {total}", totals.get(id)))
                    .collect();
                ensure!(
                    totals.len() == expected.len() && differs.is_empty(),
                    "node {}: {differs:?}",
                    node.ordinal
                );
                digests.push(self.status(node.ordinal).await?.digest);
            }
            ensure!(
                digests.windows(2).all(|pair| pair[0] == pair[1]),
                "digests: {digests:?}"
            );
            Ok(())
        })
        .await
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for node in 0..self.nodes.len() {
                let said = self.said(node);
                let lines: Vec<_> = said.lines().collect();
                let last = &lines[lines.len().saturating_sub(15)..];
                eprintln!("node {node}, the end of its log:\n{}", last.join("\n"));
            }
        }
        for node in &mut self.nodes {
            drop(node.process.take());
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// One request on a connection of its own.
pub async fn send(address: SocketAddr, method: Method, path: &str, body: Option<&Value>) -> Result<Answer> {
    http::send(address, method, path, &[], body, ANSWER).await
}

/// One like, as a body.
pub fn like(id: &str, request: &str) -> Value {
    json!({"id": id, "by": "a test", "request": request})
}

/// Bytes of a folder's files that end so.
pub fn bytes_of(folder: &Path, end: &str) -> Result<u64> {
    let mut bytes = 0;
    for file in std::fs::read_dir(folder)? {
        let file = file?;
        if file.file_name().to_string_lossy().ends_with(end) {
            bytes += file.metadata()?.len();
        }
    }
    Ok(bytes)
}

/// Nobody else's while this process runs, so that it is still free when a killed node comes back.
fn free_address() -> Result<SocketAddr> {
    Ok(([127, 0, 0, 1], free_port()?).into())
}
