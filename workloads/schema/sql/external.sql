-- What a superuser (or a managed service's administrator) allows the operator's role once, in the database of the server site:
--
--   psql --set=role=shop_owner --dbname=shop --file=external.sql
--
-- The role owns the tables, or is a member of their owners. Everything else it makes by itself.
\set ON_ERROR_STOP on

-- It makes the roles of connector, sink and gateway, and the slot; nobody gives away what he does not have.
alter role :"role" login createrole replication bypassrls;
grant pg_read_all_data, pg_write_all_data to :"role" with admin option;
grant create on database :"DBNAME" to :"role";
-- The sink writes what was decided elsewhere: no trigger and no foreign key has a say, and it gives way to applications.
grant set on parameter session_replication_role, deadlock_timeout to :"role" with grant option;
grant execute on function
  pg_replication_origin_create(text), pg_replication_origin_drop(text), pg_replication_origin_oid(text),
  pg_replication_origin_session_setup(text), pg_replication_origin_session_reset(), pg_replication_origin_session_is_setup(),
  pg_replication_origin_xact_setup(pg_lsn, timestamptz)
  to :"role" with grant option;
