//! Two effects that belong together, and somebody ends between them: in Kafka and in Postgres, or in Postgres and in who waits for its answer.

use anyhow::{Result, ensure};
use synccluster_harness::{Kafka, eventually};
use synccluster_integration::{PATIENCE, World};
use synccluster_protocol::{Site, status::SinkPhase};

use crate::{LARGE, ONE, SERVER, TODOS, drop_slot, of_small_messages, takes, write};

const NUMBERED: &str = "create table todos (id int primary key, title text not null)";
const LOST: &str = "select (key ->> 'id') || ' ' || kind || ': ' || coalesce(loser ->> 'title', '-') || ' lost' from sync.conflicts order by 1";

/// From now on the first sessions that are doing this at a site (`insert on sync.snapshots`) end before it is done: so many of them.
async fn ends(world: &World, site: Site, doing: &str, sessions: u32) -> Result<()> {
    // A number of a sequence stays taken when the session that took it is gone. The sink's sessions fire no other trigger than such a one.
    let statements = format!(
        "create sequence sync.ended;
         create function sync.end_session() returns trigger language plpgsql security definer as $$
         begin
           if nextval('sync.ended') <= {sessions} then
             perform pg_terminate_backend(pg_backend_pid()), pg_sleep(60);
           end if;
           return coalesce(new, old);
         end $$;
         create trigger end_session before {doing} for each row execute function sync.end_session();
         alter table {} enable always trigger end_session",
        doing.rsplit(' ').next().unwrap_or_default()
    );
    world.ask(site, &statements).await.map(drop)
}

/// How often that was tried, by sessions that ended and by those that did not.
const TRIED: &str = "select last_value from sync.ended where is_called";

async fn nothing_lost(world: &World) -> Result<()> {
    world.converged().await?;
    let lost = world.ask(SERVER, LOST).await?;
    ensure!(lost.is_empty(), "{lost:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_kafka_has_and_that_was_not_noted_is_sent_again_and_takes_nothing_back() -> Result<()> {
    let mut world = World::start(1, TODOS).await?;
    // The stream has begun.
    world.converged().await?;
    write(&world, ONE, 0, 50).await?;
    world.converged().await?;
    world.pause(ONE).await;
    write(&world, ONE, 50, 50).await?;
    // Twice: what a snapshot has of the rows is not what the server replaced last.
    for title in ["once", "twice"] {
        let changed = format!("update todos set title = '{title}'");
        world.run(SERVER, &changed).await?;
    }
    drop_slot(&world, ONE).await?;
    ends(&world, ONE, "insert on sync.snapshots", 1).await?;
    world.resume(ONE)?;
    world.wait_for(ONE, TRIED, &["2"]).await?;
    let rows = "select count(*) || ' ' || count(*) filter (where title = 'twice') from todos";
    for site in [SERVER, ONE] {
        world.wait_for(site, rows, &["100 50"]).await?;
    }
    world
        .wait_for(ONE, "select count(*) from sync.snapshots", &["1"])
        .await?;
    nothing_lost(&world).await
}

/// How often a topic has a row.
async fn times_in(topic: &str, id: u32) -> Result<usize> {
    let key = format!("{{\"id\":{id},");
    let records = Kafka::shared().await?.records(topic).await?;
    let of_row = |record: &&synccluster_harness::Record| {
        let of = record.key.as_deref().unwrap_or_default();
        of.starts_with(key.as_bytes()) && record.value.is_some()
    };
    Ok(records.iter().filter(of_row).count())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kafka_has_and_the_slot_does_not_know_of_is_sent_again_and_loses_to_nobody() -> Result<()> {
    let mut world = World::start(1, NUMBERED).await?;
    world.converged().await?;
    let topic = world.cluster.topic(ONE);
    let mut sent_twice = false;
    // A slot remembers what was confirmed from one checkpoint to the next: Postgres may just have made one.
    for id in 1..=5 {
        if sent_twice {
            break;
        }
        let of_row = format!("select title from todos where id = {id}");
        let insert = format!("insert into todos values ({id}, 'of the client')");
        world.run(ONE, &insert).await?;
        world.wait_for(SERVER, &of_row, &["of the client"]).await?;
        // Twice: nothing but its place says then that the first write was here before.
        for title in ["of the server", "of the server, again"] {
            let update = format!("update todos set title = '{title}' where id = {id}");
            world.run(SERVER, &update).await?;
        }
        world.postgres(ONE).kill().await?;
        world.postgres(ONE).restart().await?;
        // Behind whatever is sent again.
        let behind = id + 1000;
        let insert = format!("insert into todos values ({behind}, 'behind it')");
        world.run(ONE, &insert).await?;
        let arrived = format!("select title from todos where id = {behind}");
        world.wait_for(SERVER, &arrived, &["behind it"]).await?;
        for site in [SERVER, ONE] {
            world.wait_for(site, &of_row, &["of the server, again"]).await?;
        }
        sent_twice = times_in(&topic, id).await? > 1;
    }
    ensure!(sent_twice, "Postgres forgot nothing of what was confirmed");
    nothing_lost(&world).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_kafka_has_after_all_is_sent_again_where_that_was_not_noted() -> Result<()> {
    let (kafka, topic, world) = of_small_messages().await?;
    world.run(ONE, &format!("insert into docs values (1, {LARGE})")).await?;
    let aside = "select count(*) from sync.parked";
    world.wait_for(ONE, aside, &["1"]).await?;

    ends(&world, ONE, "delete on sync.parked", 1).await?;
    takes(kafka, &topic, "1000000").await?;
    world.ask(ONE, "update sync.parked set asked_at = now()").await?;
    world.wait_for(SERVER, "select id from docs", &["1"]).await?;
    world.wait_for(ONE, aside, &["0"]).await?;
    ensure!(
        world.ask(ONE, TRIED).await? == ["2"],
        "nobody ended before it was noted"
    );
    ensure!(times_in(&topic, 1).await? >= 2, "it was not sent again");
    nothing_lost(&world).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_waited_gets_through_together_with_its_entry_or_not_at_all() -> Result<()> {
    let world = World::start(1, NUMBERED).await?;
    world.converged().await?;
    world
        .run(
            SERVER,
            "alter table todos add constraint not_yet check (title <> 'late')",
        )
        .await?;
    world.run(ONE, "insert into todos values (1, 'late')").await?;
    let both = "select (select count(*) from todos) || ' ' || (select count(*) from sync.parked)";
    world.wait_for(SERVER, both, &["0 1"]).await?;

    ends(&world, SERVER, "delete on sync.parked", u32::MAX).await?;
    world.run(SERVER, "alter table todos drop constraint not_yet").await?;
    world
        .wait_for(SERVER, "select last_value >= 2 from sync.ended", &["t"])
        .await?;
    let seen = world.ask(SERVER, both).await?;
    ensure!(seen == ["0 1"], "{seen:?}");
    world.ask(SERVER, "drop trigger end_session on sync.parked").await?;
    world.wait_for(SERVER, both, &["1 0"]).await?;
    nothing_lost(&world).await
}

/// The server's sink, which alone waits at a commit for a standby that never comes; it is committed before that, and nobody has seen it.
const WAITS: &str = "from pg_stat_activity where usename = 'sync_sink' and wait_event = 'SyncRep'";

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_was_lost_is_not_applied_again() -> Result<()> {
    let mut world = World::start(1, NUMBERED).await?;
    world.run(ONE, "insert into todos values (1, 'old')").await?;
    world.wait_for(SERVER, "select title from todos", &["old"]).await?;
    world.converged().await?;
    for site in [SERVER, ONE] {
        world.pause(site).await;
    }
    for setting in [
        "alter system set synchronous_commit = 'local'",
        "alter role sync_sink set synchronous_commit = 'on'",
        "select pg_reload_conf()",
        "alter system set synchronous_standby_names = 'nobody'",
        "select pg_reload_conf()",
    ] {
        world.ask(SERVER, setting).await?;
    }
    for (site, title) in [(ONE, "of the client"), (SERVER, "of the server")] {
        let update = format!("update todos set title = '{title}'");
        world.run(site, &update).await?;
    }
    for site in [SERVER, ONE] {
        world.resume(site)?;
    }
    let waiting = format!("select count(*) {WAITS}");
    world.wait_for(SERVER, &waiting, &["1"]).await?;
    world.wait_for(SERVER, LOST, &[]).await?;
    world
        .ask(SERVER, &format!("select pg_terminate_backend(pid) {WAITS}"))
        .await?;
    let lost = ["1 update/update: of the client lost"];
    world.wait_for(SERVER, LOST, &lost).await?;

    eventually(PATIENCE, async || {
        let status = world.at(SERVER).sink_status()?;
        let behind = status.sources.iter().map(|source| source.lag_records).sum::<u64>();
        ensure!(
            status.phase == SinkPhase::Applying && status.sources.len() == 1 && behind == 0,
            "{status:?}"
        );
        // What it was not answered it has not counted, and there was nothing else.
        ensure!(status.transactions_applied == 0, "{status:?}");
        Ok(())
    })
    .await?;
    for setting in [
        "alter system reset synchronous_standby_names",
        "select pg_reload_conf()",
    ] {
        world.ask(SERVER, setting).await?;
    }
    world.run(ONE, "insert into todos values (2, 'later')").await?;
    world
        .wait_for(SERVER, "select title from todos where id = 2", &["later"])
        .await?;
    world.converged().await?;
    world.wait_for(SERVER, LOST, &lost).await
}
