//! Why what looks at both sides, the server's Postgres and ClickHouse, could not do its work.

use synccluster_runtime::postgres;

use crate::http;

/// Why tables were not compared, or nothing more of them was dropped.
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
    /// A name that nobody has.
    #[error("there is no enrolled table {0}; name it with its schema, such as public.todos")]
    NoSuchTable(String),
    /// The definitions keep it out of ClickHouse.
    #[error("the definitions of tables skip {0}: ClickHouse has nothing of it")]
    Skipped(String),
    /// What is there under its name is not its own.
    #[error("{source_table} is not rebuilt: {problem}")]
    NotIts {
        /// The table in Postgres.
        source_table: String,
        /// Whose the name is, and what to do.
        problem: String,
    },
    /// ClickHouse broke off.
    #[error("the rows of table {0} end in the middle of one: did ClickHouse break off? See its log")]
    BrokenOff(String),
}
