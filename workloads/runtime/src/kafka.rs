//! How workloads talk to Kafka: rdkafka, held to a small memory; over TLS and SASL where the Kafka is somebody else's and its Secret says so.
//!
//! A Secret is read anew for every client that is made, and looked at all the while: kubelet changes the mounted files, and a session over
//! credentials that are no longer what the files say is ended ([`Kafka::turned`]), so that the next begins with the new ones.

mod certificate;
mod refusal;
pub mod security;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rdkafka::{ClientConfig, error::KafkaError};
use tokio::time;

pub use refusal::Refused;
pub use security::Security;

/// Between two looks at the files of the Secret.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Looks between two questions whether the brokers still take what the files say: a password may be changed at the broker first.
const LOOKS_PER_CHECK: u32 = 10;
/// The port of a bootstrap server that names none.
const DEFAULT_PORT: u16 = 9092;

/// Where Kafka is, and how it is spoken to.
#[derive(Clone, Debug)]
pub struct Kafka {
    bootstrap_servers: Arc<str>,
    ports: Arc<[u16]>,
    access: Access,
}

#[derive(Clone)]
enum Access {
    /// Anybody may.
    Open,
    /// As the files of this folder say, whenever they are read.
    Folder(Arc<Path>),
    /// As was read once.
    Known(Arc<Security>),
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Folder(_) => "by a folder",
            Self::Known(_) => "known",
        })
    }
}

/// Why a session has to end although its link is fine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turned {
    /// The Secret says something else.
    Renewed,
    /// The brokers do not take what it says.
    Refused(Refused),
}

/// What a process is told of Kafka, by flag or environment.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Kafka, as host:port; several with commas.
    #[arg(long, env = "KAFKA_BOOTSTRAP_SERVERS")]
    pub bootstrap_servers: String,
    /// The rest.
    #[command(flatten)]
    pub more: More,
}

impl Arguments {
    /// The Kafka.
    pub fn kafka(&self) -> Kafka {
        self.more.kafka(&self.bootstrap_servers)
    }
}

/// What a process is told of a Kafka that is somebody else's.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct More {
    /// Folder with ca.crt (TLS), username and password and perhaps mechanism (SASL), tls.crt and tls.key (a certificate of our own), as a
    /// Secret is mounted; each pair may be missing. Changed files are taken over while running.
    #[arg(long, env = "KAFKA_SECRET")]
    pub kafka_secret: Option<PathBuf>,
    /// Ports at which brokers are reached, beside those of the bootstrap servers.
    #[arg(long, env = "KAFKA_PORTS", value_delimiter = ',')]
    pub kafka_ports: Vec<u16>,
}

impl More {
    /// The Kafka at these addresses.
    pub fn kafka(&self, bootstrap_servers: &str) -> Kafka {
        let access = match &self.kafka_secret {
            Some(folder) => Access::Folder(folder.as_path().into()),
            None => Access::Open,
        };
        Kafka::new(bootstrap_servers, access, &self.kafka_ports)
    }
}

impl From<&str> for Kafka {
    /// One that asks nobody who he is.
    fn from(bootstrap_servers: &str) -> Self {
        Self::new(bootstrap_servers, Access::Open, &[])
    }
}

impl From<&String> for Kafka {
    fn from(bootstrap_servers: &String) -> Self {
        bootstrap_servers.as_str().into()
    }
}

impl From<String> for Kafka {
    fn from(bootstrap_servers: String) -> Self {
        bootstrap_servers.as_str().into()
    }
}

impl Kafka {
    fn new(bootstrap_servers: &str, access: Access, more_ports: &[u16]) -> Self {
        let port = |server: &str| server.rsplit_once(':')?.1.parse().ok();
        let named = bootstrap_servers.split(',');
        let mut ports: Vec<u16> = named
            .map(|server| port(server.trim()).unwrap_or(DEFAULT_PORT))
            .collect();
        ports.extend(more_ports);
        ports.sort_unstable();
        ports.dedup();
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            ports: ports.into(),
            access,
        }
    }

    /// One whose Secret was read already; it is not looked at again.
    pub fn secured(bootstrap_servers: &str, security: Option<Security>) -> Self {
        let access = security.map_or(Access::Open, |known| Access::Known(Arc::new(known)));
        Self::new(bootstrap_servers, access, &[])
    }

    /// `host:port`, with commas.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// Each `host:port`.
    pub fn servers(&self) -> impl Iterator<Item = &str> {
        self.bootstrap_servers.split(',').map(str::trim)
    }

    /// The ports at which brokers are reached.
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// What the Secret says now; nothing where Kafka asks for nothing.
    pub fn security(&self) -> Result<Option<Security>, security::Error> {
        match &self.access {
            Access::Open => Ok(None),
            Access::Folder(folder) => Security::read(folder).map(Some),
            Access::Known(known) => Ok(Some(Security::clone(known))),
        }
    }

    /// What every client has. The limits keep a workload within its 48 MB; reconnects are quick, because a healed link should be used at once.
    pub fn client_config(&self, client_id: &str) -> Result<ClientConfig, KafkaError> {
        let security = self
            .security()
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &*self.bootstrap_servers)
            .set("client.id", client_id)
            .set("socket.keepalive.enable", "true")
            // As Kafka's own clients have it. With librdkafka's 30 s, whoever dials into a cut notices its end up to half a minute late.
            .set("socket.connection.setup.timeout.ms", "10000")
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "1000")
            .set("topic.metadata.refresh.interval.ms", "60000")
            .set("log.connection.close", "false");
        for (name, value) in security.iter().flat_map(Security::settings) {
            config.set(name, value);
        }
        Ok(config)
    }

    /// A producer that loses and reorders nothing.
    pub fn producer_config(&self, client_id: &str) -> Result<ClientConfig, KafkaError> {
        let mut config = self.client_config(client_id)?;
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", "lz4")
            .set("linger.ms", "2")
            .set("batch.size", "262144")
            .set("queue.buffering.max.kbytes", "8192")
            .set("queue.buffering.max.messages", "20000");
        Ok(config)
    }

    /// A consumer that keeps its own progress.
    pub fn consumer_config(&self, client_id: &str) -> Result<ClientConfig, KafkaError> {
        let mut config = self.client_config(client_id)?;
        config
            .set("group.id", client_id)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "earliest")
            .set("enable.partition.eof", "false")
            .set("fetch.wait.max.ms", "100")
            .set("queued.max.messages.kbytes", "4096")
            // The queue is small and soon empty again; librdkafka would look after a second only.
            .set("fetch.queue.backoff.ms", "5")
            .set("fetch.message.max.bytes", "1048576");
        Ok(config)
    }

    /// Asks the brokers whether they take what the Secret says; `Err` with their reason, or with what the Secret lacks. A Kafka that asks for
    /// nothing, or that cannot be reached, refuses nothing.
    pub async fn check(&self) -> Result<(), Refused> {
        match self.access {
            Access::Open => Ok(()),
            Access::Folder(_) | Access::Known(_) => refusal::check(self).await,
        }
    }

    /// Returns when the files say something else than at the call, that can be used.
    pub async fn renewed(&self) {
        let before = self.security().ok().flatten();
        loop {
            time::sleep(LOOK_EVERY).await;
            if self.differs(before.as_ref()) {
                return;
            }
        }
    }

    /// Returns when sessions have to begin anew: the files say something else, or the brokers do not take any more what they say.
    pub async fn turned(&self) -> Turned {
        let Access::Folder(_) = self.access else {
            return std::future::pending().await;
        };
        let before = self.security().ok().flatten();
        for look in 1_u32.. {
            time::sleep(LOOK_EVERY).await;
            let refused = if look.is_multiple_of(LOOKS_PER_CHECK) {
                self.check().await.err()
            } else {
                None
            };
            // First what was changed: the question may have been asked with what is no longer so.
            if self.differs(before.as_ref()) {
                return Turned::Renewed;
            }
            if let Some(refused) = refused {
                return Turned::Refused(refused);
            }
        }
        std::future::pending().await
    }

    /// Files that are half there are waited for: what runs with the former ones goes on.
    fn differs(&self, before: Option<&Security>) -> bool {
        self.security().is_ok_and(|now| now.is_some() && now.as_ref() != before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ports_are_those_of_the_addresses_and_more() {
        let more = More {
            kafka_secret: None,
            kafka_ports: vec![9095, 9093],
        };
        let kafka = more.kafka("a:9093, b:9094,[::1]:9096,c");
        assert_eq!(kafka.ports(), [9092, 9093, 9094, 9095, 9096]);
        assert_eq!(
            kafka.servers().collect::<Vec<_>>(),
            ["a:9093", "b:9094", "[::1]:9096", "c"]
        );
    }

    #[test]
    fn a_kafka_that_asks_for_nothing_is_spoken_to_in_the_clear() {
        let config = Kafka::from("a:9092").consumer_config("me").unwrap();
        assert_eq!(config.get("security.protocol"), None);
        assert_eq!(config.get("group.id"), Some("me"));
    }

    #[test]
    fn a_folder_that_lacks_something_is_said_instead_of_a_client() {
        let more = More {
            kafka_secret: Some("/nowhere".into()),
            kafka_ports: Vec::new(),
        };
        let error = more.kafka("a:9092").client_config("me").unwrap_err().to_string();
        assert!(error.contains("/nowhere"), "{error}");
    }
}
