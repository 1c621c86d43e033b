//! Tables that ClickHouse has otherwise than they are wanted, or does not take: each stops alone, and says what to do.

use anyhow::{Result, ensure};
use synccluster_clickhouse::{http, rebuild};
use synccluster_harness::Role;
use synccluster_integration::{World, analytics::Filled};
use synccluster_protocol::{
    Site,
    definitions::Definitions,
    status::{AnalyticsPhase, AnalyticsStatus},
};
use synccluster_runtime::postgres::PostgresSecret;

use crate::{TODOS, server};

const SERVER: Site = Site::Server;
const TAGS: &str = "select groupArray(tags) from (select tags from analytics.marks_current order by id)";
const TITLES: &str = "select groupArray(title) from (select title from analytics.todos_current order by id)";

fn problem(status: &AnalyticsStatus, source: &str) -> String {
    let table = status.tables.iter().find(|table| table.source == source);
    table.and_then(|table| table.problem.clone()).unwrap_or_default()
}

/// What the command does.
async fn rebuilt(world: &World, filled: &Filled, table: &str) -> Result<Vec<String>> {
    let postgres = PostgresSecret::read(&world.at(SERVER).postgres.secret_dir(Role::Connector))?;
    let clickhouse = http::ClickHouse::read(&filled.clickhouse.secret_dir())?;
    Ok(rebuild::rebuild(&postgres, &clickhouse, &Definitions::default(), &[table.to_owned()]).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_cannot_be_converted_stops_its_table_until_that_is_rebuilt() -> Result<()> {
    let schema = format!("{TODOS}; create table marks (id int primary key, tags text[] not null)");
    let world = server(&schema).await?;
    world
        .run(
            SERVER,
            "insert into todos (title) values ('a'); insert into marks values (1, '{x,y}')",
        )
        .await?;
    let mut filled = Filled::start(&world).await?;
    filled.wait_for(TAGS, "[['x','y']]").await?;
    filled.same(&world).await?;
    filled.pause().await;
    // As the mapping of before had it.
    for before in [
        "drop table analytics.marks",
        "create table analytics.marks (id Int32, tags String, sync_version UInt64, deleted UInt8) \
         engine = ReplacingMergeTree(sync_version) order by id",
        "insert into analytics.marks values (1, '{x,y}', 1024, 0)",
    ] {
        filled.clickhouse.ask(before).await?;
    }

    filled.resume(&world)?;
    world
        .run(
            SERVER,
            "insert into marks values (2, '{z}'); insert into todos (title) values ('b')",
        )
        .await?;
    filled.wait_for(TITLES, "['a','b']").await?;
    let status = filled
        .wait_until("told of the type", |status| {
            problem(status, "public.marks").contains("rebuild --table public.marks") && status.skipped > 0
        })
        .await?;
    ensure!(
        status.phase == AnalyticsPhase::Writing && problem(&status, "public.todos").is_empty(),
        "{status:?}"
    );
    // It is as it was, and can be read.
    filled
        .wait_for(
            "select id, tags, toTypeName(tags) from analytics.marks",
            "1\t{x,y}\tString",
        )
        .await?;

    ensure!(rebuilt(&world, &filled, "public.marks").await? == ["marks"]);
    filled.wait_for(TAGS, "[['x','y'],['z']]").await?;
    filled
        .wait_until("all is well", |status| problem(status, "public.marks").is_empty())
        .await?;
    filled.same(&world).await?;
    only_what_is_the_sink_s_is_dropped(&world, &mut filled).await
}

async fn only_what_is_the_sink_s_is_dropped(world: &World, filled: &mut Filled) -> Result<()> {
    let unknown = rebuilt(world, filled, "public.nobody").await;
    ensure!(
        unknown.is_err_and(|error| error.to_string().contains("there is no enrolled table public.nobody")),
        "a table that nobody has was rebuilt"
    );
    filled.pause().await;
    for theirs in [
        "rename table analytics.marks to analytics.kept",
        "create table analytics.marks (id Int32) engine = Log",
    ] {
        filled.clickhouse.ask(theirs).await?;
    }
    let refused = rebuilt(world, filled, "public.marks").await;
    ensure!(
        refused.is_err_and(|error| error.to_string().contains("it is not the sink's")),
        "somebody else's table was rebuilt"
    );
    let there = "select engine from system.tables where database = 'analytics' and name = 'marks'";
    ensure!(filled.clickhouse.ask(there).await?.trim() == "Log", "it was dropped");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_clickhouse_does_not_take_stops_nobody_else() -> Result<()> {
    let schema = format!(
        "{TODOS}; create table grid (id int primary key, cells int[]); create table notes (id int primary key, body text)"
    );
    let world = server(&schema).await?;
    world
        .run(
            SERVER,
            "insert into todos (title) values ('a'); insert into grid values (1, '{5}'); insert into notes values (1, 'n')",
        )
        .await?;
    let file = std::env::temp_dir().join(format!("refused-{}.yaml", world.cluster));
    // Every value of the column has a place in it, and yet no ClickHouse has such a type.
    std::fs::write(
        &file,
        "tables: [{source: public.grid, columns: [{name: cells, type: Nullable(Array(Int32))}]}]",
    )?;
    let mut filled = Filled::prepare().await?;
    filled.definitions = Some(file.clone());
    for theirs in [
        "create database analytics",
        "create table analytics.notes_current (theirs UInt8) engine = Log",
    ] {
        filled.clickhouse.ask(theirs).await?;
    }
    filled.resume(&world)?;
    filled.wait_for(TITLES, "['a']").await?;
    let status = filled
        .wait_until("told of both", |status| {
            problem(status, "public.grid").contains("code 43")
                && problem(status, "public.notes").contains("notes_current, is taken by a table of engine Log")
        })
        .await?;
    ensure!(problem(&status, "public.todos").is_empty(), "{status:?}");
    filled
        .wait_for("select count() from analytics.notes_current", "0")
        .await?;

    // Put right: what was passed by is read from the topic.
    std::fs::write(&file, "tables: []")?;
    filled.clickhouse.ask("drop table analytics.notes_current").await?;
    filled
        .wait_for("select cells from analytics.grid_current", "[5]")
        .await?;
    filled.wait_for("select body from analytics.notes_current", "n").await?;
    filled.same(&world).await?;
    std::fs::remove_file(&file)?;
    Ok(())
}
