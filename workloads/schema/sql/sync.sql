-- Schema `sync` of a site: versions, tombstones, and the books of connector and sink. Run as sync_admin at every start of an uplink,
-- in one transaction; every statement can be run again.

create schema if not exists sync;
grant usage on schema sync to public;

-- Deletes, as rows that travel. jsonb keys compare by value, so a key has one form whatever its column types.
create table if not exists sync.tombstones (
  relation text   not null,
  key      jsonb  not null,
  version  bigint not null,
  parent   bigint,
  primary key (relation, key)
);
alter table sync.tombstones replica identity full;
-- The stamp of an insert looks its key up here with the rights of whoever inserts.
grant select on sync.tombstones to public;

create table if not exists sync.tables (
  relation   text primary key,
  key        text[] not null,
  definition text not null
);

-- Every table of the application's that was here between two migrations. A site that is new runs all of them, and so knows what they have dropped.
create table if not exists sync.seen (relation text primary key);

-- Tables that take part here no more: dropped, renamed, or taken off spec.schema.tables. The sink passes their events by.
create table if not exists sync.withdrawn (
  relation text        primary key,
  at       timestamptz not null default clock_timestamp()
);

-- From where on a topic has to be read again when the table takes part again: no event before that offset was passed by.
create table if not exists sync.skipped (
  relation text   not null,
  topic    text   not null,
  "offset" bigint not null,
  primary key (relation, topic)
);

-- How far each topic has been applied; written in the transaction that applies. `lsn` is the highest commit of the source seen in
-- the topic: what comes again below it was sent twice.
create table if not exists sync.progress (
  topic     text   not null,
  partition int    not null,
  "offset"  bigint not null,
  lsn       bigint not null default 0,
  primary key (topic, partition)
);
-- Asked first: to alter a table waits for whoever uses it, also where there is nothing to do.
do $$ begin
  if not exists (select from pg_attribute where attrelid = 'sync.progress'::regclass and attname = 'predecessor') then
    alter table sync.progress add column installation bigint not null default 0, add column predecessor bigint;
  end if;
  if not exists (select from pg_attribute where attrelid = 'sync.progress'::regclass and attname = 'reached') then
    alter table sync.progress add column reached bigint not null default 0;
    update sync.progress set reached = "offset";
  end if;
end $$;
comment on column sync.progress.reached is 'What is before this offset, or before "offset" where that is higher, was applied; "offset" is behind it while the topic is read again.';
comment on column sync.progress.installation is 'Which of the source''s databases the records applied last are from; lsn is a position of its WAL.';
comment on column sync.progress.predecessor is 'The newest version that the source wrote in databases it had before, as far as it was here when the first record of this one came.';

-- The databases that a source had before the one it has, as `sync.progress` had them when another followed: where a topic is read again they
-- come once more.
create table if not exists sync.predecessors (
  topic        text   not null,
  installation bigint not null,
  lsn          bigint not null,
  predecessor  bigint,
  primary key (topic, installation)
);

create table if not exists sync.conflicts (
  id             bigint generated always as identity primary key,
  at             timestamptz not null default clock_timestamp(),
  relation       text   not null,
  key            jsonb  not null,
  kind           text   not null,
  policy         text   not null,
  winner         jsonb,
  loser          jsonb,
  winner_version bigint not null,
  loser_version  bigint not null,
  topic          text   not null
);
alter table sync.conflicts add column if not exists reapplied_at timestamptz;
comment on column sync.conflicts.reapplied_at is 'When the losing write was written again as a new one, if it was.';
create index if not exists conflicts_loser on sync.conflicts (loser_version);
comment on table sync.conflicts is 'Every write that lost: what it was, what won, and why.';

create table if not exists sync.parked (
  id       bigint generated always as identity primary key,
  at       timestamptz not null default clock_timestamp(),
  topic    text   not null,
  relation text   not null,
  event    jsonb  not null,
  reason   text   not null,
  tried_at timestamptz not null default clock_timestamp()
);
alter table sync.parked add column if not exists asked_at timestamptz;
comment on column sync.parked.asked_at is 'Since when another try is due before its time, because somebody asked or a lock was in the way; null again when it was made.';
comment on table sync.parked is
  'Events that cannot be applied yet, with the reason; retried until they can. With the site''s own topic: rows that Kafka does not take.';
grant select, insert, update, delete on sync.parked to sync_connector;

-- Whether the snapshot that belongs to a slot was sent whole. Without the mark the next start drops the slot and begins again.
create table if not exists sync.snapshots (
  slot         text primary key,
  completed_at timestamptz not null
);
grant select, insert, update, delete on sync.snapshots to sync_connector;

-- Uplinks that somebody has asked to wait.
create table if not exists sync.paused (slot text primary key);
grant select, insert, delete on sync.paused to sync_connector;

-- Rows that somebody asked to be sent once more, and how far that is. `only_relation` null: all of them.
create table if not exists sync.resnapshots (
  id            text primary key,
  only_relation text,
  began_at      timestamptz not null default clock_timestamp(),
  relation      text,
  after_key     text[] not null default '{}',
  rows          bigint not null default 0,
  expected      bigint,
  done_at       timestamptz
);
comment on table sync.resnapshots is 'What was asked for by the annotation synccluster.dev/resnapshot; relation and after_key are what was sent last.';
grant select, insert, update, delete on sync.resnapshots to sync_connector;

-- What Debezium is asked for, and the marks it sets around what it reads once more (its `signal.data.collection`). In the publication, because
-- Debezium reads it in the WAL; no connector sends it.
create table if not exists sync.debezium_signal (id text primary key, type text not null, data text);
grant select, insert, delete on sync.debezium_signal to sync_connector;

grant select on sync.tables, sync.progress, sync.conflicts, sync.parked to sync_gateway;
grant update (reapplied_at) on sync.conflicts to sync_gateway;
grant update (asked_at) on sync.parked to sync_gateway;

create or replace function sync.version_time(version bigint) returns timestamptz
  language sql immutable parallel safe
  return to_timestamp((version >> 10) / 1000000.0);

create or replace function sync.version_node(version bigint) returns int
  language sql immutable parallel safe
  return (version & 1023)::int;

-- Microseconds since the Unix epoch. date_part and not extract: float8 holds them to the microsecond until the year 2255, and
-- numeric costs four times as much in the trigger.
create or replace function sync.now_micros() returns bigint
  language sql volatile parallel safe
  return (date_part('epoch', clock_timestamp()) * 1000000)::bigint;

-- Which of the databases that a site may have one after the other this is: when this schema was made, or 0 where that was before there were
-- such numbers. A site whose volume is lost begins again, and its positions, keys and numbers of transactions look like its predecessor's.
create table if not exists sync.installation (made bigint primary key);
insert into sync.installation (made)
select case when exists (select from sync.tables) then 0 else sync.now_micros() end
 where not exists (select from sync.installation);
grant select on sync.installation to sync_connector;

-- The version of a local write that replaces `replaced`: the wall clock, or one microsecond past what it replaces.
create or replace function sync.next_version(replaced bigint) returns bigint
  language sql volatile parallel safe
  return (greatest(sync.now_micros(), coalesce((replaced >> 10) + 1, 0)) << 10) | sync.node();

-- Writes the tombstone of a key whose row had version `replaced`. plpgsql, because it keeps the plan: in SQL a delete costs four times as much.
create or replace function sync.bury(relation text, key jsonb, replaced bigint) returns void
  language plpgsql security definer set search_path = pg_catalog, sync
as $$
begin
  insert into sync.tombstones as t (relation, key, version, parent)
  values (bury.relation, bury.key, sync.next_version(replaced), replaced)
  on conflict on constraint tombstones_pkey
  do update set version = excluded.version, parent = excluded.parent;
end $$;

-- The publication the uplink reads. TRUNCATE is left out: it travels as tombstones.
do $$
begin
  if not exists (select from pg_publication where pubname = 'sync') then
    create publication sync with (publish = 'insert, update, delete', publish_via_partition_root = true);
  end if;
  -- Since PostgreSQL 18 a table whose replica identity is full refuses updates while its stored generated columns are not published.
  if current_setting('server_version_num')::int >= 180000
     and exists (select from pg_publication p where p.pubname = 'sync' and to_jsonb(p) ->> 'pubgencols' <> 's') then
    alter publication sync set (publish_generated_columns = stored);
  end if;
  if not exists (select from pg_publication_tables where pubname = 'sync' and schemaname = 'sync' and tablename = 'tombstones') then
    alter publication sync add table sync.tombstones;
  end if;
  if not exists (select from pg_publication_tables where pubname = 'sync' and schemaname = 'sync' and tablename = 'debezium_signal') then
    alter publication sync add table sync.debezium_signal;
  end if;
end $$;

-- Takes our triggers off a table, by whatever names.
create or replace function sync.drop_triggers(target regclass) returns void
  language plpgsql set search_path = pg_catalog, sync
as $$
declare
  ours text;
begin
  for ours in
    select format('drop trigger %I on %s', g.tgname, g.tgrelid::regclass)
      from pg_trigger g join pg_proc f on f.oid = g.tgfoid
     where g.tgrelid = target and g.tgparentid = 0 and not g.tgisinternal and f.pronamespace = 'sync'::regnamespace
  loop
    execute ours;
  end loop;
end $$;

-- The table that events and tombstones name so, if it is here. A view that took its name is another thing.
create or replace function sync.table_of(full_name text) returns regclass
  language sql stable
  return (select c.oid::regclass
            from pg_class c join pg_namespace n on n.oid = c.relnamespace
           where n.nspname = split_part(full_name, '.', 1) and c.relname = substr(full_name, strpos(full_name, '.') + 1)
             and c.relkind in ('r', 'p'));

-- Gives a table its versions. Does nothing where the table is enrolled already and has not changed its key.
create or replace function sync.enroll(target regclass) returns void
  language plpgsql set search_path = pg_catalog, sync
as $enroll$
declare
  full_name text;      -- public.todos, as events and tombstones name it
  quoted    text;      -- "public"."todos", as SQL needs it
  columns   name[];
  key_of_new text;     -- jsonb_build_object('id', new.id)
  key_of_old text;
  key_of_row text;
  changed   text;      -- old.id is distinct from new.id or …
  pinned    text;      -- settings of the trigger functions
  suffix    text;
  identity  text;
  def       text;
  sequence  record;
  first     bigint;
  versioned boolean;   -- it has versions of an earlier time
  came_back boolean;   -- it was withdrawn
  is_new    boolean;   -- to those who read its changes
begin
  select n.nspname || '.' || c.relname, format('%I.%I', n.nspname, c.relname), md5(n.nspname || '.' || c.relname)
    into full_name, quoted, suffix
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = target;

  select array_agg(a.attname order by k.place) into columns
    from pg_index i
    cross join unnest(i.indkey::int2[]) with ordinality k(attnum, place)
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
   where i.indrelid = target and i.indisprimary and k.place <= i.indnkeyatts;
  if columns is null then
    raise exception 'table % has no primary key, so its rows cannot be told apart between sites', full_name
      using hint = format('add one in a migration (alter table %s add primary key (…)) or take the table off spec.schema.tables', quoted);
  end if;
  -- No insert can leave alone what is there (`on conflict`) on such a key.
  if exists (select from pg_index where indrelid = target and indisprimary and not indimmediate) then
    raise exception 'the primary key of table % is deferrable, and rows from other sites cannot be inserted beside it', full_name
      using hint = format('make it anew in a migration without deferrable (alter table %s drop constraint …, add primary key (…))', quoted);
  end if;

  select 'jsonb_build_object(' || string_agg(format('%L, new.%I', c, c), ', ') || ')',
         'jsonb_build_object(' || string_agg(format('%L, old.%I', c, c), ', ') || ')',
         'jsonb_build_object(' || string_agg(format('%L, r.%I', c, c), ', ') || ')',
         string_agg(format('old.%I is distinct from new.%I', c, c), ' or ')
    into key_of_new, key_of_old, key_of_row, changed
    from unnest(columns) c;

  -- A key is one jsonb everywhere, whatever the time zone or style of the session that writes it. The settings cost as much as the rest
  -- of the trigger, so they are left out where every type of the key has the same text in every session.
  select case when bool_and(b.typtype = 'e' or b.oid = any (
             '{bool,int2,int4,int8,oid,numeric,name,text,varchar,bpchar,uuid,date,time,timetz,timestamp,inet,cidr,macaddr,macaddr8,bit,varbit}'::regtype[]))
           then '' else ' set datestyle = ''ISO'' set timezone = ''UTC'' set intervalstyle = ''iso_8601'' set bytea_output = ''hex'' set extra_float_digits = 1'
         end into pinned
    from pg_attribute a
    join pg_type t on t.oid = a.atttypid
    join pg_type b on b.oid = case when t.typtype = 'd' then t.typbasetype else t.oid end
   where a.attrelid = target and a.attname = any (columns);

  -- Rows that are there already get one version: this site's, now.
  versioned := exists (select from pg_attribute where attrelid = target and attname = 'sync_version' and not attisdropped);
  if not versioned then
    execute format('alter table %s add column sync_version bigint not null default %s', quoted, sync.next_version(null));
  end if;
  -- A table that was withdrawn has a default, too (`sync.withdraw`).
  if exists (select from pg_attribute where attrelid = target and attname = 'sync_version' and atthasdef) then
    execute format('alter table %s alter column sync_version drop default', quoted);
  end if;
  execute format('alter table %s add column if not exists sync_parent bigint', quoted);
  -- A virtual generated column (PostgreSQL 18) can neither be published nor left out beside a full identity, so such a table has only its key.
  identity := case when exists (select from pg_attribute where attrelid = target and attgenerated = 'v' and not attisdropped)
              then 'default' else 'full' end;
  if (select relreplident from pg_class where oid = target) <> left(identity, 1)::"char" then
    execute format('alter table %s replica identity %s', quoted, identity);
  end if;

  def := format($def$
    create or replace function sync.%1$I() returns trigger language plpgsql%10$s as $stamp$
    declare
      replaced bigint;
    begin
      if tg_op = 'UPDATE' and not (%5$s) then
        replaced := old.sync_version;
      else
        -- Before the row goes, and not once the statement is done: the next row of the statement may take the key, and has to be newer.
        if tg_op = 'UPDATE' then
          perform sync.bury(%2$L, %4$s, old.sync_version);
        end if;
        select t.version into replaced from sync.tombstones t where t.relation = %2$L and t.key = %3$s;
      end if;
      new.sync_parent := replaced;
      new.sync_version := sync.next_version(replaced);
      return new;
    end $stamp$;

    create or replace function sync.%6$I() returns trigger language plpgsql%10$s as $bury$
    begin
      perform sync.bury(%2$L, %4$s, old.sync_version);
      return old;
    end $bury$;

    create or replace function sync.%7$I() returns trigger language plpgsql%10$s as $truncate$
    begin
      perform sync.bury(%2$L, %8$s, r.sync_version) from %9$s r;
      return null;
    end $truncate$;

    -- Triggers go by name: behind every other one, which may still change the row, or leave it alone.
    create or replace trigger "~sync_stamp" before insert or update on %9$s
      for each row execute function sync.%1$I();
    create or replace trigger "~sync_bury" before delete on %9$s
      for each row execute function sync.%6$I();
    create or replace trigger sync_truncate before truncate on %9$s
      for each statement execute function sync.%7$I();
  $def$, 'stamp_' || suffix, full_name, key_of_new, key_of_old, changed, 'bury_' || suffix, 'truncate_' || suffix, key_of_row, quoted, pinned);

  -- Replacing triggers waits for every writer, so it is done only when there is something to replace. A table that was dropped and made anew
  -- has none, whatever the book says.
  if not exists (select from sync.tables t where t.relation = full_name and t.definition = md5(def))
     or not exists (select from pg_trigger where tgrelid = target and tgname = '~sync_stamp') then
    perform sync.drop_triggers(target);
    execute def;
  end if;

  -- Keys made at different sites never meet: each sequence runs through the numbers that leave its node when divided by 1024.
  for sequence in
    select format('%I.%I', sn.nspname, s.relname) as name, q.seqmin as lowest, s.oid as id
      from pg_depend d
      join pg_class s on s.oid = d.objid and s.relkind = 'S'
      join pg_namespace sn on sn.oid = s.relnamespace
      join pg_sequence q on q.seqrelid = s.oid
     where d.refobjid = target and d.deptype in ('a', 'i') and q.seqincrement <> 1024
  loop
    execute format('select case when is_called then last_value + 1 else last_value end from %s', sequence.name) into first;
    first := greatest(first, sequence.lowest, 1);
    first := first + mod(mod(sync.node() - first, 1024) + 1024, 1024);
    execute format('alter sequence %s increment by 1024', sequence.name);
    perform setval(sequence.id::regclass, first, false);
  end loop;

  -- The gateway's way in: enrolled tables, and the sequences that fill them. Granted once, since a grant writes WAL.
  if not has_table_privilege('sync_gateway', target, 'delete') then
    execute format('grant usage on schema %I to sync_gateway', split_part(full_name, '.', 1));
    execute format('grant select, insert, update, delete on %s to sync_gateway', quoted);
    for sequence in
      select format('%I.%I', sn.nspname, s.relname) as name
        from pg_depend d
        join pg_class s on s.oid = d.objid and s.relkind = 'S'
        join pg_namespace sn on sn.oid = s.relnamespace
       where d.refobjid = target and d.deptype in ('a', 'i')
    loop
      execute format('grant usage on sequence %s to sync_gateway', sequence.name);
    end loop;
  end if;

  -- A table that was renamed is in the publication still, and yet new to all who know it by its name.
  is_new := not exists (select from sync.tables t where t.relation = full_name);
  if not exists (select from pg_publication_tables p where p.pubname = 'sync' and p.schemaname || '.' || p.tablename = full_name) then
    execute format('alter publication sync add table %s', quoted);
    is_new := true;
  end if;
  delete from sync.withdrawn w where w.relation = full_name;
  came_back := found;
  -- A connector whose slot is there reads what is written from here on; no snapshot has the rows that a migration, or somebody between it
  -- and this, has written. So they are written once more. Those of a table that was withdrawn in any case: what was written meanwhile has
  -- no version of its own.
  if (came_back and versioned)
     or (is_new and exists (select from pg_replication_slots where database = current_database() and slot_type = 'logical' and not temporary)) then
    execute format('update %s set sync_parent = sync_parent', quoted);
  end if;

  insert into sync.tables as t (relation, key, definition) values (full_name, columns, md5(def))
  on conflict on constraint tables_pkey do update set key = excluded.key, definition = excluded.definition
    where t.definition <> excluded.definition;
end $enroll$;

-- A table, `public.todos`, takes part here no more: it was dropped or renamed, or nobody wants it to. Its rows stay as they are, versions
-- included; `sync.enroll` takes it in again.
create or replace function sync.withdraw(full_name text) returns void
  language plpgsql set search_path = pg_catalog, sync
as $$
declare
  target regclass := sync.table_of(full_name);
begin
  if exists (select from pg_publication_rel r join pg_publication p on p.oid = r.prpubid
              where p.pubname = 'sync' and r.prrelid = target) then
    execute format('alter publication sync drop table %s', target);
  end if;
  perform sync.drop_triggers(target);
  -- Nobody stamps what is inserted now, and the column takes no null.
  if exists (select from pg_attribute
              where attrelid = target and attname = 'sync_version' and not attisdropped and not atthasdef) then
    execute format('alter table %s alter column sync_version set default 0', target);
  end if;
  delete from sync.tables t where t.relation = full_name;
  insert into sync.withdrawn (relation) values (full_name) on conflict do nothing;
  -- Where in its topic a parked event was, nobody knows any more.
  with gone as (delete from sync.parked p where p.relation = full_name returning p.topic)
  insert into sync.skipped (relation, topic, "offset") select distinct full_name, g.topic, 0 from gone g
  on conflict on constraint skipped_pkey do update set "offset" = 0;
end $$;

-- Moves a sequence of the site's past a number that it gave in a database the site has no more. By its own steps: one that is set could be set
-- back behind what another session has just taken. A number that is further ahead than a million steps was chosen by somebody, and stays ahead.
create or replace function sync.pass(sequence regclass, given bigint) returns void
  language plpgsql set search_path = pg_catalog, sync
as $$
declare
  reached bigint;
  highest bigint := (select seqmax from pg_sequence where seqrelid = sequence);
begin
  execute format('select case when is_called then last_value else last_value - 1 end from %s', sequence) into reached;
  if given <= highest and (given - reached) / 1024 <= 1000000 then
    while reached < given loop
      reached := nextval(sequence);
    end loop;
  end if;
end $$;

-- The newest version of a node's that is here, in rows, tombstones or events that wait; null where it has written nothing. Reads all tables.
create or replace function sync.newest_of(node int) returns bigint
  language plpgsql stable set search_path = pg_catalog, sync
as $$
declare
  enrolled text;
  found    bigint;
  newest   bigint;
begin
  select max(t.version) into newest from sync.tombstones t where sync.version_node(t.version) = newest_of.node;
  for enrolled in select format('%s', sync.table_of(t.relation)) from sync.tables t where sync.table_of(t.relation) is not null loop
    execute format('select max(r.sync_version) from %s r where sync.version_node(r.sync_version) = $1', enrolled) into found using newest_of.node;
    newest := greatest(newest, found);
  end loop;
  -- What waits is judged when it gets through, and nothing but its version tells it then from a write of the database that follows. Somebody
  -- else's record may have anything in its place.
  select greatest(newest, max(v.version)::bigint) into newest
    from sync.parked p
    cross join lateral (select p.event -> 'after' -> case when p.event #>> '{source,schema}' = 'sync' and p.event #>> '{source,table}' = 'tombstones'
                                                          then 'version' else 'sync_version' end as said) s
    cross join lateral (select case when jsonb_typeof(s.said) = 'number' then s.said::numeric end as version) v
   where v.version between 0 and 9223372036854775807 and mod(v.version, 1024) = newest_of.node;
  return newest;
end $$;

-- One number for all rows of all enrolled tables, whatever order they are read in, and how many rows there are. The settings are part of
-- it: the text of a row must be the same at every site. So columns go by their names: a site that is older than a column has it behind ours.
create or replace function sync.digest(out digest text, out rows bigint)
  language plpgsql stable
  set datestyle = 'ISO' set timezone = 'UTC' set intervalstyle = 'postgres' set bytea_output = 'hex' set extra_float_digits = 1
as $$
declare
  enrolled record;
  counted  bigint;
  summed   numeric;
  total    numeric := 0;
begin
  rows := 0;
  for enrolled in
    select t.relation, n.nspname, c.relname, string_agg(format('r.%I', a.attname), ', ' order by a.attname) as columns
      from sync.tables t
      join pg_namespace n on n.nspname = split_part(t.relation, '.', 1)
      join pg_class c on c.relnamespace = n.oid and c.relname = substr(t.relation, strpos(t.relation, '.') + 1) and c.relkind in ('r', 'p')
      join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
     group by t.relation, n.nspname, c.relname
     order by t.relation
  loop
    execute format('select count(*), coalesce(sum(hashtextextended(%L || row(%s)::text, 0)), 0) from %I.%I r',
                   enrolled.relation, enrolled.columns, enrolled.nspname, enrolled.relname)
      into counted, summed;
    rows := rows + counted;
    total := total + summed;
  end loop;
  digest := lpad(to_hex((mod(mod(total, 18446744073709551616) + 18446744073709551616, 18446744073709551616) - 9223372036854775808)::bigint), 16, '0');
end $$;
