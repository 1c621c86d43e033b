//! A single-node Kafka, and a second broker for it.

mod broker;
mod node;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Message, Offset, TopicPartitionList};
use rustix::process::Signal;
use tokio::sync::OnceCell;

pub use broker::Broker;
use node::{Listener, Node, client};

use crate::authority::Certificate;
use crate::parts;
use crate::place::{self, Folder, PATIENCE};
use crate::ports;
use crate::process::Restartable;
use crate::proxy::Proxy;
use crate::role;
use crate::secured::{self, Secured};
use crate::wait::eventually;

/// How long Kafka may take to answer, on a machine that does other things as well.
const REQUEST: Duration = Duration::from_mins(1);
/// Of one that is never killed: a moment in which it gets nothing done does not cost its partitions their leader.
const LASTING: &str = "broker.session.timeout.ms=30000\n";

/// A running Kafka (KRaft, broker and controller in one); ended and removed on drop. Topics are not made by themselves, as in a SyncCluster.
#[derive(Debug)]
pub struct Kafka {
    process: Restartable,
    folder: Folder,
    jars: PathBuf,
    port: u16,
    controller: u16,
    proxies: Vec<(String, Proxy)>,
    secured: Option<Secured>,
}

/// What lies in a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
}

impl Kafka {
    /// One for all tests of this process; they keep apart by their topics' names. It cannot be killed: start one of your own for that.
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<Kafka> = OnceCell::const_new();
        SHARED.get_or_try_init(|| Self::start_as(&[], None, LASTING)).await
    }

    pub async fn start() -> Result<Self> {
        Self::start_with_proxies(&[]).await
    }

    /// One that can also be reached through proxies, one a name. A client that bootstraps at a proxy keeps to it: Kafka tells a client to go on
    /// at the address of the listener it came by, so each proxy has a listener of its own, advertised as the proxy's address.
    pub async fn start_with_proxies(names: &[&str]) -> Result<Self> {
        Self::start_as(names, None, "").await
    }

    /// One that is somebody else's: TLS with this certificate and SASL SCRAM at [`Kafka::secured`], with a Secret for it.
    pub async fn external(certificate: &Certificate, authority: &Path) -> Result<Self> {
        let kafka = Self::start_as(&[], Some(certificate), "").await?;
        kafka.secured()?.write(authority)?;
        kafka.change_password(&kafka.secured()?.password).await?;
        Ok(kafka)
    }

    /// `settings` stand behind a node's own, and so count in their place.
    async fn start_as(names: &[&str], certificate: Option<&Certificate>, settings: &str) -> Result<Self> {
        let (jars, version) = parts::kafka()?;
        let template = place::once(&format!("kafka-{version}-data"), async |to| {
            node::format(&jars, &Node::CONTROLLER, to).await
        })
        .await?;
        let folder = Folder::of_data("kafka")?;
        place::copy(&template, &folder.join("data")).await?;
        let (port, controller) = (ports::free_port()?, ports::free_port()?);
        let mut proxies = Vec::new();
        let mut listeners = vec![Listener::plain(port)];
        let mut secured = None;
        let mut more = settings.to_owned();
        if let Some(certificate) = certificate {
            let (at, store) = (ports::free_port()?, folder.join("store.pem"));
            secured::write_store(certificate, &store)?;
            listeners.push(Listener {
                name: "SECURED".into(),
                port: at,
                advertised: at,
                protocol: "SASL_SSL",
            });
            let this = secured.insert(Secured {
                port: at,
                secret: folder.join("secret"),
                password: role::password(),
            });
            more += &this.properties(&store);
        }
        for (number, name) in names.iter().enumerate() {
            let behind = ports::free_port()?;
            let proxy = Proxy::start(([127, 0, 0, 1], behind).into()).await?;
            listeners.push(Listener {
                name: format!("PROXY{number}"),
                port: behind,
                advertised: proxy.address().port(),
                protocol: "PLAINTEXT",
            });
            proxies.push(((*name).to_owned(), proxy));
        }
        fs::write(
            folder.join(node::PROPERTIES),
            Node::CONTROLLER.properties(&folder.join("data"), controller, &listeners) + &more,
        )?;
        let mut kafka = Self {
            process: Restartable::default(),
            folder,
            jars,
            port,
            controller,
            proxies,
            secured,
        };
        kafka.restart().await?;
        Ok(kafka)
    }

    /// `host:port`, past the proxies.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where and how somebody else's is spoken to.
    pub fn secured(&self) -> Result<&Secured> {
        self.secured
            .as_ref()
            .context("Kafka was started without a secured listener")
    }

    /// Gives the user of a secured one another password; the Secret is not touched.
    pub async fn change_password(&self, password: &str) -> Result<()> {
        secured::change_password(&self.jars, &self.bootstrap(), password).await
    }

    /// The proxy that was asked for at the start.
    pub fn proxy(&self, name: &str) -> Result<&Proxy> {
        self.proxies
            .iter()
            .find(|(of, _)| of == name)
            .map(|(_, proxy)| proxy)
            .with_context(|| format!("Kafka was started without a proxy {name:?}"))
    }

    /// As Kubernetes ends a pod.
    pub async fn stop(&mut self) -> Result<()> {
        self.process.stop(Signal::TERM).await
    }

    /// `kill -9`; `restart` recovers it.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.kill().await
    }

    /// Stops it if it runs, and starts it at the same addresses with the same data.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop().await?;
        node::start(&mut self.process, &self.jars, &self.folder, self.port).await
    }

    /// A second broker of this Kafka, which can be killed while this one, with the controller, goes on.
    pub async fn add_broker(&self) -> Result<Broker> {
        Broker::start(&self.jars, self.controller).await
    }

    /// Makes a topic with one partition, and waits until clients find it; `config` holds pairs such as `("cleanup.policy", "compact")`.
    pub async fn create_topic(&self, name: &str, config: &[(&str, &str)]) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = client(self.port).create()?;
        let topic = config.iter().fold(
            NewTopic::new(name, 1, TopicReplication::Fixed(1)),
            |topic, (key, value)| topic.set(key, value),
        );
        for made in admin
            .create_topics([&topic], &AdminOptions::new().operation_timeout(Some(REQUEST)))
            .await?
        {
            made.map_err(|(topic, code)| anyhow::anyhow!("creating topic {topic}: {code}"))?;
        }
        // The controller has made it, and the broker hears of that later.
        eventually(PATIENCE, async || {
            let (port, topic) = (self.port, name.to_owned());
            tokio::task::spawn_blocking(move || is_there(port, &topic)).await?
        })
        .await
    }

    /// Writes one record, acknowledged; `None` is a tombstone.
    pub async fn send(&self, topic: &str, key: &str, value: Option<&str>) -> Result<i64> {
        let producer: FutureProducer = client(self.port).set("acks", "all").create()?;
        let mut record = FutureRecord::to(topic).partition(0).key(key);
        record.payload = value;
        Ok(producer.send(record, REQUEST).await.map_err(|(error, _)| error)?.offset)
    }

    /// All records that are in partition 0 of the topic now, read as a consumer that leaves out aborted transactions.
    pub async fn records(&self, topic: &str) -> Result<Vec<Record>> {
        let (port, topic) = (self.port, topic.to_owned());
        tokio::task::spawn_blocking(move || read_all(port, &topic)).await?
    }
}

fn is_there(port: u16, topic: &str) -> Result<()> {
    let consumer: BaseConsumer = client(port).create()?;
    Ok(consumer.fetch_watermarks(topic, 0, REQUEST).map(drop)?)
}

fn read_all(port: u16, topic: &str) -> Result<Vec<Record>> {
    let consumer: BaseConsumer = client(port)
        .set("group.id", "harness")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()?;
    let known = consumer.fetch_metadata(Some(topic), REQUEST)?;
    ensure!(
        known.topics().iter().any(|t| t.name() == topic && t.error().is_none()),
        "there is no topic {topic}"
    );
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(topic, 0, Offset::Beginning)?;
    consumer.assign(&from)?;
    // Up to where it ends now: the end of one that is written to is never reached.
    let (_, end) = consumer.fetch_watermarks(topic, 0, REQUEST)?;
    let mut records = Vec::new();
    loop {
        match consumer.poll(REQUEST) {
            Some(Ok(message)) if message.offset() >= end => return Ok(records),
            Some(Ok(message)) => records.push(Record {
                offset: message.offset(),
                key: message.key().map(<[u8]>::to_vec),
                value: message.payload().map(<[u8]>::to_vec),
            }),
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => return Ok(records),
            Some(Err(error)) => return Err(error).with_context(|| format!("reading {topic}")),
            None => bail!("reading {topic}: nothing within {REQUEST:?}, not even its end"),
        }
    }
}
