//! Brings a site's database to where its uplink can start. Can be stopped anywhere and run again: schema `sync` is one transaction, each
//! migration is one, and enrolling a table twice does nothing.

use std::path::PathBuf;

use postgres_protocol::escape::escape_identifier;
use refinery::Runner;
use synccluster_protocol::{Site, event::TableName};
use synccluster_runtime::postgres::{self, PostgresSecret};
use tokio_postgres::Client;

use crate::{SYNC_SQL, enrol, files};

/// What failed, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The site's Postgres cannot be reached.
    #[error("cannot connect to the site's Postgres: {0}")]
    Connect(#[from] postgres::Error),
    /// Schema `sync` could not be made.
    #[error("cannot make schema sync: {}", postgres::describe(.0))]
    Schema(tokio_postgres::Error),
    /// The migration files cannot be read.
    #[error(transparent)]
    Files(#[from] files::Error),
    /// A migration of the application's failed.
    #[error(
        "migration failed: {0}; correct it in the ConfigMap of spec.schema.migrations (what ran before it is recorded and kept)"
    )]
    Migration(String),
    /// A table that was asked for does not exist or has no key.
    #[error("cannot enrol {table}: {reason}")]
    Enrol {
        /// The table.
        table: TableName,
        /// Postgres' words.
        reason: String,
    },
}

/// What to bring where.
pub struct Task {
    /// The site whose number its versions carry.
    pub site: Site,
    /// Connection of `sync_admin`.
    pub admin: PostgresSecret,
    /// Connection of `app`, which runs the migrations and so owns what they make.
    pub app: PostgresSecret,
    /// The folder of migrations; absent when the application brings its schema itself.
    pub migrations: Option<PathBuf>,
    /// The tables to enrol; every table with a primary key when absent.
    pub tables: Option<Vec<TableName>>,
}

/// Schema `sync`, then the application's migrations, then enrolment. Returns the enrolled tables.
pub async fn migrate(task: &Task) -> Result<Vec<TableName>, Error> {
    let migrations = task.migrations.as_deref().map(files::read).transpose()?;
    let admin = postgres::connect(&task.admin, "synccluster-schema").await?;
    let app = task.app.login()?.user;
    make_schema(&admin, task.site, &app).await.map_err(Error::Schema)?;
    if let Some(migrations) = migrations {
        let mut app = postgres::connect(&task.app, "synccluster-schema").await?;
        let report = Runner::new(&migrations)
            .run_async(&mut app)
            .await
            .map_err(|e| Error::Migration(causes(&e)))?;
        for applied in report.applied_migrations() {
            tracing::info!(migration = %applied, "applied");
        }
    }
    let tables = match &task.tables {
        Some(tables) => tables.clone(),
        None => enrol::candidates(&admin).await.map_err(Error::Schema)?,
    };
    for table in &tables {
        let failed = |e| Error::Enrol {
            table: table.clone(),
            reason: postgres::describe(&e),
        };
        enrol::enrol(&admin, table).await.map_err(failed)?;
        tracing::info!(%table, "enrolled");
    }
    Ok(tables)
}

/// `sync.node()` is a constant of the site; as a literal in a function it costs the trigger nothing. The lock keeps two runs apart. The
/// application sees what became of its own writes: which tables take part, what lost, what waits.
async fn make_schema(admin: &Client, site: Site, app: &str) -> Result<(), tokio_postgres::Error> {
    let (node, app) = (site.node(), escape_identifier(app));
    let script = format!(
        "begin;
         select pg_advisory_xact_lock(hashtext('synccluster.schema'));
         create schema if not exists sync;
         create or replace function sync.node() returns int language sql immutable parallel safe return {node};
         {SYNC_SQL}
         grant select on sync.tables, sync.conflicts, sync.parked to {app};
         commit;"
    );
    admin.batch_execute(&script).await
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner
            .downcast_ref::<tokio_postgres::Error>()
            .map_or_else(|| inner.to_string(), postgres::describe);
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = inner.source();
    }
    text
}
