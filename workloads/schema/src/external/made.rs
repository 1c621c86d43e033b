//! What was made in an external Postgres, and how it is taken out.

use std::time::Duration;

use synccluster_protocol::event::TableName;
use tokio_postgres::{Client, Error, Row};

use super::{ROLES, mark};

/// How often sessions that were ended are looked for again, and how often at most.
const LOOK_EVERY: Duration = Duration::from_millis(200);
const LOOKS: u32 = 50;

const HAS_SCHEMA: &str = "select to_regclass('sync.tables') is not null";

/// What is there of this SyncCluster, one line each; `owner` is its namespace and name, `slot` its server's.
pub async fn made(client: &Client, owner: &str, slot: &str) -> Result<Vec<String>, Error> {
    let mut made = Vec::new();
    let of_server = "select 'slot ' || slot_name from pg_replication_slots where slot_name = $1
                     union all select 'publication ' || pubname from pg_publication where pubname = 'sync'
                     union all select 'schema ' || nspname from pg_namespace where nspname = 'sync'
                     union all (select 'role ' || rolname from pg_roles
                                 where rolname = any ($2) and shobj_description(oid, 'pg_authid') = $3 order by 1)";
    let rows = client.query(of_server, &[&slot, &&ROLES[..], &mark(owner)]).await?;
    made.extend(rows.iter().map(|row| row.get::<_, String>(0)));
    if client.query_one(HAS_SCHEMA, &[]).await?.get(0) && may_read(client).await? {
        let rows = client.query(ORIGINS, &[]).await?;
        made.extend(rows.iter().map(|row| format!("origin {}", row.get::<_, String>(0))));
        for table in tables(client).await? {
            made.push(format!("columns sync_version and sync_parent and triggers of {table}"));
        }
    }
    Ok(made)
}

/// Origins of the sink's sessions, by the topics it has applied: another's origins stay.
const ORIGINS: &str = "select roname from pg_replication_origin
                        where roname in (select substr(topic, strpos(topic, '.') + 1) from sync.progress) order by 1";

async fn may_read(client: &Client) -> Result<bool, Error> {
    let statement =
        "select has_table_privilege('sync.tables', 'select') and has_table_privilege('sync.progress', 'select')";
    Ok(client.query_one(statement, &[]).await?.get(0))
}

async fn tables(client: &Client) -> Result<Vec<TableName>, Error> {
    let statement = format!(
        "select schema, name from ({}) ours order by 1, 2",
        versioned(client).await?
    );
    let rows = client.query(&statement, &[]).await?;
    let name = |row: &Row| TableName::new(row.get::<_, String>(0), row.get::<_, String>(1));
    Ok(rows.iter().map(name).collect())
}

/// Selects the tables that have our columns: those that are enrolled, and those that were. A schema that an older version made has no book of these.
async fn versioned(client: &Client) -> Result<String, Error> {
    let has_withdrawn = "select to_regclass('sync.withdrawn') is not null";
    let withdrawn = if client.query_one(has_withdrawn, &[]).await?.get(0) {
        " union select relation from sync.withdrawn"
    } else {
        ""
    };
    Ok(format!(
        "select c.oid, n.nspname::text as schema, c.relname::text as name
           from (select relation from sync.tables{withdrawn}) t
           join pg_namespace n on n.nspname = split_part(t.relation, '.', 1)
           join pg_class c on c.relnamespace = n.oid and c.relname = substr(t.relation, strpos(t.relation, '.') + 1)
           join pg_attribute a on a.attrelid = c.oid and a.attname = 'sync_version' and not a.attisdropped
          where c.relkind in ('r', 'p')"
    ))
}

/// Takes all of it out, and nothing else: rows, tables and the book of migrations stay. Can be stopped anywhere and run again; what is named
/// by `made` last is gone last.
pub async fn remove(client: &Client, owner: &str, slot: &str) -> Result<(), Error> {
    let ours =
        "select rolname::text from pg_roles where rolname = any ($1) and shobj_description(oid, 'pg_authid') = $2";
    let ours = client.query(ours, &[&&ROLES[..], &mark(owner)]).await?;
    let roles: Vec<String> = ours.iter().map(|row| row.get(0)).collect();
    for role in &roles {
        // Nobody comes back; and to end sessions takes the rights of who has them.
        client
            .batch_execute(&format!(
                "alter role {role} nologin; grant {role} to current_user with inherit true"
            ))
            .await?;
    }
    end_sessions(client, &roles).await?;
    let drop_slot = "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1";
    client.query(drop_slot, &[&slot]).await?;
    if client.query_one(HAS_SCHEMA, &[]).await?.get(0) {
        client
            .query(
                &format!("select pg_replication_origin_drop(roname) from ({ORIGINS}) ours"),
                &[],
            )
            .await?;
        client.batch_execute(&take_out(&versioned(client).await?)).await?;
    }
    client
        .batch_execute("drop publication if exists sync; drop schema if exists sync cascade")
        .await?;
    for role in &roles {
        client
            .batch_execute(&format!("drop owned by {role}; drop role {role}"))
            .await?;
    }
    Ok(())
}

/// The sessions of roles that may log in no more; a walsender takes a moment to let go of its slot.
async fn end_sessions(client: &Client, roles: &[String]) -> Result<(), Error> {
    let statement = "select pg_terminate_backend(pid) from pg_stat_activity where usename::text = any ($1)";
    for _ in 0..LOOKS {
        if client.query(statement, &[&roles]).await?.is_empty() {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// What enrolling did to tables, undone, with schema and publication, in one transaction. The functions of the triggers are in the schema.
fn take_out(versioned: &str) -> String {
    format!(
        "
  do $$
  declare
    enrolled record;
    sequence record;
  begin
    for enrolled in
      select t.oid, format('%I.%I', t.schema, t.name) as name from ({versioned}) t
    loop
      for sequence in
        select format('%I.%I', sn.nspname, s.relname) as name
          from pg_depend d
          join pg_class s on s.oid = d.objid and s.relkind = 'S'
          join pg_namespace sn on sn.oid = s.relnamespace
          join pg_sequence q on q.seqrelid = s.oid
         where d.refobjid = enrolled.oid and d.deptype in ('a', 'i') and q.seqincrement = 1024
      loop
        execute format('alter sequence %s increment by 1', sequence.name);
      end loop;
      execute format('alter table %1$s replica identity default;
                      alter table %1$s drop column if exists sync_version, drop column if exists sync_parent', enrolled.name);
    end loop;
    drop publication if exists sync;
    -- With the functions of our triggers these go, too.
    drop schema sync cascade;
  end $$;"
    )
}
