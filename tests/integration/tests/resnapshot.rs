//! Every row once more, under load, with the connector killed in the middle: none is missing, none is stale, and no transaction is torn.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use synccluster_harness::{Kafka, Record, eventually};
use synccluster_integration::{PATIENCE, World};
use synccluster_protocol::{Site, status::ResnapshotStatus};

const SERVER: Site = Site::Server;
const ONE: Site = Site::Client(1);
const ROWS: u64 = 12_000;
const SCHEMA: &str = "
    create table todos (id bigint primary key, title text not null, at timestamptz not null default now());
    create table parts (shop text, number numeric, \"when\" date, primary key (shop, number, \"when\"));";

/// A record of the topic, as far as it is looked at.
struct Seen {
    offset: i64,
    key: String,
    table: String,
    op: String,
    incremental: bool,
    transaction: Option<(String, u64)>,
    version: Option<i64>,
}

async fn records(topic: &str) -> Result<Vec<Seen>> {
    let records = Kafka::shared().await?.records(topic).await?;
    records.iter().filter_map(|record| read(record).transpose()).collect()
}

fn read(record: &Record) -> Result<Option<Seen>> {
    let Some(value) = &record.value else { return Ok(None) };
    let value: Value = serde_json::from_slice(value)?;
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let version = value
        .pointer("/after/sync_version")
        .or_else(|| value.pointer("/after/version"));
    Ok(Some(Seen {
        offset: record.offset,
        key: String::from_utf8(record.key.clone().context("a record without a key")?)?,
        table: text("/source/table").context("no table")?,
        op: text("/op").context("no op")?,
        incremental: text("/source/snapshot").as_deref() == Some("incremental"),
        transaction: text("/transaction/id").zip(value.pointer("/transaction/total_order").and_then(Value::as_u64)),
        version: version.and_then(Value::as_i64),
    }))
}

fn progress(world: &World, site: Site) -> Result<ResnapshotStatus> {
    world.at(site).connector_status()?.resnapshot.context("nobody asked")
}

async fn done(world: &World, site: Site, id: &str) -> Result<ResnapshotStatus> {
    eventually(PATIENCE, async || {
        let progress = progress(world, site)?;
        ensure!(progress.id == id && progress.done, "{progress:?}");
        Ok(progress)
    })
    .await
}

/// No row that is sent once more is older than what is there of it, and none comes between two records of a transaction. What a killed connector
/// had not confirmed, its successor sends again from the beginning of a transaction; that is no step backwards.
fn in_order(seen: &[Seen]) -> Result<()> {
    let mut newest: HashMap<&str, i64> = HashMap::new();
    let mut before: Option<&(String, u64)> = None;
    for record in seen {
        if let Some(version) = record.version {
            let newest = newest.entry(&record.key).or_insert(version);
            ensure!(
                !record.incremental || *newest <= version,
                "{} goes back at offset {}",
                record.key,
                record.offset
            );
            *newest = version.max(*newest);
        }
        if let Some((id, order)) = &record.transaction {
            let follows = before.is_some_and(|(same, last)| same == id && last + 1 == *order);
            ensure!(*order == 1 || follows, "{id} is torn at offset {}", record.offset);
        }
        before = record.transaction.as_ref();
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_arrives_once_more_under_load_and_after_a_kill() -> Result<()> {
    let mut world = World::start(1, SCHEMA).await?;
    let topic = world.cluster.topic(SERVER);
    world
        .run(SERVER, &format!("insert into todos (id, title) select n, 'title ' || n from generate_series(1, {ROWS}) n; delete from todos where id % 100 = 0"))
        .await?;
    world
        .run(SERVER, "insert into parts select 'o''shop' || n % 7, n / 3.0, date '2024-02-29' + n from generate_series(1, 2500) n")
        .await?;
    world.converged().await?;
    let before = records(&topic).await?.last().map_or(0, |record| record.offset);

    // Every transaction changes rows of every chunk; some rows go, some come, some get another key.
    let app = world.app(SERVER).await?;
    let load = tokio::spawn(async move {
        for round in 0_i64..400 {
            let statement = format!(
                "begin; update todos set title = 'round {round}' where id % 400 = {} and id < 20000;
                 insert into todos (id, title) values ({}, 'new'); delete from todos where id = {};
                 update parts set \"when\" = \"when\" + 1 where number = {}; commit",
                round % 3 + 1,
                20_000 + round,
                round * 29 % 12_000 + 10,
                (round % 800) + 1
            );
            app.batch_execute(&statement).await?;
        }
        anyhow::Ok(())
    });
    world.at(SERVER).resnapshot("first", None)?;
    let part = eventually(PATIENCE, async || {
        let progress = progress(&world, SERVER)?;
        ensure!(progress.rows >= 2000, "{progress:?}");
        Ok(progress)
    })
    .await?;
    world.pause(SERVER).await;
    ensure!(!part.done, "it was over before it could be interrupted: {part:?}");
    world.resume(SERVER)?;
    let after = done(&world, SERVER, "first").await?;
    load.await??;
    world.converged().await?;
    ensure!(
        after.began_at == part.began_at && after.rows >= part.rows,
        "it was begun anew: {after:?}"
    );

    let seen = records(&topic).await?;
    let since: Vec<&Seen> = seen.iter().filter(|record| record.offset > before).collect();
    let newest: BTreeMap<&str, &&Seen> = since.iter().map(|record| (record.key.as_str(), record)).collect();
    for (table, key, count) in [
        ("todos", "'{\"id\":' || id || ',\"__dbz'", 2),
        ("parts", "'{\"shop\":\"' || shop || '\"'", 2500),
        ("tombstones", "''", 120),
    ] {
        let schema = if table == "tombstones" { "sync" } else { "public" };
        let version = if table == "tombstones" {
            "version"
        } else {
            "sync_version"
        };
        let rows = world
            .ask(
                SERVER,
                &format!("select {version} || ' ' || {key} from {schema}.{table}"),
            )
            .await?;
        ensure!(rows.len() >= count, "{table} has {} rows", rows.len());
        let sent: HashMap<i64, &str> = newest
            .values()
            .filter(|record| record.table == table && record.op != "d")
            .filter_map(|record| Some((record.version?, record.key.as_str())))
            .collect();
        for row in rows {
            let (version, key) = row.split_once(' ').context("no version")?;
            let found = sent
                .get(&version.parse()?)
                .with_context(|| format!("{row} of {table} was not sent once more"))?;
            ensure!(found.starts_with(key), "{found} is not {key}");
        }
    }
    let again = since.iter().filter(|record| record.incremental).count() as u64;
    ensure!(since.iter().all(|record| !record.incremental || record.op == "r"));
    // What was on its way when the connector was killed is sent twice, and no more than that.
    ensure!(
        (5000..=after.rows + 1000).contains(&again),
        "{again} rows were read, {} were to be",
        after.rows
    );
    in_order(&seen)?;
    ensure!(world.ask(SERVER, "select count(*) from sync.conflicts").await? == ["0"]);
    ensure!(world.ask(ONE, "select count(*) from sync.parked").await? == ["0"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_table_of_a_client_is_sent_once_and_one_that_is_not_there_is_said() -> Result<()> {
    let world = World::start(1, SCHEMA).await?;
    world.run(ONE, "insert into todos (id, title) select n, 'mine' from generate_series(1, 30) n; insert into parts values ('a', 1, '2024-01-01')").await?;
    world
        .run(
            SERVER,
            "insert into todos (id, title) select n, 'theirs' from generate_series(101, 130) n",
        )
        .await?;
    world
        .run(ONE, "delete from todos where id = 7; delete from parts")
        .await?;
    world.converged().await?;
    let topic = world.cluster.topic(ONE);
    let before = records(&topic).await?.last().map_or(0, |record| record.offset);

    world.at(ONE).resnapshot("a", Some("public.todos"))?;
    let after = done(&world, ONE, "a").await?;
    // All rows of the table, wherever they were written, and its tombstones; idle, and still within seconds.
    ensure!(after.rows == 59 + 1, "{after:?}");
    let seen = records(&topic).await?;
    let again: Vec<&Seen> = seen.iter().filter(|record| record.offset > before).collect();
    ensure!(
        again.len() == 60 && again.iter().all(|record| record.incremental),
        "{} records",
        again.len()
    );
    ensure!(again.iter().filter(|record| record.table == "tombstones").count() == 1);
    ensure!(again.iter().all(|record| record.table != "parts"));
    in_order(&seen)?;

    // The same request again is no other; another one is.
    world.at(ONE).resnapshot("a", Some("public.todos"))?;
    world.at(SERVER).resnapshot("b", Some("public.nothing"))?;
    eventually(PATIENCE, async || {
        let problem = progress(&world, SERVER)?.problem.unwrap_or_default();
        ensure!(
            problem.contains("no enrolled table public.nothing") && problem.contains("public.todos"),
            "{problem}"
        );
        Ok(())
    })
    .await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    ensure!(
        records(&topic).await?.len() == seen.len(),
        "what was done was done again"
    );
    world.converged().await?;
    ensure!(world.ask(SERVER, "select count(*) from sync.conflicts").await? == ["0"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_somebody_has_locked_stops_nothing_else_and_is_sent_when_it_is_free() -> Result<()> {
    let world = World::start(1, SCHEMA).await?;
    world
        .run(
            ONE,
            "insert into todos (id, title) select n, 'mine' from generate_series(1, 30) n",
        )
        .await?;
    world.converged().await?;
    let holder = world.app(ONE).await?;
    holder
        .batch_execute("begin; lock table todos in access exclusive mode")
        .await?;
    world.at(ONE).resnapshot("locked", Some("public.todos"))?;
    eventually(PATIENCE, async || {
        let why = progress(&world, ONE)?.error.unwrap_or_default();
        ensure!(why.contains("public.todos") && why.contains("pg_locks"), "{why}");
        Ok(())
    })
    .await?;
    world.run(ONE, "insert into parts values ('a', 1, '2024-1-1')").await?;
    world.wait_for(SERVER, "select shop from parts", &["a"]).await?;
    holder.batch_execute("rollback").await?;
    let after = done(&world, ONE, "locked").await?;
    ensure!(after.rows == 30 && after.error.is_none(), "{after:?}");
    Ok(())
}
