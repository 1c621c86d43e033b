//! Whether an external Postgres can be the server, and what has to be done about it.

use tokio_postgres::{Client, Error};

use super::{ROLES, mark};

/// The oldest version that has what is needed: origins in logical decoding, and roles that give away no more than they have.
const OLDEST: i32 = 160_000;
/// Slots for the connector, the gateway's page, and a moment in which both are replaced.
const SLOTS: i64 = 4;

/// Each is true, or is what a superuser has to run.
const RIGHTS: &str = "
  select statement from (
    select rolsuper or rolcreaterole, format('alter role %I createrole', rolname) from pg_roles where rolname = current_user
    union all
    select rolsuper or rolreplication, format('alter role %I replication', rolname) from pg_roles where rolname = current_user
    union all
    select rolsuper or rolbypassrls
           or not exists (select from pg_class where relrowsecurity and relkind in ('r', 'p')),
           format('alter role %I bypassrls', rolname) from pg_roles where rolname = current_user
    union all
    select has_database_privilege(current_database(), 'create'),
           format('grant create on database %I to %I', current_database(), current_user)
    union all
    select pg_has_role(r, 'member with admin option'), format('grant %I to %I with admin option', r, current_user)
      from unnest(array['pg_read_all_data', 'pg_write_all_data']) r
    union all
    select has_parameter_privilege(p, 'set with grant option'), format('grant set on parameter %s to %I with grant option', p, current_user)
      from unnest(array['session_replication_role', 'deadlock_timeout']) p
    union all
    select has_function_privilege(f, 'execute with grant option'), format('grant execute on function %s to %I with grant option', f, current_user)
      from unnest(array['pg_replication_origin_create(text)', 'pg_replication_origin_drop(text)', 'pg_replication_origin_oid(text)',
                        'pg_replication_origin_session_setup(text)', 'pg_replication_origin_session_reset()',
                        'pg_replication_origin_session_is_setup()', 'pg_replication_origin_xact_setup(pg_lsn, timestamptz)']) f
  ) needed (given, statement) where not given";

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// `server_version_num`.
    pub version: i32,
    /// `wal_level`.
    pub wal_level: String,
    /// `max_replication_slots` that nobody has taken.
    pub free_slots: i64,
    /// `max_wal_senders` that nobody uses.
    pub free_senders: i64,
    /// Whether our slot is there already.
    pub has_slot: bool,
    /// Statements that a superuser has to run.
    pub missing_rights: Vec<String>,
    /// Roles of ours that are not this cluster's, with what their comment says.
    pub foreign_roles: Vec<String>,
}

/// Looks; `owner` is namespace and name of the SyncCluster, `slot` its server's.
pub async fn look(client: &Client, owner: &str, slot: &str) -> Result<Facts, Error> {
    let settings = "select current_setting('server_version_num')::int, current_setting('wal_level'),
                           current_setting('max_replication_slots')::int8 - (select count(*) from pg_replication_slots),
                           current_setting('max_wal_senders')::int8 - (select count(*) from pg_stat_replication),
                           exists (select from pg_replication_slots where slot_name = $1)";
    let row = client.query_one(settings, &[&slot]).await?;
    let version = row.get(0);
    let mut facts = Facts {
        version,
        wal_level: row.get(1),
        free_slots: row.get(2),
        free_senders: row.get(3),
        has_slot: row.get(4),
        missing_rights: Vec::new(),
        foreign_roles: Vec::new(),
    };
    if version >= OLDEST {
        let rights = client.query(RIGHTS, &[]).await?;
        facts.missing_rights = rights.iter().map(|row| row.get(0)).collect();
    }
    let others = "select rolname || coalesce(' (' || shobj_description(oid, 'pg_authid') || ')', '') from pg_roles
                   where rolname = any ($1) and shobj_description(oid, 'pg_authid') is distinct from $2 order by 1";
    let others = client.query(others, &[&&ROLES[..], &mark(owner)]).await?;
    facts.foreign_roles = others.iter().map(|row| row.get(0)).collect();
    Ok(facts)
}

impl Facts {
    /// What keeps it from being the server, with what to do; empty if nothing does.
    pub fn obstacles(&self) -> Vec<String> {
        let mut obstacles = Vec::new();
        if self.version < OLDEST {
            let major = self.version / 10_000;
            obstacles.push(format!("it is PostgreSQL {major}: upgrade it to 16 or later"));
            return obstacles;
        }
        if self.wal_level != "logical" {
            obstacles.push(format!(
                "wal_level is {}: set wal_level = logical and restart it",
                self.wal_level
            ));
        }
        if !self.has_slot && self.free_slots < SLOTS {
            obstacles.push(format!(
                "{} replication slots are free: raise max_replication_slots by {SLOTS} and restart it, or drop slots that nobody reads",
                self.free_slots
            ));
        }
        if !self.has_slot && self.free_senders < SLOTS {
            obstacles.push(format!(
                "{} WAL senders are free: raise max_wal_senders by {SLOTS} and restart it",
                self.free_senders
            ));
        }
        if !self.foreign_roles.is_empty() {
            obstacles.push(format!(
                "role {} is there and not this SyncCluster's: a Postgres server can be the server of one SyncCluster only; use another one, or \
                 remove what the other SyncCluster left",
                self.foreign_roles.join(", ")
            ));
        }
        if !self.missing_rights.is_empty() {
            obstacles.push(format!(
                "the role lacks rights: have a superuser run, in that database, {};",
                self.missing_rights.join("; ")
            ));
        }
        obstacles
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit() -> Facts {
        Facts {
            version: 160_004,
            wal_level: "logical".to_owned(),
            free_slots: 10,
            free_senders: 10,
            has_slot: false,
            missing_rights: Vec::new(),
            foreign_roles: Vec::new(),
        }
    }

    #[test]
    fn what_is_in_the_way_is_said_with_what_to_do() {
        type Spoil = fn(&mut Facts);
        assert_eq!(fit().obstacles(), Vec::<String>::new());
        let spoilt: [(Spoil, &str); 6] = [
            (|facts| facts.version = 150_008, "upgrade it to 16"),
            (|facts| facts.wal_level = "replica".to_owned(), "wal_level = logical"),
            (|facts| facts.free_slots = 1, "raise max_replication_slots"),
            (|facts| facts.free_senders = 0, "raise max_wal_senders"),
            (
                |facts| facts.foreign_roles = vec!["sync_sink (SyncCluster a/b)".to_owned()],
                "one SyncCluster only",
            ),
            (
                |facts| facts.missing_rights = vec!["alter role shop createrole".to_owned()],
                "run, in that database, alter role shop createrole;",
            ),
        ];
        for (spoil, expected) in spoilt {
            let mut facts = fit();
            spoil(&mut facts);
            let obstacles = facts.obstacles();
            assert!(obstacles.len() == 1 && obstacles[0].contains(expected), "{obstacles:?}");
        }
    }

    #[test]
    fn a_slot_that_is_ours_needs_no_other() {
        let facts = Facts {
            free_slots: 0,
            free_senders: 0,
            has_slot: true,
            ..fit()
        };
        assert_eq!(facts.obstacles(), Vec::<String>::new());
    }
}
