//! Tables once more from the topic: they are dropped, and the sink that runs finds them gone.
//!
//! Nothing is told to the sink, and nothing of its progress is touched: a table that was filled and is not there has the topic read from its
//! beginning, whoever dropped it and whenever the sink looks. Rows of other tables that come again are the same under the same versions.

use synccluster_protocol::definitions::Definitions;
use synccluster_runtime::postgres::PostgresSecret;

use crate::{
    arrange, catalogue,
    http::ClickHouse,
    sides::Error,
    table::{SourceTable, wanted},
};

/// Drops the tables in ClickHouse that these tables of Postgres fill; returns their names there.
pub async fn rebuild(
    postgres: &PostgresSecret,
    clickhouse: &ClickHouse,
    definitions: &Definitions,
    tables: &[String],
) -> Result<Vec<String>, Error> {
    let client = catalogue::connect(postgres).await?;
    let sources = catalogue::tables(&client).await?;
    let wanted = wanted(&sources, definitions);
    // All of them are looked up before the first is dropped.
    let mut names = Vec::with_capacity(tables.len());
    for source in tables {
        let found = wanted.iter().find(|wanted| wanted.source.to_string() == *source);
        let found = found.ok_or_else(|| unwanted(&sources, source))?;
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

/// Why ClickHouse is to have no such table.
pub(crate) fn unwanted(sources: &[SourceTable], name: &str) -> Error {
    if sources.iter().any(|source| source.name.to_string() == name) {
        Error::Skipped(name.to_owned())
    } else {
        Error::NoSuchTable(name.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use synccluster_protocol::event::TableName;

    use super::*;

    #[test]
    fn a_table_that_is_skipped_is_told_from_one_that_nobody_has() {
        let sources = [SourceTable {
            name: TableName::new("public", "todos"),
            columns: Vec::new(),
            key: Vec::new(),
        }];
        let said = |name| unwanted(&sources, name).to_string();
        assert!(said("public.todos").starts_with("the definitions of tables skip public.todos"));
        assert!(said("todos").starts_with("there is no enrolled table todos"));
    }
}
