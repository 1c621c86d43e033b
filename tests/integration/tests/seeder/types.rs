//! A table with a column of every built-in type is filled, changed and the same everywhere.

use anyhow::Result;
use synccluster_integration::World;
use synccluster_seeder::{
    journal::Order,
    plan::{Deltas, Load},
};

use super::{ONE, Place, accounted_for, done, runs};

const EVERY: &str = "
    create type mood as enum ('sad', 'so so');
    create domain code as varchar(8) not null check (char_length(value) = 8);
    create table every (
      id int generated always as identity primary key, u uuid not null unique, b bool, i2 int2, i4 int4, i8 int8, o oid, f4 float4, f8 float8, n numeric, n2 numeric(5, 2),
      m money, t text, v varchar(10), c char(5), na name, co code, bin bytea, d date, ti time, tz timetz, ts timestamp, tsz timestamptz, iv interval, j json, jb jsonb, mo mood,
      ina inet, ci cidr, ma macaddr, m8 macaddr8, bi bit(3), vb bit varying(9), lsn pg_lsn, tv tsvector, tq tsquery, pt point, li line, ls lseg, bo box, pa path, po polygon, cc circle,
      r4 int4range, rn numrange, rd daterange, rt tstzrange, mr int8multirange, ia int[], ta text[], tsa timestamptz[], moa mood[], tiny int2 check (tiny between 3 and 5),
      doubled int generated always as (i4 * 2) stored,
      unique (d, v));
    create table days (day date primary key, price numeric(4, 1) not null check (price > 0 and price < 10));
    create table \"Odd Names\" (\"Key\" text, \"the second\" smallint, \"select\" text not null, primary key (\"Key\", \"the second\"));";

#[tokio::test(flavor = "multi_thread")]
async fn every_type_gets_values_that_its_table_takes() -> Result<()> {
    let (world, place) = (World::start(1, EVERY).await?, Place::new()?);
    let runs = runs(&world, &place)?;
    let load = Load {
        rows: 400,
        ..Load::default()
    };
    let loaded = done(&runs, Order::Load(load)).await?;
    let deltas = Deltas {
        rate: 1000,
        operations: Some(2000),
        ..Deltas::default()
    };
    let written = done(&runs, Order::Deltas(deltas)).await?;
    assert_eq!((written.refused, written.unknown), (0, 0), "{written:?}");
    accounted_for(&runs, &loaded.id).await?;
    accounted_for(&runs, &written.id).await?;
    world.converged().await?;
    let empty = "select count(*) from every where (to_jsonb(every) - 'sync_parent') is null";
    assert_eq!(world.ask(ONE, empty).await?, ["0"]);
    // No column was left out: in four hundred rows each has a value.
    let filled = "select string_agg(key, ',') from (select key from every, jsonb_each(to_jsonb(every)) group by key having bool_and(value = 'null')) none where key <> 'sync_parent'";
    assert_eq!(world.ask(ONE, filled).await?, ["NULL"]);
    Ok(())
}
