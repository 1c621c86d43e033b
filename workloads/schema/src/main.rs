//! `synccluster-schema migrate`: the init container before a site's uplink.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use synccluster_protocol::{ClusterName, Site, event::TableName};
use synccluster_runtime::{postgres::PostgresSecret, telemetry};
use synccluster_schema::migrate::{Task, migrate};

/// Prepares a site's database: schema `sync`, the application's migrations, enrolment of its tables.
#[derive(Parser)]
#[command(
    version,
    after_help = "Example:\n  synccluster-schema migrate --cluster demo --site client-1 --admin-secret ./admin --app-secret ./app --migrations ./migrations"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Bring the database up to date; safe to run again.
    Migrate(Migrate),
}

#[derive(clap::Args)]
struct Migrate {
    /// The SyncCluster's name.
    #[arg(long, env = "SYNC_CLUSTER")]
    cluster: ClusterName,
    /// server or client-<i>.
    #[arg(long, env = "SYNC_SITE")]
    site: Site,
    /// Folder with username, password, host, port and dbname of sync_admin.
    #[arg(long, env = "SYNC_ADMIN_SECRET")]
    admin_secret: PathBuf,
    /// The same for app, who runs the migrations.
    #[arg(long, env = "SYNC_APP_SECRET")]
    app_secret: PathBuf,
    /// Folder of V1__name.sql files.
    #[arg(long, env = "SYNC_MIGRATIONS")]
    migrations: Option<PathBuf>,
    /// Tables to enrol as schema.table, comma-separated; every table with a primary key when absent.
    #[arg(long, env = "SYNC_TABLES", value_delimiter = ',', value_parser = parse_table)]
    tables: Option<Vec<TableName>>,
}

fn parse_table(text: &str) -> Result<TableName, String> {
    TableName::parse(text).ok_or_else(|| format!("`{text}` is not a table: write schema.table, like public.todos"))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    telemetry::init();
    let Command::Migrate(arguments) = Arguments::parse().command;
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            tracing::error!("{message}");
            // What Kubernetes shows as the reason of a failed init container. Outside a pod there is no such file.
            let _ = std::fs::write("/dev/termination-log", &message);
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Migrate) -> Result<(), String> {
    let secret = |folder: &PathBuf| PostgresSecret::read(folder).map_err(|e| e.to_string());
    tracing::info!(cluster = %arguments.cluster, site = %arguments.site, "preparing the database");
    let task = Task {
        site: arguments.site,
        admin: secret(&arguments.admin_secret)?,
        app: secret(&arguments.app_secret)?,
        migrations: arguments.migrations,
        tables: arguments.tables,
    };
    migrate(&task).await.map(drop).map_err(|e| e.to_string())
}
