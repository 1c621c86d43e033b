//! Brings a site's database to where its uplink can start. Can be stopped anywhere and run again: schema `sync` is one transaction, each
//! migration is one, and enrolling a table twice does nothing.

use std::path::PathBuf;

use postgres_protocol::escape::escape_identifier;
use refinery::{Migration, Runner, Target};
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
    /// The tables to enrol, and no others; every table with a primary key when absent.
    pub tables: Option<Vec<TableName>>,
}

/// Schema `sync`, then the application's migrations, then enrolment; tables that take part no more are withdrawn. Returns the enrolled tables.
pub async fn migrate(task: &Task) -> Result<Vec<TableName>, Error> {
    let migrations = task.migrations.as_deref().map(files::read).transpose()?;
    let admin = postgres::connect(&task.admin, "synccluster-schema").await?;
    let app = task.app.login()?.user;
    make_schema(&admin, task.site, &app).await.map_err(Error::Schema)?;
    enrol::note(&admin).await.map_err(Error::Schema)?;
    if let Some(migrations) = migrations {
        let mut app = postgres::connect(&task.app, "synccluster-schema").await?;
        run(&migrations, &mut app, &admin).await?;
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
    let over = enrol::withdraw(&admin, task.tables.as_deref());
    for table in over.await.map_err(Error::Schema)? {
        tracing::info!(%table, "withdrawn: its changes are neither sent nor applied here any more");
    }
    Ok(tables)
}

/// Runs what has not run yet, one by one, and notes which tables are there in between: a site that is new cannot know otherwise that a table
/// was dropped of which there are changes. What is noted before the next one runs is enough, so that stopping in between loses nothing.
async fn run(migrations: &[Migration], app: &mut Client, admin: &Client) -> Result<(), Error> {
    let mut runner = Runner::new(migrations);
    for target in steps(migrations) {
        runner = runner.set_target(target);
        let report = runner.run_async(app).await.map_err(|e| Error::Migration(causes(&e)))?;
        if report.applied_migrations().is_empty() {
            continue;
        }
        for applied in report.applied_migrations() {
            tracing::info!(migration = %applied, "applied");
        }
        enrol::note(admin).await.map_err(Error::Schema)?;
    }
    Ok(())
}

/// Up to each migration but the last, and then to the end: without any, too, refinery finds those that ran and are missing.
fn steps(migrations: &[Migration]) -> impl Iterator<Item = Target> {
    let before = migrations.iter().take(migrations.len().saturating_sub(1));
    let versions = before.map(|migration| Target::Version(migration.version()));
    versions.chain([Target::Latest])
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
         grant select on sync.tables, sync.withdrawn, sync.conflicts, sync.parked to {app};
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_step_is_to_the_end_whatever_there_is() {
        let migration = |name: &str| Migration::unapplied(name, "select 1").unwrap();
        let words = |migrations: &[Migration]| {
            let words = steps(migrations).map(|step| format!("{step:?}"));
            words.collect::<Vec<_>>()
        };
        assert_eq!(words(&[]), ["Latest"]);
        let all = [migration("V1__a"), migration("V3__b"), migration("V10__c")];
        assert_eq!(words(&all), ["Version(1)", "Version(3)", "Latest"]);
    }
}
