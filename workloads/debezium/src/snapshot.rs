//! What a site has to say before Debezium may read it: whether its tables hold anything, what would be lost.

use std::fmt::Write as _;

use synccluster_connector::slot::PUBLICATION;
use synccluster_protocol::event::TableName;
use synccluster_runtime::catalog::{self, quote_table};
use tokio_postgres::{Client, Error};

/// The generated columns of the publication's tables.
pub async fn generated(client: &Client) -> Result<Vec<(TableName, String)>, Error> {
    let statement = "select p.schemaname::text, p.tablename::text, a.attname::text
                       from pg_publication_tables p
                       join pg_attribute a on a.attrelid = format('%I.%I', p.schemaname, p.tablename)::regclass
                      where p.pubname = $1 and a.attnum > 0 and not a.attisdropped and a.attgenerated <> ''";
    let rows = client.query(statement, &[&PUBLICATION]).await?;
    let column = |row: &tokio_postgres::Row| {
        (
            TableName::new(row.get::<_, String>(0), row.get::<_, String>(1)),
            row.get(2),
        )
    };
    Ok(rows.iter().map(column).collect())
}

/// The columns whose values would not survive Debezium, each with the reason; empty when all would.
pub async fn lost(client: &Client, tables: &[TableName]) -> Result<String, Error> {
    let mut lost = String::new();
    for name in tables {
        for column in catalog::table(client, name)
            .await?
            .into_iter()
            .flat_map(|table| table.columns)
        {
            if let Err(reason) = column.debezium {
                let comma = if lost.is_empty() { "" } else { "; " };
                let _ = write!(lost, "{comma}{name}.{} ({}): {reason}", column.name, column.sql_type);
            }
        }
    }
    Ok(lost)
}

/// Whether none of the tables has a row.
pub async fn are_empty(client: &Client, tables: &[TableName]) -> Result<bool, Error> {
    for table in tables {
        let row = client
            .query_one(&format!("select exists (select from {})", quote_table(table)), &[])
            .await?;
        if row.get(0) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether somebody has asked this uplink to wait.
pub async fn is_paused(client: &Client, slot: &str) -> Result<bool, Error> {
    let row = client
        .query_opt("select from sync.paused where slot = $1", &[&slot])
        .await?;
    Ok(row.is_some())
}

/// Makes the uplink wait, or go on; kept where a new pod finds it.
pub async fn pause(client: &Client, slot: &str, paused: bool) -> Result<(), Error> {
    let statement = if paused {
        "insert into sync.paused (slot) values ($1) on conflict do nothing"
    } else {
        "delete from sync.paused where slot = $1"
    };
    client.execute(statement, &[&slot]).await.map(drop)
}

/// Has the snapshot made anew: without its mark the next start drops the slot.
pub async fn forget(client: &Client, slot: &str) -> Result<(), Error> {
    client
        .execute("delete from sync.snapshots where slot = $1", &[&slot])
        .await
        .map(drop)
}
