//! Local writers race the sinks, and clocks disagree.

use anyhow::{Result, ensure};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use synccluster_harness::eventually;
use synccluster_integration::{PATIENCE, World};
use synccluster_protocol::Site;

const SERVER: Site = Site::Server;
const ONE: Site = Site::Client(1);
const TWO: Site = Site::Client(2);
const COUNTERS: &str = "create table counters (id int primary key, n int not null, note text)";

/// Inserts, updates and deletes of few keys, as fast as the site takes them.
async fn hammer(world: &World, site: Site, seed: u64) -> Result<()> {
    let app = world.app(site).await?;
    let mut random = StdRng::seed_from_u64(seed);
    for n in 0..400 {
        let id = random.random_range(1..=4);
        let statement = match random.random_range(0..10) {
            0..=4 => format!(
                "insert into counters values ({id}, {n}, '{site}') on conflict (id) do update set n = excluded.n, note = excluded.note"
            ),
            5..=6 => format!("update counters set n = n + 1, note = '{site}' where id = {id}"),
            7 => format!(
                "update counters set id = id + 4 where id = {id} and not exists (select from counters where id = {id} + 4)"
            ),
            8 => format!("insert into counters values ({id}, {n}, '{site}') on conflict do nothing"),
            _ => format!("delete from counters where id in ({id}, {id} + 4)"),
        };
        // A row may come from elsewhere between the statement's look and its write; the application sees that as it would any other writer.
        if let Err(error) = app.batch_execute(&statement).await {
            ensure!(
                error.code() == Some(&tokio_postgres::error::SqlState::UNIQUE_VIOLATION),
                "{site}: {statement}: {error:?}"
            );
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_writes_the_same_keys_at_once_and_all_end_equal() -> Result<()> {
    let world = World::start(2, COUNTERS).await?;
    for round in 0..3 {
        let seed = u64::from(rand::random::<u16>());
        println!("round {round}: seed {seed}");
        tokio::try_join!(
            hammer(&world, SERVER, seed),
            hammer(&world, ONE, seed + 1),
            hammer(&world, TWO, seed + 2)
        )?;
        world.converged().await?;
        let parked = "select count(*) from sync.parked";
        for site in [SERVER, ONE, TWO] {
            ensure!(world.ask(site, parked).await? == ["0"], "{site} has parked events");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_whose_clock_is_far_ahead_waits_alone_and_is_named() -> Result<()> {
    let world = World::start(2, COUNTERS).await?;
    world.converged().await?;
    // What a site with a clock ten minutes ahead would write; without its trigger, since the clock here is right.
    let ahead = "set session_replication_role = replica;
                 insert into counters (id, n, note, sync_version) values (1, 1, 'ahead', (sync.now_micros() + 600000000) << 10 | 1)";
    world.at(ONE).postgres.superuser().await?.batch_execute(ahead).await?;
    world.run(TWO, "insert into counters values (2, 2, 'in time')").await?;
    world
        .wait_for(SERVER, "select note from counters", &["in time"])
        .await?;
    let topic = world.cluster.topic(ONE);
    eventually(PATIENCE, async || {
        let status = world.at(SERVER).sink_status()?;
        let ahead = status
            .sources
            .iter()
            .find(|source| source.topic == topic)
            .and_then(|source| source.clock_ahead_millis);
        ensure!(ahead.is_some_and(|millis| millis > 10_000), "{status:?}");
        Ok(())
    })
    .await?;
    ensure!(
        world.ask(SERVER, "select note from counters").await? == ["in time"],
        "the row that is ahead was applied"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_the_clock_fills_no_memory_and_makes_nobody_else_wait() -> Result<()> {
    let world = World::start(2, COUNTERS).await?;
    world.converged().await?;
    let ahead = "do $$ begin
        set local session_replication_role = replica;
        for n in 1..8000 loop
            insert into counters (id, n, note, sync_version) values (n, n, repeat('ahead', 100), (sync.now_micros() + 60000000) << 10 | 1);
            if n % 10 = 0 then commit; set local session_replication_role = replica; end if;
        end loop;
    end $$";
    world.at(ONE).postgres.superuser().await?.batch_execute(ahead).await?;
    eventually(PATIENCE, async || {
        let acknowledged = world.at(ONE).connector_status()?.records_acknowledged;
        ensure!(acknowledged >= 8000, "{acknowledged} records were sent");
        Ok(())
    })
    .await?;
    for n in 1..4 {
        world
            .run(TWO, &format!("insert into counters values (-{n}, {n}, 'in time')"))
            .await?;
        world
            .wait_for(SERVER, "select count(*) from counters where id > 0", &["0"])
            .await?;
        world
            .wait_for(SERVER, "select count(*) from counters where id < 0", &[&n.to_string()])
            .await?;
    }
    world
        .wait_for(SERVER, "select count(*) from counters", &["8003"])
        .await?;
    world.converged().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_after_seeing_a_row_is_the_later_one_though_the_clock_is_behind() -> Result<()> {
    let world = World::start(1, COUNTERS).await?;
    world.converged().await?;
    // Four seconds ahead is within what is waited for.
    let ahead = "set session_replication_role = replica;
                 insert into counters (id, n, note, sync_version) values (1, 1, 'ahead', (sync.now_micros() + 4000000) << 10 | 1)";
    world.at(ONE).postgres.superuser().await?.batch_execute(ahead).await?;
    world.wait_for(SERVER, "select note from counters", &["ahead"]).await?;
    world.run(SERVER, "update counters set note = 'seen it'").await?;
    world
        .run(SERVER, "insert into counters values (2, 2, 'after it')")
        .await?;
    let order = "select bool_and(late.sync_version > seen.version) from counters late,
                        (select sync_parent as version from counters where id = 1) seen";
    ensure!(
        world.ask(SERVER, order).await? == ["t"],
        "a write made after seeing another has the lower version"
    );
    world.converged().await?;
    ensure!(
        world.ask(SERVER, "select count(*) from sync.conflicts").await? == ["0"],
        "a conflict where there was none"
    );
    Ok(())
}
