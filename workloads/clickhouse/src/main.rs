//! `synccluster-clickhouse`: `run` fills ClickHouse, `verify` compares it with Postgres, `rebuild` has tables filled anew.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use synccluster_clickhouse::{http::ClickHouse, rebuild, run::Analytics, verify, ways};
use synccluster_protocol::definitions::Definitions;
use synccluster_runtime::{
    config::{Common, parse_duration},
    postgres::PostgresSecret,
    telemetry, workload,
};

/// Keeps one ClickHouse table per enrolled table, with the rows the server has.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:\n  synccluster-clickhouse run --cluster demo --site server --postgres-secret ./connector --clickhouse-secret ./clickhouse --bootstrap-servers localhost:9092\n  synccluster-clickhouse verify --postgres-secret ./connector --clickhouse-secret ./clickhouse --table public.todos\n  synccluster-clickhouse rebuild --postgres-secret ./connector --clickhouse-secret ./clickhouse --table public.todos"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run until stopped.
    Run(Run),
    /// Compare every table's rows with Postgres and print the result as JSON. Exit code 0: the same; 1: they differ; 2: they could not be compared.
    Verify(Verify),
    /// Drop tables in ClickHouse: the sink that runs makes them anew and reads the topic from its beginning. Nothing else is emptied. Exit code 2: it could not be done.
    Rebuild(Rebuild),
}

#[derive(clap::Args)]
struct Target {
    /// Folder with url, username, password, database and perhaps ca (PEM), as ClickHouse's Secret is mounted.
    #[arg(long, env = "CLICKHOUSE_SECRET")]
    clickhouse_secret: PathBuf,
    /// File with definitions of tables; without it every table takes the mapping.
    #[arg(long, env = "CLICKHOUSE_DEFINITIONS")]
    definitions: Option<PathBuf>,
}

#[derive(clap::Args)]
struct Run {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    target: Target,
    /// Another generation than what ClickHouse holds empties its tables and fills them again from the topic.
    #[arg(long, env = "CLICKHOUSE_GENERATION", default_value_t = 0)]
    generation: i64,
    /// How long a row waits for others to go with.
    #[arg(long, env = "CLICKHOUSE_FLUSH_INTERVAL", default_value = "500ms", value_parser = parse_duration)]
    flush_interval: Duration,
    /// What the counter nodes' topics of aggregations begin with, before the window's size; `<cluster>.aggregations-` unless it is told.
    #[arg(long, env = "COUNTER_AGGREGATIONS_TOPIC")]
    aggregations_topic: Option<String>,
}

/// What is on both sides.
#[derive(clap::Args)]
struct Sides {
    /// Folder with username, password, host, port and dbname of the server's Postgres, as a Secret is mounted.
    #[arg(long, env = "SYNC_POSTGRES_SECRET")]
    postgres_secret: PathBuf,
    #[command(flatten)]
    target: Target,
}

#[derive(clap::Args)]
struct Rebuild {
    #[command(flatten)]
    sides: Sides,
    /// The table in Postgres, such as public.todos; can be given several times.
    #[arg(long, required = true)]
    table: Vec<String>,
}

#[derive(clap::Args)]
struct Verify {
    #[command(flatten)]
    sides: Sides,
    /// Compare this table only, such as public.todos; can be given several times.
    #[arg(long)]
    table: Vec<String>,
    /// How long tables that differ are looked at again: what is written meanwhile is on its way.
    #[arg(long, default_value = "30s", value_parser = parse_duration)]
    patience: Duration,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(arguments) => run(arguments).await,
        Command::Verify(arguments) => {
            telemetry::init();
            match compare(arguments).await {
                Ok(true) => ExitCode::SUCCESS,
                Ok(false) => ExitCode::from(1),
                Err(error) => {
                    tracing::error!("cannot compare: {error}");
                    ExitCode::from(2)
                }
            }
        }
        Command::Rebuild(arguments) => {
            telemetry::init();
            match rebuild_tables(arguments).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    tracing::error!("cannot rebuild: {error}");
                    ExitCode::from(2)
                }
            }
        }
    }
}

async fn rebuild_tables(Rebuild { sides, table }: Rebuild) -> Result<(), Box<dyn std::error::Error>> {
    let (postgres, clickhouse, definitions) = sides.read()?;
    for name in rebuild::rebuild(&postgres, &clickhouse, &definitions, &table).await? {
        println!("dropped {name}: the sink makes it anew and fills it from the topic; see status.analytics");
    }
    Ok(())
}

async fn run(arguments: Run) -> ExitCode {
    let Run {
        common,
        target,
        generation,
        flush_interval,
        aggregations_topic,
    } = arguments;
    workload::run(common, |common, postgres| Analytics {
        aggregations: aggregations_topic.unwrap_or_else(|| format!("{}.aggregations-", common.cluster)),
        cluster: common.cluster,
        postgres,
        kafka: common.kafka.kafka(),
        clickhouse_secret: target.clickhouse_secret,
        definitions: target.definitions,
        generation,
        flush_interval,
    })
    .await
}

impl Sides {
    fn read(&self) -> Result<(PostgresSecret, ClickHouse, Definitions), Box<dyn std::error::Error>> {
        Ok((
            PostgresSecret::read(&self.postgres_secret)?,
            ClickHouse::read(&self.target.clickhouse_secret)?,
            ways::definitions(self.target.definitions.as_deref())?,
        ))
    }
}

async fn compare(arguments: Verify) -> Result<bool, Box<dyn std::error::Error>> {
    let (postgres, clickhouse, definitions) = arguments.sides.read()?;
    let report = verify::verify(
        &postgres,
        &clickhouse,
        &definitions,
        &arguments.table,
        arguments.patience,
    )
    .await?;
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(report.equal)
}
