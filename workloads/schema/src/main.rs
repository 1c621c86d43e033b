//! `synccluster-schema migrate`: the init container before a site's uplink.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, Subcommand};
use synccluster_protocol::{ClusterName, Site, event::TableName};
use synccluster_runtime::{
    postgres::{self, PostgresSecret},
    telemetry,
};
use synccluster_schema::{
    external::{self, Credentials},
    migrate::{Task, migrate},
};

/// Between two tries at an external Postgres.
const RETRY_AFTER: Duration = Duration::from_secs(2);

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
    /// For a Postgres that is somebody else's: folder with a folder each for connector, sink and gateway, with username and password of the
    /// role that is made there.
    #[arg(long, env = "SYNC_EXTERNAL_ROLES", requires = "owner")]
    external_roles: Option<PathBuf>,
    /// Whose roles these are: namespace/name of the SyncCluster.
    #[arg(long, env = "SYNC_OWNER")]
    owner: Option<String>,
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

/// Makes the roles of an external Postgres, if nothing is in the way.
async fn prepare(admin: &Path, roles: &Path, owner: &str, arguments: &Migrate) -> Result<(), String> {
    let text = |path: PathBuf| {
        let text =
            std::fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        Ok::<_, String>(text.trim_end_matches('\n').to_owned())
    };
    let credentials = ["connector", "sink", "gateway"].map(|role| {
        Ok(Credentials {
            role: text(roles.join(role).join("username"))?,
            password: text(roles.join(role).join("password"))?,
        })
    });
    let credentials = credentials.into_iter().collect::<Result<Vec<_>, String>>()?;
    let admin = postgres::connect_once(&PostgresSecret::at(admin), "synccluster-schema").await;
    let admin = admin.map_err(|error| error.to_string())?;
    let slot = arguments.cluster.slot(arguments.site);
    let facts = external::look(&admin, owner, &slot)
        .await
        .map_err(|error| postgres::describe(&error))?;
    let obstacles = facts.obstacles();
    if !obstacles.is_empty() {
        return Err(obstacles.join("; "));
    }
    let prepared = external::prepare(&admin, owner, &credentials).await;
    prepared.map_err(|error| postgres::describe(&error))
}

async fn run(arguments: Migrate) -> Result<(), String> {
    tracing::info!(cluster = %arguments.cluster, site = %arguments.site, "preparing the database");
    if let (Some(roles), Some(owner)) = (&arguments.external_roles, &arguments.owner) {
        // What is missing is said by the operator, and somebody elsewhere has to see to it: to end here would only make Kubernetes wait longer
        // and longer between two tries.
        while let Err(error) = prepare(&arguments.admin_secret, roles, owner, &arguments).await {
            tracing::warn!(%error, "the external Postgres cannot be prepared; trying again");
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }
    let secret = |folder: &PathBuf| PostgresSecret::read(folder).map_err(|e| e.to_string());
    let task = Task {
        site: arguments.site,
        admin: secret(&arguments.admin_secret)?,
        app: secret(&arguments.app_secret)?,
        migrations: arguments.migrations,
        tables: arguments.tables,
    };
    migrate(&task).await.map(drop).map_err(|e| e.to_string())
}
