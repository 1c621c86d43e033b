//! Every built-in type, at its edges; what ClickHouse has no place for; and rows that somebody changed there.

use std::time::Duration;

use anyhow::{Result, ensure};
use synccluster_harness::{Kafka, eventually};
use synccluster_integration::{
    Part,
    analytics::Filled,
    debezium::{self, Engine},
};
use synccluster_protocol::{Site, status::ConnectorPhase};

use crate::{forge, server};

const SERVER: Site = Site::Server;

const SCHEMA: &str = r#"
create type mood as enum ('sad', 'ok', 'happy');
create domain price as numeric(10, 2) check (value >= 0);
create table every (
  id int, at timestamptz, raw bytea, primary key (id, at, raw),
  small smallint, big bigint, o oid, num numeric, dec numeric(38, 10), dbl double precision, rl real, flag boolean, vc varchar(30),
  ch char(4), body bytea, j json, jb jsonb, x xml, ints int[], texts text[], decs numeric(9, 2)[], stamps timestamptz[], "Day" date,
  clock time, clocktz timetz, ts timestamp, tstz timestamptz, span interval, uid uuid, ip inet, net cidr, mac macaddr, b bit(3),
  vb varbit, mood mood, moods mood[], price price, rng int4range, pt point, m money, tsv tsvector, deleted boolean not null default false,
  "quo`te" text, gen int generated always as (id * 2) stored)"#;

/// Lines of values of the columns after the key.
const ROWS: [&str; 3] = [
    r#"(1, '2024-02-29 12:00:00.250001+00', '\x00ff', -32768, -9223372036854775808, 4294967295, '1e-400', -9999999999999999999999999999.9999999999,
      '-Infinity', 'NaN', true, E'tab\t quote'' back\\ nul-free \u00e4', 'ab', '\x00010a0d5c27', '{"a":  [1, 2]}', '{"b": 1.10}', '<a/>',
      '{1,NULL,-3}', E'{"a,b","c\\"d",NULL,"NULL",""}', '{1.50,NULL}', '{2024-01-01 00:00:00+00}', '0044-03-15 BC', '24:00:00', '23:59:59.5+02',
      '1969-12-31 23:59:59.5', '0001-01-01 00:00:00+00 BC', 'P1Y2M3DT4H', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '10.0.0.1', '10.0.0.0/8',
      '08:00:2b:01:02:03', '101', '10', 'happy', '{sad,happy}', 9.90, '[1,10)', '(1,2)', 12.34, 'a:1 b:2', false, 'q')"#,
    r#"(1, 'infinity', '', 32767, 9223372036854775807, 0, 'NaN', 0, 1e-300, 3.4e38, false, '', '', '', '1', '"x"', '<b/>', '{}', '{}', '{}', '{}',
      'infinity', '00:00:00', '00:00:00+00', 'infinity', '-infinity', 'P-1D', '00000000-0000-0000-0000-000000000000', '::1', '::/0',
      '00:00:00:00:00:00', '000', '', 'sad', '{}', 0, 'empty', '(0,0)', -0.01, '', true, '')"#,
    "(2, '2105-12-31 23:59:59+00', '\\x01', null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null,
      null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, false, null)",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_type_is_the_same_in_both_and_its_delete_finds_it() -> Result<()> {
    let world = server(SCHEMA).await?;
    let filled = Filled::start(&world).await?;
    world
        .run(SERVER, &format!("insert into every values {}", ROWS.join(", ")))
        .await?;
    filled
        .wait_for("select count() from analytics.every_current", "3")
        .await?;
    let report = filled.same(&world).await?;
    ensure!(
        report.tables[0].clickhouse.as_ref().is_some_and(|side| side.rows == 3),
        "{report:?}"
    );
    // What people see, beside what is compared.
    let shown = "select flag, `Day`, texts, price, at__time, tstz__time, moods, deleted, `quo``te` from analytics.every_current where big = -9223372036854775808";
    let shown = shown.replace("``", "\\`");
    let expected = "1\t-735160\t['a,b','c\"d',NULL,'NULL','']\t9.90\t2024-02-29 12:00:00\t\\N\t['sad','happy']\t0\tq";
    filled.wait_for(&shown, expected).await.or_else(|error| {
        // Newer ones write a Decimal without trailing zeros.
        if format!("{error:#}").contains("\t9.9\t") {
            Ok(())
        } else {
            Err(error)
        }
    })?;
    filled
        .wait_for(
            "select distinct sync_deleted from analytics.every where deleted = 1",
            "0",
        )
        .await?;
    // Deletes have their key from jsonb, rows from the WAL: they must meet, whatever the types.
    for (which, left) in [("at = 'infinity'", "2"), ("id = 2", "1"), ("true", "0")] {
        world.run(SERVER, &format!("delete from every where {which}")).await?;
        filled
            .wait_for("select count() from analytics.every_current", left)
            .await?;
    }
    filled.same(&world).await.map(drop)
}

/// What Debezium does not take is left out: columns `clocktz` and `vb`.
fn without_what_debezium_loses(sql: &str) -> String {
    [
        ("clocktz timetz, ", ""),
        ("vb varbit, ", ""),
        ("'23:59:59.5+02',", ""),
        ("'00:00:00+00', ", ""),
        ("'101', '10',", "'101',"),
        ("'000', '',", "'000',"),
        ("null, null, null, false", "null, false"),
    ]
    .into_iter()
    .fold(sql.to_owned(), |sql, (from, to)| sql.replace(from, to))
}

/// What Debezium writes otherwise, beside what is among the above.
const OTHERWISE: &str = r#"
create type pair as (a int, b text);
create domain percent as numeric;
create domain portion as percent;
create domain moment as date;
create domain due as moment;
create table otherwise (
  id int, flags bit(9), "day" date, span interval, fee money, at timestamp, share percent, primary key (id, flags, "day", span, fee, at, share),
  b1 bit(1), b20 bit(20), bx box, ln line, ls lseg, pa path, po polygon, cr circle, pt point, pr pair, mr int4multirange, lsn pg_lsn,
  tsq tsquery, jp jsonpath, xx xid, days date[], n numeric, part portion, due due)"#;

const OTHERWISE_ROWS: [&str; 3] = [
    r#"(1, '000000101', 'infinity', '1 year 2 mons -3 days 04:05:06.789', 1234567.89, 'infinity', 'NaN', '1', '10000000000000000001', '(1,2),(3,4)',
      '{1,2,3}', '[(1,2),(3,4)]', '[(1,2),(3,4)]', '((1,2),(3,4),(5,6))', '<(1,2),3>', '(-1,1e300)', '(1,"x y")', '{[1,3),[5,8)}', '16/B374D848',
      'fat & cat', '$.a[*]', '7', '{2024-02-29,infinity,-infinity,NULL}', 'NaN', 'NaN', 'infinity')"#,
    r"(2, '111111111', '-infinity', '0', -0.01, '-infinity', '-Infinity', '0', '00000000000000000000', '(0.1,-0.00001),(0,0)', '{-1,0.5,1e20}',
      '[(0,0),(0,0)]', '((1,2),(3,4))', '((1e15,1e-5),(2,3))', '<(0.30000000000000004,2),0>', '(0.1,123456789012345)', '(,)', '{}', '0/0', 'fat', '$',
      '0', '{}', 'Infinity', '-Infinity', '2024-02-29')",
    r"(3, '000000000', '2024-02-29', '-1 day 00:00:01.5', 0, '1999-12-31 23:59:59.25', 33.30, null, null, null, null, null, null, null, null,
      '(0,0)', null, null, null, null, null, null, null, 123456789012345678901234567890.10, 33.30, null)",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_type_is_the_same_with_engine_debezium() -> Result<()> {
    let schema = without_what_debezium_loses(SCHEMA);
    let mut world = server(&format!("{schema}; {OTHERWISE}")).await?;
    // The native one makes the topic.
    eventually(debezium::PATIENCE, async || {
        let status = world.at(SERVER).connector_status()?;
        ensure!(status.phase == ConnectorPhase::Streaming, "{:?}", status.phase);
        Ok(())
    })
    .await?;
    world.leave_out(SERVER, Part::Connector).await?;
    let kafka = Kafka::shared().await?.bootstrap();
    let engine = Engine::start(&world, SERVER, &kafka)?;
    engine.is(ConnectorPhase::Streaming).await?;
    let mut filled = Filled::start(&world).await?;
    let rows = without_what_debezium_loses(&ROWS.join(", "));
    let otherwise = OTHERWISE_ROWS.join(", ");
    world
        .run(
            SERVER,
            &format!("insert into every values {rows}; insert into otherwise values {otherwise}"),
        )
        .await?;
    until(&filled, "every", 3).await?;
    until(&filled, "otherwise", 3).await?;
    let report = filled.same(&world).await?;
    ensure!(report.tables.len() == 2 && filled.status()?.parked == 0, "{report:?}");
    // Updates and deletes must meet the rows, by keys of these types too.
    world
        .run(
            SERVER,
            "update otherwise set bx = '(7,8),(5,6)', b1 = '1' where id <> 2; delete from otherwise where id = 2;
             update every set pt = '(1.5,-2)', b = '110'; delete from every where at = 'infinity'",
        )
        .await?;
    until(&filled, "every", 2).await?;
    until(&filled, "otherwise", 2).await?;
    filled.same(&world).await?;

    // The native connector goes on from here: rows of both are in one topic, and a rebuild reads both.
    engine.stop().await?;
    world.pause(SERVER).await;
    world.resume(SERVER)?;
    world
        .run(
            SERVER,
            &format!("insert into every values {rows} on conflict do nothing"),
        )
        .await?;
    until(&filled, "every", 3).await?;
    filled.pause().await;
    filled.generation += 1;
    filled.resume(&world)?;
    let status = filled.caught_up().await?;
    ensure!(status.generation == 1 && status.parked == 0, "{status:?}");
    filled.same(&world).await.map(drop)
}

/// Java takes its time.
async fn until(filled: &Filled, table: &str, rows: usize) -> Result<()> {
    eventually(debezium::PATIENCE, async || {
        let count = format!("select count() from analytics.{table}_current");
        let seen = filled.clickhouse.ask(&count).await?;
        ensure!(
            seen.trim() == rows.to_string(),
            "{table}: {seen} rows; {:?}",
            filled.status()
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_clickhouse_cannot_hold_is_parked_and_stops_nobody() -> Result<()> {
    let world = server("create table t (id int primary key, n numeric(9, 2), grid int[])").await?;
    let filled = Filled::start(&world).await?;
    world
        .run(
            SERVER,
            "insert into t values (1, 1, '{1}'), (2, 'NaN', '{1}'), (3, 3, '{{1,2},{3,4}}'), (4, 4, null)",
        )
        .await?;
    forge(&world, "t", "7").await?;
    filled
        .wait_for(
            "select groupArray(id) from (select id from analytics.t_current order by id)",
            "[1,4]",
        )
        .await?;
    let parked = "select groupArray(source), max(position(reason, 'NaN') > 0), max(position(reason, 'type String') > 0) \
                  from (select * from analytics.sync_parked final order by offset)";
    filled
        .wait_for(parked, "['public.t','public.t','public.t']\t1\t1")
        .await?;
    let status = filled.wait_until("told", |status| status.parked == 3).await?;
    ensure!(status.parked_reason.is_some(), "{status:?}");
    let report = filled.verify(&world, Duration::ZERO).await?;
    ensure!(!report.equal && report.tables[0].unfit == 2, "{report:?}");

    // ClickHouse itself refuses a row: just that one is left out, whatever it came with.
    filled
        .clickhouse
        .ask("alter table analytics.t add column refused UInt8 default throwIf(id = 130)")
        .await?;
    world
        .run(
            SERVER,
            "insert into t select i, i, '{1}' from generate_series(100, 199) i",
        )
        .await?;
    filled
        .wait_for("select count() from analytics.t_current", "101")
        .await?;
    filled.wait_until("told", |status| status.parked == 4).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_tampered_with_is_found_and_a_rebuild_mends_it() -> Result<()> {
    let world = server("create table t (id int primary key, body text)").await?;
    let mut filled = Filled::start(&world).await?;
    world
        .run(
            SERVER,
            "insert into t select i, 'row ' || i from generate_series(1, 2000) i; delete from t where id % 10 = 0",
        )
        .await?;
    filled.same(&world).await?;
    for tamper in [
        "insert into analytics.t select id, 'another', sync_version + 1, 0 from analytics.t where id = 7",
        "insert into analytics.t values (5000, 'never was', 1024, 0)",
        "insert into analytics.t select id, body, sync_version + 1, 1 from analytics.t where id = 9",
    ] {
        filled.clickhouse.ask(tamper).await?;
        let report = filled.verify(&world, Duration::ZERO).await?;
        ensure!(!report.equal && !report.tables[0].equal, "{tamper}: {report:?}");
        filled.pause().await;
        filled.generation += 1;
        filled.resume(&world)?;
        filled.same(&world).await?;
    }
    let status = filled.caught_up().await?;
    ensure!((status.generation, status.rebuilding_to) == (3, None), "{status:?}");
    Ok(())
}
