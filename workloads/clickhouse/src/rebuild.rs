//! Tables once more from the topic: they are dropped, and the sink that runs finds them gone.
//!
//! Nothing is told to the sink, and nothing of its progress is touched: a table that was filled and is not there has the topic read from its
//! beginning, whoever dropped it and whenever the sink looks. Rows of other tables that come again are the same under the same versions.

use synccluster_protocol::definitions::Definitions;
use synccluster_runtime::postgres::{self, PostgresSecret};

use crate::{
    arrange, catalogue,
    http::{self, ClickHouse},
    table::wanted,
};

/// Why nothing more was dropped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server's Postgres cannot be reached.
    #[error("Postgres: {0}")]
    Connect(#[from] postgres::Error),
    /// Postgres refused a statement.
    #[error("Postgres: {}", postgres::describe(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// ClickHouse refused or did not answer.
    #[error(transparent)]
    ClickHouse(#[from] http::Error),
    /// A name that nobody has, or that the definitions skip.
    #[error("there is no enrolled table {0} that ClickHouse has; name it with its schema, such as public.todos")]
    NoSuchTable(String),
    /// What is there under its name is not its own.
    #[error("{source_table} is not rebuilt: {problem}")]
    NotIts {
        /// The table in Postgres.
        source_table: String,
        /// Whose the name is, and what to do.
        problem: String,
    },
}

/// Drops the tables in ClickHouse that these tables of Postgres fill; returns their names there.
pub async fn rebuild(
    postgres: &PostgresSecret,
    clickhouse: &ClickHouse,
    definitions: &Definitions,
    tables: &[String],
) -> Result<Vec<String>, Error> {
    let client = catalogue::connect(postgres).await?;
    let wanted = wanted(&catalogue::tables(&client).await?, definitions);
    // All of them are looked up before the first is dropped.
    let mut names = Vec::with_capacity(tables.len());
    for source in tables {
        let found = wanted.iter().find(|wanted| wanted.source.to_string() == *source);
        let found = found.ok_or_else(|| Error::NoSuchTable(source.clone()))?;
        let table = found.table.as_ref().map_err(|problem| Error::NotIts {
            source_table: source.clone(),
            problem: problem.clone(),
        })?;
        names.push((source, table.name.clone()));
    }
    for (source, name) in &names {
        arrange::remove(clickhouse, name)
            .await?
            .map_err(|problem| Error::NotIts {
                source_table: (*source).clone(),
                problem,
            })?;
    }
    Ok(names.into_iter().map(|(_, name)| name).collect())
}
