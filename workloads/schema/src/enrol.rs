//! Which tables take part.

use synccluster_protocol::event::TableName;
use tokio_postgres::Client;

/// Every table with a primary key that is the application's; refinery's own book is not.
const CANDIDATES: &str = "select n.nspname, c.relname
   from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p') and not c.relispartition and c.relpersistence = 'p'
    and n.nspname not in ('pg_catalog', 'information_schema', 'sync') and n.nspname !~ '^pg_'
    and c.relname <> 'refinery_schema_history'
    and exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary)
  order by 1, 2";

/// The tables to enrol when the resource names none.
pub async fn candidates(admin: &Client) -> Result<Vec<TableName>, tokio_postgres::Error> {
    let rows = admin.query(CANDIDATES, &[]).await?;
    Ok(rows
        .iter()
        .map(|row| TableName::new(row.get::<_, String>(0), row.get::<_, String>(1)))
        .collect())
}

/// Enrols one table; idempotent.
pub async fn enrol(admin: &Client, table: &TableName) -> Result<(), tokio_postgres::Error> {
    let statement = "select sync.enroll(format('%I.%I', $1::text, $2::text)::regclass)";
    admin.query(statement, &[&table.schema, &table.table]).await.map(drop)
}
