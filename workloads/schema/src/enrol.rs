//! Which tables take part, and which do no more.

use synccluster_protocol::event::TableName;
use tokio_postgres::{Client, Error, Row};

/// Every table with a primary key that is the application's; refinery's own book is not.
const CANDIDATES: &str = "select n.nspname, c.relname
   from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p') and not c.relispartition and c.relpersistence = 'p'
    and n.nspname not in ('pg_catalog', 'information_schema', 'sync') and n.nspname !~ '^pg_'
    and c.relname <> 'refinery_schema_history'
    and exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary)
  order by 1, 2";

/// Every table that takes part or was seen here, less those that are withdrawn, and whether it is here.
const KNOWN: &str = "select k.relation, sync.table_of(k.relation) is not null
   from (select relation from sync.tables union select relation from sync.seen) k
  where not exists (select from sync.withdrawn w where w.relation = k.relation)
  order by 1";

/// A table that takes part or was seen here.
struct Known {
    table: TableName,
    is_here: bool,
}

/// The tables to enrol when the resource names none.
pub async fn candidates(admin: &Client) -> Result<Vec<TableName>, Error> {
    let rows = admin.query(CANDIDATES, &[]).await?;
    Ok(rows
        .iter()
        .map(|row| TableName::new(row.get::<_, String>(0), row.get::<_, String>(1)))
        .collect())
}

/// Enrols one table; idempotent.
pub async fn enrol(admin: &Client, table: &TableName) -> Result<(), Error> {
    let statement = "select sync.enroll(format('%I.%I', $1::text, $2::text)::regclass)";
    admin.query(statement, &[&table.schema, &table.table]).await.map(drop)
}

/// Remembers which tables are here, for when they are no more. Writes nothing where that is known.
pub async fn note(admin: &Client) -> Result<(), Error> {
    let statement = format!(
        "insert into sync.seen (relation) select c.nspname || '.' || c.relname from ({CANDIDATES}) c on conflict do nothing"
    );
    admin.execute(&statement, &[]).await.map(drop)
}

/// Withdraws what takes part no more, after all that does was enrolled; idempotent. Returns the tables.
pub async fn withdraw(admin: &Client, named: Option<&[TableName]>) -> Result<Vec<TableName>, Error> {
    let known = |row: &Row| {
        let table = TableName::parse(row.get(0))?;
        Some(Known {
            table,
            is_here: row.get(1),
        })
    };
    let known: Vec<Known> = admin.query(KNOWN, &[]).await?.iter().filter_map(known).collect();
    let over = no_more(known, named);
    for table in &over {
        admin.query("select sync.withdraw($1)", &[&table.to_string()]).await?;
    }
    Ok(over)
}

/// The known tables that take part no more: they are gone, or others are named.
fn no_more(known: Vec<Known>, named: Option<&[TableName]>) -> Vec<TableName> {
    let wanted = |table: &TableName| named.is_none_or(|named| named.contains(table));
    let over = known
        .into_iter()
        .filter(|known| !known.is_here || !wanted(&known.table));
    over.map(|known| known.table).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str) -> TableName {
        TableName::new("public", name)
    }

    fn known(tables: &[(&str, bool)]) -> Vec<Known> {
        let known = |(name, is_here): &(&str, bool)| Known {
            table: table(name),
            is_here: *is_here,
        };
        tables.iter().map(known).collect()
    }

    #[test]
    fn a_table_that_is_gone_takes_part_no_more() {
        let here = known(&[("labels", false), ("todos", true)]);
        assert_eq!(no_more(here, None), [table("labels")]);
    }

    #[test]
    fn where_tables_are_named_no_other_takes_part() {
        let here = known(&[("labels", true), ("notes", false), ("todos", true)]);
        let named = [table("todos")];
        assert_eq!(no_more(here, Some(&named)), [table("labels"), table("notes")]);
    }
}
