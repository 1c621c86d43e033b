//! Rows come, change and go; and ClickHouse follows.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use synccluster_integration::{World, analytics::Filled};
use synccluster_protocol::Site;

use crate::{TODOS, forge, server};

const SERVER: Site = Site::Server;
const SOON: Duration = Duration::from_secs(2);

/// How soon a change is visible: the soonest of some that follow one another. A machine that has other work holds up some of them, and a sink
/// that is slow by itself all: each is made as soon as the one before is seen.
async fn soonest_change(world: &World, filled: &Filled) -> Result<Duration> {
    let mut soonest = Duration::MAX;
    for votes in 1..=10 {
        let begun = Instant::now();
        world.run(SERVER, "update todos set votes = votes + 1").await?;
        filled
            .wait_for(
                "select title, votes from analytics.todos_current",
                &format!("first\t{votes}"),
            )
            .await?;
        soonest = soonest.min(begun.elapsed());
        if soonest < SOON {
            break;
        }
    }
    Ok(soonest)
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_change_and_go_within_two_seconds() -> Result<()> {
    let world = server(TODOS).await?;
    let mut filled = Filled::start(&world).await?;
    filled
        .wait_for(
            "select count() from system.tables where database = 'analytics' and name = 'todos_current'",
            "1",
        )
        .await?;
    world.run(SERVER, "insert into todos (title) values ('first')").await?;
    filled
        .wait_for(
            "select title, votes, sync_site from analytics.todos_current",
            "first\t0\tserver",
        )
        .await?;

    let soonest = soonest_change(&world, &filled).await?;
    ensure!(soonest < SOON, "visible after {soonest:?}");

    // A key that changes is a delete and an insert; a TRUNCATE is a delete of each.
    world
        .run(
            SERVER,
            "insert into todos (title) select 'row ' || i from generate_series(1, 5) i",
        )
        .await?;
    world
        .run(
            SERVER,
            "update todos set id = default where title = 'row 1'; delete from todos where title in ('row 2', 'first')",
        )
        .await?;
    filled
        .wait_for(
            "select groupArray(title) from (select title from analytics.todos_current order by title)",
            "['row 1','row 3','row 4','row 5']",
        )
        .await?;
    world.run(SERVER, "truncate todos").await?;
    filled
        .wait_for("select count() from analytics.todos_current", "0")
        .await?;
    world
        .run(SERVER, "insert into todos (title) values ('after the truncate')")
        .await?;
    let report = filled.same(&world).await?;
    ensure!(
        report.tables[0].postgres.as_ref().is_some_and(|side| side.rows == 1),
        "{report:?}"
    );

    let status = filled.caught_up().await?;
    ensure!(status.rows_written >= 15 && status.deletes_written >= 7, "{status:?}");
    ensure!(
        status.clickhouse_version.is_some() && status.parked == 0 && status.skipped == 0,
        "{status:?}"
    );
    let metrics = filled.metrics()?;
    ensure!(
        metrics.contains("synccluster_analytics_lag_records{")
            && metrics.contains("synccluster_analytics_rows_written_total{"),
        "{metrics}"
    );
    filled.pause().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_s_rows_arrive_through_the_server_and_say_who_wrote_them() -> Result<()> {
    let world = World::start(1, TODOS).await?;
    let client = Site::Client(1);
    let filled = Filled::start(&world).await?;
    world
        .run(client, "insert into todos (title) values ('from client-1')")
        .await?;
    let query = "select title, sync_site, toUnixTimestamp(sync_written_at) > 1600000000 from analytics.todos_current";
    filled.wait_for(query, "from client-1\tclient-1\t1").await?;
    world.run(client, "delete from todos").await?;
    filled
        .wait_for("select count() from analytics.todos_current", "0")
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_late_or_twice_changes_nothing() -> Result<()> {
    let world = server(TODOS).await?;
    let mut filled = Filled::start(&world).await?;
    world
        .run(SERVER, "insert into todos (title) values ('kept'), ('deleted')")
        .await?;
    world
        .run(
            SERVER,
            "update todos set votes = 7 where title = 'kept'; delete from todos where title = 'deleted'",
        )
        .await?;
    filled
        .wait_for("select title, votes from analytics.todos_current", "kept\t7")
        .await?;
    let ids = world
        .ask(
            SERVER,
            "select id::text from todos union all select key->>'id' from sync.tombstones",
        )
        .await?;
    for id in &ids {
        forge(
            &world,
            "todos",
            &format!(r#"{{"id":{id},"title":"old","votes":1,"sync_version":1024,"sync_parent":null}}"#),
        )
        .await?;
    }
    filled.caught_up().await?;
    filled
        .wait_for("select title, votes from analytics.todos_current", "kept\t7")
        .await?;
    filled.same(&world).await?;

    // Killed after the rows were written and before their progress was: they are written again.
    filled.pause().await;
    let rows = "select count() from analytics.todos";
    // First: a merge would take away some of what was counted.
    filled.clickhouse.ask("system stop merges analytics.todos").await.ok();
    let before: u64 = filled.clickhouse.ask(rows).await?.trim().parse()?;
    let back = "insert into analytics.sync_progress select topic, generation, 0, tables, left_out, written_at + 1000000 \
                from analytics.sync_progress order by written_at desc limit 1";
    filled.clickhouse.ask(back).await?;
    filled.resume(&world)?;
    filled.caught_up().await?;
    let after: u64 = filled.clickhouse.ask(rows).await?.trim().parse()?;
    ensure!(
        after > before,
        "the same rows were not written again: {before}, {after}"
    );
    filled.same(&world).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_and_a_table_that_come_later_are_followed() -> Result<()> {
    let world = server(TODOS).await?;
    let filled = Filled::start(&world).await?;
    world.run(SERVER, "insert into todos (title) values ('old')").await?;
    filled
        .wait_for("select title from analytics.todos_current", "old")
        .await?;
    // The old row never travels with its new columns: Postgres fills them in where it is read, and so does ClickHouse.
    world
        .run(SERVER, "alter table todos add column due date default '2024-02-29', add column tags text[] not null default '{a,b}', add column note text")
        .await?;
    world
        .run(SERVER, "insert into todos (title, note) values ('new', 'n')")
        .await?;
    filled
        .wait_for(
            "select title, due__date, tags, note from analytics.todos_current order by title",
            "new\t2024-02-29\t['a','b']\tn\nold\t2024-02-29\t['a','b']\t\\N",
        )
        .await?;
    filled.same(&world).await?;
    // Wider, and null where it was not.
    world
        .run(
            SERVER,
            "alter table todos alter column votes type bigint, alter column votes drop not null, drop column note",
        )
        .await?;
    world
        .run(
            SERVER,
            "insert into todos (title, votes) values ('wide', 5000000000), ('none', null)",
        )
        .await?;
    filled
        .wait_for(
            "select title, votes from analytics.todos_current where title in ('wide', 'none') order by title",
            "none\t\\N\nwide\t5000000000",
        )
        .await?;

    world.write_migration(
        "V2__notes.sql",
        "create schema shop; create table shop.notes (k text primary key, n numeric(9,2))",
    )?;
    world.migrate(SERVER, None).await?;
    world.run(SERVER, "insert into shop.notes values ('a', 1.50)").await?;
    filled
        .wait_for(
            "select k, toString(n) = '1.5' or toString(n) = '1.50' from analytics.shop_notes_current",
            "a\t1",
        )
        .await?;
    filled.same(&world).await.map(drop)
}
