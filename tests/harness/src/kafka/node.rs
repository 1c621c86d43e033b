//! One process of Kafka: its properties, its storage, its start.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::sleep;

use super::REQUEST;
use crate::place::{self, Folder, PATIENCE};
use crate::ports;
use crate::process::{End, Process, Restartable};

/// The file of a node's folder that it is started with.
pub const PROPERTIES: &str = "server.properties";

const JAVA: [&str; 3] = [
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dorg.apache.logging.log4j.level=WARN",
];

/// Where a node listens, and where its clients are told to go on.
pub struct Listener {
    pub name: String,
    pub port: u16,
    pub advertised: u16,
    pub protocol: &'static str,
}

impl Listener {
    /// Where a node and its clients speak in the clear.
    pub fn plain(port: u16) -> Self {
        Self {
            name: "PLAINTEXT".into(),
            port,
            advertised: port,
            protocol: "PLAINTEXT",
        }
    }
}

/// Which node of a Kafka it is.
pub struct Node {
    id: u8,
    controls: bool,
}

impl Node {
    /// The first, which is the controller too.
    pub const CONTROLLER: Self = Self { id: 1, controls: true };
    /// One that only holds partitions.
    pub const BROKER: Self = Self { id: 2, controls: false };

    /// `controller` is the port of the first node's controller. Without the shorter session a broker that was killed waits nine seconds for its
    /// former self to expire.
    pub fn properties(&self, data: &Path, controller: u16, listeners: &[Listener]) -> String {
        let each = |show: &dyn Fn(&Listener) -> String| listeners.iter().map(show).collect::<Vec<_>>().join(",");
        let (roles, more) = if self.controls {
            ("broker,controller", format!(",CONTROLLER://127.0.0.1:{controller}"))
        } else {
            ("broker", String::new())
        };
        format!(
            "process.roles={roles}
node.id={}
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listeners={}{more}
advertised.listeners={}
listener.security.protocol.map={},CONTROLLER:PLAINTEXT
log.dirs={}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=250
log.cleaner.dedupe.buffer.size=4194304
",
            self.id,
            each(&|l| format!("{}://127.0.0.1:{}", l.name, l.port)),
            each(&|l| format!("{}://127.0.0.1:{}", l.name, l.advertised)),
            each(&|l| format!("{}:{}", l.name, l.protocol)),
            data.display(),
        )
    }
}

/// Formats a node's storage; that takes a Java of its own, two seconds.
pub async fn format(jars: &Path, node: &Node, to: &Path) -> Result<()> {
    let folder = Folder::new("format")?;
    let file = folder.join(PROPERTIES);
    fs::write(&file, node.properties(to, 1, &[Listener::plain(2)]))?;
    let mut java = Command::new("java");
    java.args(JAVA)
        .arg("-cp")
        .arg(jars.join("*"))
        .args([
            "kafka.tools.StorageTool",
            "format",
            "-t",
            "c3luY2NsdXN0ZXItdGVzdA",
            "-c",
        ])
        .arg(&file);
    place::run(&mut java).await.context("formatting Kafka's storage")
}

/// Starts the node of this folder, which has its properties, and waits until it answers.
pub async fn start(process: &mut Restartable, jars: &Path, folder: &Folder, port: u16) -> Result<()> {
    let name = jars.file_name().unwrap_or_default().to_string_lossy();
    let classes = place::once(&format!("{name}-classes"), async |to| archive(jars, to).await).await?;
    run(process, jars, folder, port, &option("SharedArchiveFile", &classes)).await
}

/// Keeps what Java made of the classes of a node that has started: with it every further one starts in 1.3 instead of 2.3 seconds. A Java that
/// cannot use it goes without.
async fn archive(jars: &Path, to: &Path) -> Result<()> {
    let folder = Folder::new("classes")?;
    let data = folder.join("data");
    format(jars, &Node::CONTROLLER, &data).await?;
    let (port, controller) = (ports::free_port()?, ports::free_port()?);
    let properties = Node::CONTROLLER.properties(&data, controller, &[Listener::plain(port)]);
    fs::write(folder.join(PROPERTIES), properties)?;
    let mut process = Restartable::default();
    run(&mut process, jars, &folder, port, &option("ArchiveClassesAtExit", to)).await?;
    process.stop(Signal::TERM).await
}

fn option(name: &str, path: &Path) -> String {
    format!("-XX:{name}={}", path.display())
}

async fn run(process: &mut Restartable, jars: &Path, folder: &Folder, port: u16, classes: &str) -> Result<()> {
    let (properties, log) = (folder.join(PROPERTIES), folder.join("log"));
    let started = Process::spawn("kafka", None, End::Kill, &log, Path::new("java"), |command| {
        command
            .args(JAVA)
            .args(["-Xmx256m", classes, "-cp"])
            .arg(jars.join("*"))
            .arg("kafka.Kafka")
            .arg(&properties);
    })?;
    answering(process.started(started), port).await
}

/// A client of the node at this port.
pub fn client(port: u16) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", format!("127.0.0.1:{port}"))
        .set("broker.address.family", "v4");
    config
}

async fn answering(process: &mut Process, port: u16) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        process.check()?;
        // A dial first: librdkafka backs off from a port that refuses.
        if TcpStream::connect(("127.0.0.1", port)).await.is_ok()
            && tokio::task::spawn_blocking(move || has_broker(port)).await?
        {
            return Ok(());
        }
        sleep(Duration::from_millis(50)).await;
    }
    bail!("Kafka did not answer within {PATIENCE:?}")
}

fn has_broker(port: u16) -> bool {
    let consumer: rdkafka::error::KafkaResult<BaseConsumer> = client(port).create();
    consumer
        .and_then(|consumer| consumer.fetch_metadata(None, REQUEST))
        .is_ok_and(|metadata| !metadata.brokers().is_empty())
}
