//! The enrolled tables, from the server's catalogue.

use std::collections::BTreeMap;

use synccluster_protocol::{
    codec::{SESSION_SETTINGS, debezium::Form},
    event::TableName,
};
use synccluster_runtime::{
    catalog::{TYPE_FACTS, debezium_form, roots},
    postgres::{self, PostgresSecret},
};
use tokio_postgres::Client;

use crate::{
    table::{SourceColumn, SourceTable},
    types::PgType,
};

/// Every column of what is enrolled. What a rewritten table gave its old rows is in `attmissingval`, an array of one: `{5}`.
fn statement() -> String {
    format!(
        "select n.nspname, c.relname, s.key, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
        case when a.atthasmissing then (a.attmissingval::text::text[])[1] end, {TYPE_FACTS}
   from sync.tables s
   join pg_namespace n on starts_with(s.relation, n.nspname || '.')
   join pg_class c on c.relnamespace = n.oid and s.relation = n.nspname || '.' || c.relname
   join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
  {}
  order by s.relation, a.attnum",
        roots("a.atttypid")
    )
}

/// A connection whose text is the codec's.
pub async fn connect(secret: &PostgresSecret) -> Result<Client, postgres::Error> {
    let client = postgres::connect_once(secret, "synccluster-clickhouse").await?;
    let settings: Vec<String> = SESSION_SETTINGS
        .iter()
        .map(|(name, value)| format!("set {name} = '{value}'"))
        .collect();
    client
        .batch_execute(&settings.join("; "))
        .await
        .map_err(|error| postgres::refused(secret, &error))?;
    Ok(client)
}

/// All enrolled tables, in the order of their names.
pub async fn tables(client: &Client) -> Result<Vec<SourceTable>, tokio_postgres::Error> {
    let mut tables: BTreeMap<TableName, SourceTable> = BTreeMap::new();
    for row in client.query(&statement(), &[]).await? {
        let name = TableName::new(row.get::<_, String>(0), row.get::<_, String>(1));
        let table = tables.entry(name.clone()).or_insert_with(|| SourceTable {
            name,
            columns: Vec::new(),
            key: row.get(2),
        });
        table.columns.push(SourceColumn {
            name: row.get(3),
            pg: PgType::of(row.get("type_oid"), row.get("modifier"), row.get("element_oid")),
            sql_type: row.get(4),
            not_null: row.get(5),
            missing: row.get(6),
            // What Debezium loses it never sends, so such a column is as any other.
            debezium: debezium_form(&row).unwrap_or(Form::Same),
        });
    }
    Ok(tables.into_values().collect())
}
