-- Roles of a site, run by psql as the superuser over the local socket, in database `app`, at every start of the pod: a changed password
-- takes effect with a restart. Nobody logs in as a superuser after this. Passwords are read from files, so they are in no argument.
\set ON_ERROR_STOP on
\set app_password `cat /etc/synccluster/roles/app/password`
\set admin_password `cat /etc/synccluster/roles/admin/password`
\set connector_password `cat /etc/synccluster/roles/connector/password`
\set sink_password `cat /etc/synccluster/roles/sink/password`
\set gateway_password `cat /etc/synccluster/roles/gateway/password`

-- A log of statements would show the passwords.
set log_statement = 'none';
set log_min_duration_statement = -1;
set log_min_error_statement = 'panic';

do $$
declare
  wanted text;
begin
  foreach wanted in array array['app', 'sync_admin', 'sync_connector', 'sync_sink', 'sync_gateway'] loop
    if not exists (select from pg_roles where rolname = wanted) then
      execute format('create role %I', wanted);
    end if;
  end loop;
end $$;

-- app: the application's; owns the database and what its migrations make.
alter role app login password :'app_password';
-- sync_admin: owns schema `sync`, enrols tables; a member of app because only a table's owner may add columns and triggers.
alter role sync_admin login password :'admin_password';
-- sync_connector: reads the WAL and, for snapshots, every table. bypassrls: a snapshot with rows left out would be a wrong one.
alter role sync_connector login replication bypassrls password :'connector_password';
-- sync_sink: writes what was decided elsewhere, past row security and (by session_replication_role) triggers and foreign keys.
alter role sync_sink login bypassrls password :'sink_password';
-- sync_gateway: what a person does on the page, in enrolled tables only (`sync.enroll` grants them), and the WAL, to tell what happened
-- when. bypassrls: sites are compared as they are.
alter role sync_gateway login replication bypassrls password :'gateway_password';

grant app to sync_admin;
grant pg_read_all_data to sync_connector, sync_sink;
grant pg_write_all_data to sync_sink;
-- deadlock_timeout: where a sink and the application wait for each other, the sink is to be the one that gives way.
grant set on parameter session_replication_role, deadlock_timeout to sync_sink;
grant execute on function
  pg_replication_origin_create(text), pg_replication_origin_oid(text), pg_replication_origin_session_setup(text),
  pg_replication_origin_session_reset(), pg_replication_origin_session_is_setup(),
  pg_replication_origin_xact_setup(pg_lsn, timestamptz)
  to sync_sink;
alter database app owner to app;
