//! What the gateway is told, by flag or environment.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use axum::http::HeaderName;
use clap::ValueEnum;
use synccluster_protocol::ClusterName;
use synccluster_runtime::kafka;

use crate::{
    access::{self, Access, Identity},
    app::{App, Shared},
    counters::{Counters, node::Address, window::Counted},
    kubernetes::Kubernetes,
    sites::{self, Sites},
};

/// Why the gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The sites are not known.
    #[error(transparent)]
    Sites(#[from] sites::Error),
    /// It is not known who may do what.
    #[error(transparent)]
    Access(#[from] access::Error),
    /// There is no way to Kubernetes.
    #[error("cannot find the Kubernetes API: {0}; run in a pod, or set KUBECONFIG, or leave SYNC_NAMESPACE out")]
    Kubernetes(Box<dyn std::error::Error + Send + Sync>),
}

/// Who may come in without showing who he is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Open {
    /// Nobody has to show anything: for development.
    None,
}

/// Who may read what is counted: totals and windows, and the Socket.IO events that tell them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Counts {
    /// Those who may look at everything else.
    #[value(name = "SignedIn")]
    SignedIn,
    /// Whoever asks, without a token.
    #[value(name = "Anyone")]
    Anyone,
}

/// Everything it is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Config {
    /// The SyncCluster's name; topics are `<cluster>.<site>`.
    #[arg(long, env = "SYNC_CLUSTER")]
    pub cluster: ClusterName,
    /// The SyncCluster's namespace. Without it, what needs Kubernetes (the cluster's status, partitions, components) is left out.
    #[arg(long, env = "SYNC_NAMESPACE")]
    pub namespace: Option<String>,
    /// Folder with one folder a site (server, client-1, …), each with username, password, host, port and dbname.
    #[arg(long, env = "SYNC_SITES_DIR", value_name = "FOLDER")]
    pub sites: PathBuf,
    /// Kafka.
    #[command(flatten)]
    pub kafka: kafka::Arguments,
    /// Copies of the topic through which the gateway's replicas tell each other what they learn; -1 for as many as the brokers make by default.
    #[arg(
        long,
        env = "SYNC_TOPIC_REPLICATION",
        default_value_t = 1,
        allow_negative_numbers = true
    )]
    pub topic_replication: i32,
    /// Where the page, the API, events and Socket.IO are served.
    #[arg(long, env = "SYNC_WEB_LISTEN", default_value = "127.0.0.1:8000")]
    pub web_listen: SocketAddr,
    /// Where /livez, /readyz, /metrics and /status are served.
    #[arg(long, env = "SYNC_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Folder with the files `token` (may change things) and `viewer-token` (may look); they are read again when they change.
    #[arg(long, env = "SYNC_ACCESS_DIR", value_name = "FOLDER")]
    pub access_dir: Option<PathBuf>,
    /// Header in which a proxy in front names who asks. Only that proxy may reach the gateway then: whoever else does can name himself anything.
    #[arg(long, env = "SYNC_IDENTITY_HEADER", value_name = "NAME")]
    pub identity_header: Option<HeaderName>,
    /// Who may change things, of those the proxy names; everybody else may look.
    #[arg(
        long,
        env = "SYNC_EDITORS",
        value_name = "NAMES",
        value_delimiter = ',',
        requires = "identity_header"
    )]
    pub editors: Vec<String>,
    /// Who may read totals and windows, and be told windows by Socket.IO. Likes always need who may change things.
    #[arg(
        long,
        env = "SYNC_COUNTERS_ACCESS",
        value_name = "WHO",
        default_value = "SignedIn",
        conflicts_with = "access"
    )]
    pub counters_access: Counts,
    /// Counter nodes, as host:port of their port for clients; a Service finds one of them. Without it counters are off.
    #[arg(long, env = "COUNTER_ADDRESS", value_name = "HOST:PORT")]
    pub counter_address: Option<Address>,
    /// Where their leader answers, or any of them for it: port 5001 of the same host unless it is told.
    #[arg(
        long,
        env = "COUNTER_LEADER_ADDRESS",
        value_name = "HOST:PORT",
        requires = "counter_address"
    )]
    pub counter_leader_address: Option<Address>,
    /// What the topics of aggregations begin with, before the window's size, as the counter nodes are told; `<cluster>.aggregations-` unless it is told.
    #[arg(
        long,
        env = "COUNTER_AGGREGATIONS_TOPIC",
        value_name = "NAME",
        requires = "counter_address"
    )]
    pub counter_aggregations_topic: Option<String>,
    /// The lengths of the windows that the counter nodes count, as they are told: 1m,5m,10m unless it is told. The gateway shows these three.
    #[arg(long, env = "COUNTER_WINDOWS", value_name = "LENGTHS", requires = "counter_address")]
    pub counter_windows: Option<Counted>,
    /// `none` lets everybody who reaches the gateway do everything: for development, on a machine of one's own.
    #[arg(long, value_name = "none", conflicts_with_all = ["access_dir", "identity_header"])]
    pub access: Option<Open>,
}

impl Config {
    /// What requests share.
    pub async fn app(self) -> Result<Shared, Error> {
        let access = self.who_may()?;
        let mut app = App::new(self.cluster.clone(), Sites::read(&self.sites)?, self.kafka.kafka());
        app.access = access;
        app.counters = self.counter_address.map(|clients| {
            Counters::new(&self.cluster, clients, self.counter_leader_address)
                .with_topics(self.counter_aggregations_topic)
                .with_windows(self.counter_windows)
        });
        if let Some(namespace) = self.namespace {
            let client = kube::Client::try_default()
                .await
                .map_err(|error| Error::Kubernetes(error.into()))?;
            app.kubernetes = Some(Kubernetes::start(client, namespace, self.cluster, app.stop.clone()));
        }
        Ok(Arc::new(app))
    }

    fn who_may(&self) -> Result<Access, Error> {
        if self.access == Some(Open::None) {
            tracing::warn!("everybody who reaches this gateway may do everything: --access none is for development");
            return Ok(Access::open(self.cluster.clone()));
        }
        let editors = self.editors.iter().map(|name| name.trim().to_owned());
        let identity = self
            .identity_header
            .clone()
            .map(|header| Identity::new(header, editors));
        let access = Access::guarded(self.cluster.clone(), self.access_dir.clone(), identity)?;
        Ok(match self.counters_access {
            Counts::SignedIn => access,
            Counts::Anyone => access.with_counts_for_anyone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        config: Config,
    }

    fn parse(more: &str) -> Result<Config, String> {
        let line = format!("gateway --cluster demo --sites /sites --bootstrap-servers kafka:9092 {more}");
        let parsed = Line::try_parse_from(line.split_ascii_whitespace());
        parsed.map(|line| line.config).map_err(|error| error.to_string())
    }

    #[test]
    fn it_does_not_start_without_knowing_who_may_do_what() {
        let refused = parse("").unwrap().who_may().err().unwrap().to_string();
        assert!(
            refused.contains("SYNC_ACCESS_DIR") && refused.contains("--access none"),
            "{refused}"
        );
        assert!(parse("--access none").unwrap().who_may().is_ok());
        assert!(
            parse("--identity-header x-user --editors ada,bob")
                .unwrap()
                .who_may()
                .is_ok()
        );
    }

    #[test]
    fn counts_are_for_those_who_may_look_unless_it_is_told_otherwise() {
        let reader = |more: &str| {
            let config = parse(&format!("--identity-header x-user {more}")).unwrap();
            config.who_may().unwrap().reader().map(|reader| reader.role)
        };
        assert_eq!(reader(""), None);
        assert_eq!(reader("--counters-access SignedIn"), None);
        assert_eq!(reader("--counters-access Anyone"), Some(access::Role::Viewer));
    }

    #[test]
    fn flags_that_contradict_each_other_are_refused() {
        for wrong in [
            "--access none --access-dir /a",
            "--access none --identity-header x",
            "--editors ada",
            "--access all",
            "--access none --counters-access Anyone",
            "--counters-access nobody",
            "--identity-header a:b",
            "--counter-address demo-counter",
            "--counter-leader-address demo-counter:5001",
            "--counter-address demo-counter:5002 --counter-windows never",
            "--counter-windows 1m",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
