//! Makes the roles of connector, sink and gateway: bootstrap.sql for who is no superuser.

use postgres_protocol::{escape::escape_literal, password::scram_sha_256};
use tokio_postgres::{Client, Error};

use super::{ROLES, mark};

/// A role that is made, and its password.
#[derive(Clone)]
pub struct Credentials {
    /// One of [`ROLES`].
    pub role: String,
    /// Its password.
    pub password: String,
}

/// In the order in which they can be run again and again. A role that somebody else made is refused by its comment (`Facts::foreign_roles`
/// says so before) or by Postgres. bypassrls where it can be given: it is asked for as soon as a table has row security.
const RIGHTS: &str = "
  alter role sync_connector login replication;
  alter role sync_sink login;
  alter role sync_gateway login replication;
  do $$
  declare
    wanted text;
  begin
    if (select rolsuper or rolbypassrls from pg_roles where rolname = current_user) then
      foreach wanted in array array['sync_connector', 'sync_sink', 'sync_gateway'] loop
        execute format('alter role %I bypassrls', wanted);
      end loop;
    end if;
    foreach wanted in array array['sync_connector', 'sync_sink', 'sync_gateway'] loop
      if not has_database_privilege(wanted, current_database(), 'connect') then
        execute format('grant connect on database %I to %I', current_database(), wanted);
      end if;
    end loop;
  end $$;
  grant pg_read_all_data to sync_connector, sync_sink;
  grant pg_write_all_data to sync_sink;
  grant set on parameter session_replication_role, deadlock_timeout to sync_sink;
  grant execute on function
    pg_replication_origin_create(text), pg_replication_origin_oid(text), pg_replication_origin_session_setup(text),
    pg_replication_origin_session_reset(), pg_replication_origin_session_is_setup(),
    pg_replication_origin_xact_setup(pg_lsn, timestamptz)
    to sync_sink;";

/// Makes or mends the roles, all or nothing. `owner` is namespace and name of the SyncCluster.
pub async fn prepare(client: &Client, owner: &str, roles: &[Credentials]) -> Result<(), Error> {
    let there = "select rolname::text from pg_roles where rolname = any ($1)";
    let there = client.query(there, &[&&ROLES[..]]).await?;
    let there: Vec<String> = there.iter().map(|row| row.get(0)).collect();
    let mut script = vec!["begin; select pg_advisory_xact_lock(hashtext('synccluster.schema'));".to_owned()];
    for Credentials { role, password } in roles {
        if !there.contains(role) {
            // The comment first: whoever finds the role knows whose it is.
            let comment = escape_literal(&mark(owner));
            script.push(format!("create role {role}; comment on role {role} is {comment};"));
        }
        // What the server keeps of a password, so that no log of statements shows one.
        let kept = escape_literal(&scram_sha_256(password.as_bytes()));
        script.push(format!("alter role {role} password {kept};"));
    }
    script.extend([RIGHTS.to_owned(), "commit;".to_owned()]);
    let done = client.batch_execute(&script.concat()).await;
    if done.is_err() {
        // The connection may be used again.
        let _ = client.batch_execute("rollback").await;
    }
    done
}
