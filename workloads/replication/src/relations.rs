//! The tables of the stream, by OID, as the stream describes them.

use std::collections::HashMap;

use synccluster_protocol::{codec::ColumnType, event::TableName};
use synccluster_runtime::catalog;
use tokio_postgres::Client;

use crate::pgoutput::RelationColumn;

/// What a table looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: TableName,
    /// Columns in the order of the stream.
    pub columns: Vec<(String, ColumnType)>,
    /// The primary key's columns.
    pub key: Vec<String>,
    /// Columns that do not travel: whoever gets the row computes them anew. PostgreSQL 18 and newer have them in the stream.
    pub generated: Vec<String>,
}

/// Tables seen in this stream.
#[derive(Default)]
pub struct Relations {
    tables: HashMap<u32, Table>,
}

impl Relations {
    /// Takes in a description. Columns and types are the stream's, of the moment of the change; only what the stream does not tell (the
    /// primary key: with REPLICA IDENTITY FULL every column is flagged) is asked of the catalogue of now.
    pub async fn describe(
        &mut self,
        client: &Client,
        oid: u32,
        name: TableName,
        columns: Vec<RelationColumn>,
    ) -> Result<(), tokio_postgres::Error> {
        let oids: Vec<u32> = columns.iter().map(|column| column.type_oid).collect();
        let types = catalog::types(client, &oids).await?;
        let key = catalog::primary_key(client, oid).await?;
        if key.is_empty() {
            tracing::warn!(table = %name, "has no primary key any more (or is gone): its changes have no key to travel under and are left out");
            self.tables.remove(&oid);
            return Ok(());
        }
        let generated = catalog::generated(client, oid).await?;
        let kind = |oid| types.get(&oid).cloned().unwrap_or(ColumnType::Text);
        let columns = columns
            .into_iter()
            .map(|column| (column.name, kind(column.type_oid)))
            .collect();
        let table = Table {
            name,
            columns,
            key,
            generated,
        };
        self.tables.insert(oid, table);
        Ok(())
    }

    /// The table with this OID.
    pub fn get(&self, oid: u32) -> Option<&Table> {
        self.tables.get(&oid)
    }
}
