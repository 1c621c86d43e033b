//! The operator's command line.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use kube::Config;
use synccluster_operator::client;
use synccluster_operator::metrics::Metrics;
use synccluster_operator::reconcile::Context;
use synccluster_operator::validate::Settings;
use synccluster_operator::{api, controller, serve};

/// Keeps Postgres databases at sites that go offline the same.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:\n  synccluster-operator run --namespace demo --image registry.example/synccluster:1.0\n  synccluster-operator crd | kubectl apply --server-side -f -"
)]
struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Watch SyncClusters and make them so.
    Run(Run),
    /// Print the CustomResourceDefinition as YAML.
    Crd,
}

#[derive(Args)]
struct Run {
    /// Look after SyncClusters of this namespace only.
    #[arg(long, env = "OPERATOR_NAMESPACE")]
    namespace: Option<String>,
    /// Image of connector, sink, migrations, gateway and counter nodes.
    #[arg(long, env = "OPERATOR_IMAGE", default_value = "synccluster/synccluster:dev")]
    image: String,
    /// Image of Postgres for SyncClusters that name none.
    #[arg(long, env = "OPERATOR_POSTGRES_IMAGE", default_value = "postgres:17")]
    postgres_image: String,
    /// Image of Kafka for SyncClusters that name none.
    #[arg(long, env = "OPERATOR_KAFKA_IMAGE", default_value = "apache/kafka:4.3.1")]
    kafka_image: String,
    /// Image of ClickHouse for SyncClusters that name none.
    #[arg(
        long,
        env = "OPERATOR_CLICKHOUSE_IMAGE",
        default_value = "clickhouse/clickhouse-server:25.8"
    )]
    clickhouse_image: String,
    /// Image of Kafka Connect with Debezium for SyncClusters that name none.
    #[arg(
        long,
        env = "OPERATOR_CONNECT_IMAGE",
        default_value = "synccluster/connect:4.3.1-3.7.0.Final"
    )]
    connect_image: String,
    /// Where to serve /livez, /readyz and /metrics.
    #[arg(long, env = "OPERATOR_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    match Command::parse().action {
        Action::Crd => {
            print!("{}", api::crd_yaml()?);
            Ok(())
        }
        Action::Run(run) => operate(run).await,
    }
}

async fn operate(run: Run) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().json().with_env_filter(filter).init();
    let config = Config::infer()
        .await
        .context("cannot find a Kubernetes cluster: run in a pod, or set KUBECONFIG")?;
    let client = client::new(config).context("cannot speak to the Kubernetes cluster that was found")?;
    let settings = Settings {
        operator_namespace: client.default_namespace().to_owned(),
        image: run.image,
        postgres_image: run.postgres_image,
        kafka_image: run.kafka_image,
        connect_image: run.connect_image,
        clickhouse_image: run.clickhouse_image,
    };
    tracing::info!(
        namespace = run.namespace.as_deref().unwrap_or("all"),
        ?settings,
        "watching SyncClusters"
    );
    let metrics = Arc::new(Metrics::default());
    let context = Arc::new(Context::new(client, settings, Arc::clone(&metrics)));
    let namespace = run.namespace.filter(|namespace| !namespace.is_empty());
    tokio::select! {
        served = serve::serve(run.listen, metrics) => served.with_context(|| format!("cannot serve on {}", run.listen)),
        () = controller::run(context, namespace) => Ok(()),
    }
}
