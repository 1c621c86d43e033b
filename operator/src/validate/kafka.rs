//! Where Kafka is, if it is somebody else's.

use std::collections::BTreeSet;

use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use k8s_openapi::jiff::Timestamp;
use synccluster_runtime::kafka::{Kafka, Security, security};

use super::Error;
use crate::api::ExternalKafka;

/// What was found of the Secret.
pub type Found = Option<Result<Security, security::Error>>;

/// A Kafka that is somebody else's.
#[derive(Clone, Debug, PartialEq)]
pub struct External {
    /// `host:port`, with commas.
    pub bootstrap_servers: String,
    /// Every port at which brokers are.
    pub ports: BTreeSet<u16>,
    /// Those that are not in the addresses.
    pub more_ports: Vec<u16>,
    /// Where pods are let out to; empty: anywhere.
    pub peers: Vec<NetworkPolicyPeer>,
    /// The Secret, if it asks for something, and what it says.
    pub secret: Option<(String, Access)>,
}

/// What the Secret says.
#[derive(Clone, Debug, PartialEq)]
pub enum Access {
    /// There is none.
    Missing,
    /// It cannot be used, and what to do.
    Wrong(String),
    /// This.
    Given(Security),
}

/// The external Kafka, if there is one.
pub fn external(written: Option<&ExternalKafka>, found: Found) -> Result<Option<External>, Error> {
    let Some(written) = written else { return Ok(None) };
    let wrong = || Error::Format {
        field: "kafka.external.bootstrapServers",
        value: written.bootstrap_servers.clone(),
        expected: "host:port, several with commas, such as kafka-0.example.com:9093",
    };
    let servers = written.bootstrap_servers.split(',');
    let port = |server: &str| server.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    let mut ports = servers
        .map(|server| port(server).filter(|port| *port > 0).ok_or_else(wrong))
        .collect::<Result<BTreeSet<_>, _>>()?;
    let more_ports = written
        .ports
        .iter()
        .map(|port| super::range("kafka.external.ports", *port, 1..=65535, "between 1 and 65535"))
        .collect::<Result<Vec<u16>, _>>()?;
    ports.extend(&more_ports);
    let access = || match found {
        None => Access::Missing,
        Some(Ok(security)) => Access::Given(security),
        Some(Err(error)) => Access::Wrong(error.to_string()),
    };
    Ok(Some(External {
        bootstrap_servers: written.bootstrap_servers.clone(),
        ports,
        more_ports,
        peers: written.peers.clone(),
        secret: written.secret.clone().map(|secret| (secret, access())),
    }))
}

impl External {
    /// To speak to; nothing while its Secret says nothing that can be used.
    pub fn kafka(&self) -> Option<Kafka> {
        let security = match &self.secret {
            None => None,
            Some((_, Access::Given(security))) => Some(security.clone()),
            Some((_, Access::Missing | Access::Wrong(_))) => return None,
        };
        Some(Kafka::secured(&self.bootstrap_servers, security))
    }

    /// Whether pods would wait in vain for what they mount.
    pub fn secret_is_missing(&self) -> bool {
        matches!(self.secret, Some((_, Access::Missing)))
    }

    /// What is wrong with the Secret, and what to do: a reason and a message.
    pub fn problem(&self, namespace: &str, now: Timestamp) -> Option<(&'static str, String)> {
        let (name, access) = self.secret.as_ref()?;
        match access {
            Access::Missing => Some((
                "KafkaSecretNotFound",
                format!(
                    "Secret {name} does not exist in namespace {namespace}: create it with ca.crt, username and password as the brokers ask for, or \
                     correct spec.kafka.external.secret; new workloads wait for it, those that run go on"
                ),
            )),
            Access::Wrong(why) => Some((
                "KafkaSecretInvalid",
                format!("Secret {name}: {why}; what runs goes on with what it had"),
            )),
            Access::Given(security) => {
                let expired = security.expired(now.as_millisecond())?;
                let at = Timestamp::from_millisecond(expired.at).ok()?;
                Some((
                    "KafkaCertificateExpired",
                    format!(
                        "Secret {name}: the certificate in {} expired at {at}: put a new one there; it is taken over without a restart",
                        expired.key
                    ),
                ))
            }
        }
    }
}
