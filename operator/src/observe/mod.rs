//! Step 5: measure. Pods from the API server, `/status` from every connector and sink, a dial of the operator's own to Kafka, and what leads to the gateway.
//! What cannot be seen is said to be unseen, with the reason; nothing is filled in.

pub mod gateway;
pub mod pods;
mod workloads;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, ListParams};
use synccluster_protocol::Site;
use synccluster_protocol::status::{AnalyticsStatus, ConnectorStatus, CounterStatus, Dial, SinkStatus};

use crate::apply::Outcome;
use crate::external::ServerFact;
use crate::names::{self, Component};
use crate::plan::Objects;
use crate::topics::TopicFact;
use crate::validate::ValidatedCluster;
pub use gateway::{Exposure, Route};
pub use pods::{PodFact, Problem};
pub use workloads::{Unseen, put};

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
#[error("cannot list pods in namespace {namespace}: {source}")]
pub struct Error {
    namespace: String,
    source: Box<kube::Error>,
}

/// What was measured, just now. What workloads say carries its own times.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// The pods of the cluster.
    pub pods: Vec<PodFact>,
    /// What each connector that answered says.
    pub connectors: BTreeMap<Site, ConnectorStatus>,
    /// What each sink that answered says.
    pub sinks: BTreeMap<Site, SinkStatus>,
    /// Why the others did not answer.
    pub unseen: BTreeMap<(Site, Component), String>,
    /// What each counter node that answered says.
    pub counters: BTreeMap<u16, CounterStatus>,
    /// Why the other nodes did not answer.
    pub unseen_counters: BTreeMap<u16, String>,
    /// What fills ClickHouse says this.
    pub analytics: Option<AnalyticsStatus>,
    /// Why it did not answer.
    pub unseen_analytics: Option<String>,
    /// Whether the operator itself reaches Kafka: the positive control of every cut.
    pub kafka: Dial,
    /// What leads to the gateway from outside.
    pub exposure: Exposure,
    /// The topics of the sites, and what was just done about them.
    pub topics: Vec<TopicFact>,
    /// Names of all topics of this cluster that are there.
    pub made_topics: Vec<String>,
    /// Why they could not be looked at.
    pub unseen_topics: Option<String>,
    /// Why the brokers do not take what the Secret of a Kafka says that is somebody else's.
    pub kafka_refused: Option<String>,
    /// The server's Postgres, if it is somebody else's.
    pub server: Option<ServerFact>,
    /// What became of the plan.
    pub outcome: Outcome,
}

/// Measures.
pub async fn observe(
    client: &Client,
    cluster: &ValidatedCluster,
    objects: &Objects,
    outcome: Outcome,
    now: Timestamp,
) -> Result<Observed, Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), &cluster.namespace);
    let labelled = ListParams::default()
        .labels(&names::cluster_selector(&cluster.name))
        .match_any();
    let list = api.list(&labelled).await;
    let list = list.map_err(|source| Error {
        namespace: cluster.namespace.clone(),
        source: Box::new(source),
    })?;
    let templates = objects.templates();
    let pods: Vec<PodFact> = list
        .items
        .into_iter()
        .filter_map(|pod| pods::fact(&pod, &templates, now))
        .collect();
    let (kafka, answers, nodes, analytics, exposure) = tokio::join!(
        workloads::dial_kafka(cluster, &pods),
        workloads::ask(cluster, &pods),
        workloads::ask_counters(cluster, &pods),
        workloads::ask_analytics(cluster, &pods),
        gateway::observe(client, cluster)
    );
    let mut observed = Observed {
        pods,
        kafka,
        exposure,
        outcome,
        ..Observed::default()
    };
    for (site, component, answer) in answers {
        match answer {
            Ok(workloads::Answer::Connector(status)) => _ = observed.connectors.insert(site, *status),
            Ok(workloads::Answer::Sink(status)) => _ = observed.sinks.insert(site, *status),
            Err(unseen) => _ = observed.unseen.insert((site, component), unseen.to_string()),
        }
    }
    match analytics {
        Some(Ok(status)) => observed.analytics = Some(status),
        Some(Err(unseen)) => observed.unseen_analytics = Some(unseen.to_string()),
        None => {}
    }
    for (node, answer) in nodes {
        match answer {
            Ok(status) => _ = observed.counters.insert(node, status),
            Err(unseen) => _ = observed.unseen_counters.insert(node, unseen.to_string()),
        }
    }
    Ok(observed)
}
