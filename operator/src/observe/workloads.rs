//! Asks connectors, sinks and counter nodes for their status by pod IP, and dials Kafka.

use std::net::SocketAddr;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _, stream};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::Method;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use synccluster_protocol::status::{AnalyticsStatus, ConnectorStatus, CounterStatus, Dial, SinkStatus};
use synccluster_protocol::{ClusterName, Site};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::pods::{self, PodFact};
use crate::names::{self, Component};
use crate::plan::{HTTP_PORT, KAFKA_PORT};
use crate::validate::ValidatedCluster;

const LIMIT: Duration = Duration::from_secs(2);
const CONCURRENCY: usize = 32;
const MAX_BODY: usize = 1 << 20;

/// Why a workload could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum Unseen {
    /// There is none.
    #[error("no pod runs")]
    NoPod,
    /// It did not answer in time.
    #[error("no answer within {} s", LIMIT.as_secs())]
    Timeout,
    /// It could not be reached.
    #[error("{0}")]
    Connect(#[from] std::io::Error),
    /// It did not speak HTTP.
    #[error("{0}")]
    Http(#[from] hyper::Error),
    /// It refused.
    #[error("status {0}")]
    Status(hyper::StatusCode),
    /// Its answer is too long, or broke off.
    #[error("{0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    /// Its answer is not what this version of the operator understands.
    #[error("its answer cannot be understood ({0}): do operator and workloads have the same version?")]
    Json(#[from] serde_json::Error),
    /// The address belongs to another pod by now.
    #[error("another workload answered")]
    Other,
}

/// What a workload says.
pub enum Answer {
    /// A connector.
    Connector(Box<ConnectorStatus>),
    /// A sink.
    Sink(Box<SinkStatus>),
}

/// Asks all connectors and sinks.
pub async fn ask(cluster: &ValidatedCluster, facts: &[PodFact]) -> Vec<(Site, Component, Result<Answer, Unseen>)> {
    let all = cluster
        .sites()
        .flat_map(|site| [(site, Component::Connector), (site, Component::Sink)]);
    let questions = all.map(|(site, component)| {
        async move {
            let pod = pods::of_site(facts, site, component);
            let answer = match pod.and_then(|pod| pod.ip.as_deref()) {
                Some(ip) => timeout(LIMIT, ask_one(&cluster.name, site, component, ip))
                    .await
                    .unwrap_or(Err(Unseen::Timeout)),
                None => Err(Unseen::NoPod),
            };
            (site, component, answer)
        }
        .boxed()
    });
    let questions: Vec<_> = questions.collect();
    stream::iter(questions).buffer_unordered(CONCURRENCY).collect().await
}

/// Asks all counter nodes; those on their way out to the end.
pub async fn ask_counters(cluster: &ValidatedCluster, pods: &[PodFact]) -> Vec<(u16, Result<CounterStatus, Unseen>)> {
    let questions = cluster.all_counters().map(|node| async move {
        let name = names::counter_pod(&cluster.name, node);
        let leaves = cluster.leaving_counters().contains(&node);
        let pod = pods.iter().find(|pod| pod.name == name && (leaves || !pod.terminating));
        let answer = match pod.and_then(|pod| pod.ip.as_deref()) {
            Some(ip) => timeout(LIMIT, get::<CounterStatus>(ip))
                .await
                .unwrap_or(Err(Unseen::Timeout)),
            None => Err(Unseen::NoPod),
        };
        let same = |status: &CounterStatus| (&status.cluster, status.node) == (&cluster.name, node);
        (
            node,
            answer.and_then(|status| if same(&status) { Ok(status) } else { Err(Unseen::Other) }),
        )
    });
    futures::future::join_all(questions).await
}

/// Asks what fills ClickHouse, if there is one.
pub async fn ask_analytics(cluster: &ValidatedCluster, pods: &[PodFact]) -> Option<Result<AnalyticsStatus, Unseen>> {
    cluster.analytics.as_ref()?;
    let pod = pods
        .iter()
        .find(|pod| pod.component == Component::Analytics && !pod.terminating);
    let answer = match pod.and_then(|pod| pod.ip.as_deref()) {
        Some(ip) => timeout(LIMIT, get::<AnalyticsStatus>(ip))
            .await
            .unwrap_or(Err(Unseen::Timeout)),
        None => Err(Unseen::NoPod),
    };
    let same = |status: &AnalyticsStatus| status.cluster == cluster.name;
    Some(answer.and_then(|status| if same(&status) { Ok(status) } else { Err(Unseen::Other) }))
}

async fn ask_one(cluster: &ClusterName, site: Site, component: Component, ip: &str) -> Result<Answer, Unseen> {
    if component == Component::Sink {
        let status: SinkStatus = get(ip).await?;
        let same = (&status.cluster, status.site) == (cluster, site);
        return if same {
            Ok(Answer::Sink(Box::new(status)))
        } else {
            Err(Unseen::Other)
        };
    }
    let status: ConnectorStatus = get(ip).await?;
    let same = (&status.cluster, status.site) == (cluster, site);
    if same {
        Ok(Answer::Connector(Box::new(status)))
    } else {
        Err(Unseen::Other)
    }
}

async fn get<T: DeserializeOwned>(ip: &str) -> Result<T, Unseen> {
    let answer = exchange(ip, Method::GET, "/status", Vec::new()).await?;
    Ok(serde_json::from_slice(&answer)?)
}

/// Tells a workload something.
pub async fn put(ip: &str, path: &'static str, what: &impl Serialize) -> Result<(), Unseen> {
    let body = serde_json::to_vec(what)?;
    timeout(LIMIT, exchange(ip, Method::PUT, path, body))
        .await
        .unwrap_or(Err(Unseen::Timeout))
        .map(drop)
}

async fn exchange(ip: &str, method: Method, path: &'static str, body: Vec<u8>) -> Result<Bytes, Unseen> {
    let stream = TcpStream::connect((ip, HTTP_PORT)).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = hyper::Request::builder()
        .method(method)
        .uri(path)
        .header(hyper::header::HOST, ip)
        .header(hyper::header::CONTENT_TYPE, "application/json")
        .header(hyper::header::CONNECTION, "close");
    let request = request
        .body(Full::new(Bytes::from(body)))
        .map_err(|e| Unseen::Body(e.into()))?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        if !response.status().is_success() {
            return Err(Unseen::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), MAX_BODY)
            .collect()
            .await
            .map_err(Unseen::Body)?;
        Ok(body.to_bytes())
    };
    // The connection makes progress only while it is polled; it ends with the answer because of `Connection: close`.
    tokio::select! {
        biased;
        answer = exchange => answer,
        Err(broken) = connection => Err(broken.into()),
    }
}

/// Whether any broker accepts a connection of the operator's.
pub async fn dial_kafka(cluster: &ValidatedCluster, pods: &[PodFact]) -> Dial {
    let brokers: Vec<String> = match &cluster.kafka.external {
        Some(external) => external.bootstrap_servers.split(',').map(str::to_owned).collect(),
        None => pods
            .iter()
            .filter(|pod| pod.component == Component::Kafka && !pod.terminating)
            .filter_map(|pod| Some(SocketAddr::new(pod.ip.as_ref()?.parse().ok()?, KAFKA_PORT).to_string()))
            .collect(),
    };
    let dials = brokers.iter().map(|broker| async move {
        match timeout(LIMIT, TcpStream::connect(broker)).await {
            Ok(Ok(_)) => Dial::Open,
            Ok(Err(e)) if e.kind() == std::io::ErrorKind::ConnectionRefused => Dial::Refused,
            Ok(Err(_)) | Err(_) => Dial::Blocked,
        }
    });
    let dials = futures::future::join_all(dials).await;
    [Dial::Open, Dial::Refused, Dial::Blocked]
        .into_iter()
        .find(|dial| dials.contains(dial))
        .unwrap_or_default()
}
