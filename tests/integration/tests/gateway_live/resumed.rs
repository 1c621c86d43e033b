//! Streams that are resumed, and readers that are slow.

use std::{future::poll_fn, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use synccluster_gateway::live;
use synccluster_harness::eventually;
use synccluster_integration::{PATIENCE, World};
use synccluster_protocol::codec::{self, ColumnType};
use synccluster_runtime::clock::now_micros;
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls};

use crate::{
    ONE, SERVER, TODOS, all_followed, change,
    events::{Event, Events},
    gateway,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_resumed_misses_nothing() -> Result<()> {
    let world = World::start(1, TODOS).await?;
    world.converged().await?;
    let gateway = gateway(&world).await?;
    all_followed(&world, &[&gateway]).await?;
    let insert = async |title: &str| {
        world
            .run(ONE, &format!("insert into todos (title) values ('{title}')"))
            .await
    };
    let mut events = Events::open(&gateway, "?sites=client-1", None).await?;
    insert("first").await?;
    events.until(change(ONE, "first")).await?;
    let id = events.last.clone();
    drop(events);
    for title in ["second", "third"] {
        insert(title).await?;
    }
    world.wait_for(SERVER, "select count(*) from todos", &["3"]).await?;
    insert("fourth").await?;
    let titles = |events: &[Event]| {
        let titles = events
            .iter()
            .filter_map(|event| event.data["row"]["values"]["title"].as_str().map(str::to_owned));
        titles.collect::<Vec<_>>()
    };
    let mut resumed = Events::open(&gateway, "?sites=client-1", Some(&id)).await?;
    let missed = resumed.until(change(ONE, "fourth")).await?;
    assert_eq!(titles(&missed), ["second", "third", "fourth"]);
    assert!(missed.iter().all(|event| event.kind != "reset"), "{missed:?}");

    for unknown in ["1-1", "nonsense", "18446744073709551615-18446744073709551615"] {
        let mut events = Events::open(&gateway, "", Some(unknown)).await?;
        assert_eq!(events.next().await?.kind, "reset", "{unknown}");
    }
    // The same for those who cannot send the header.
    let mut resumed = Events::open(&gateway, &format!("?sites=client-1&last_event_id={id}"), None).await?;
    assert_eq!(
        titles(&resumed.until(change(ONE, "fourth")).await?),
        ["second", "third", "fourth"]
    );

    // Before anything has happened there is an id to resume with, too.
    let mut silent = Events::open(&gateway, "?tables=public.none", None).await?;
    eventually(PATIENCE, async || {
        assert_eq!(silent.rest().await?, []);
        ensure!(!silent.last.is_empty(), "no id has come yet");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_larger_than_the_memory_of_events_is_a_reset_for_who_is_slow() -> Result<()> {
    let mut world = World::start(1, TODOS).await?;
    world.converged().await?;
    let gateway = gateway(&world).await?;
    all_followed(&world, &[&gateway]).await?;
    world.pause(ONE).await;
    let mut slow = gateway.app.live.bus.subscribe(None);
    let mut events = Events::open(&gateway, "?sites=client-1", None).await?;
    world
        .run(
            ONE,
            "insert into todos (title) select 'row ' || n from generate_series(1, 60000) n",
        )
        .await?;
    world.run(ONE, "insert into todos (title) values ('after it')").await?;
    // Whoever reads gets there, past a reset or not.
    events.until(change(ONE, "after it")).await?;
    let first = slow.ready();
    assert_eq!(first.first().map(|event| event.news.kind), Some(live::bus::Kind::Reset));
    Ok(())
}

/// When so many commits that notify `told` are heard of by Postgres' own means, in microseconds; as long as there is the client.
async fn listen(world: &World, commits: usize) -> Result<(Client, JoinHandle<Result<Vec<i64>>>)> {
    let mut config = Config::new();
    config.host("127.0.0.1").port(world.at(ONE).postgres.port());
    let (client, mut connection) = config.user("postgres").dbname("app").connect(NoTls).await?;
    let hearing = tokio::spawn(async move {
        let mut heard = Vec::new();
        while heard.len() < commits {
            let message = poll_fn(|context| connection.poll_message(context)).await;
            if let AsyncMessage::Notification(_) = message.context("the connection ended")?? {
                heard.push(now_micros());
            }
        }
        anyhow::Ok(heard)
    });
    client.batch_execute("listen told").await?;
    Ok((client, hearing))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_told_in_a_moment() -> Result<()> {
    let world = World::start(1, TODOS).await?;
    world.converged().await?;
    let gateway = gateway(&world).await?;
    all_followed(&world, &[&gateway]).await?;
    let mut bus = gateway.app.live.bus.subscribe(None);
    let (_client, hearing) = listen(&world, 100).await?;
    let app = world.app(ONE).await?;
    let writing = tokio::spawn(async move {
        for _ in 0..100 {
            app.batch_execute("insert into todos (title) values ('now'); notify told")
                .await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::Ok(())
    });
    let (mut took, mut told_at) = (Vec::new(), Vec::new());
    while took.len() < 100 {
        for event in tokio::time::timeout(PATIENCE, bus.next()).await? {
            if event.news.kind == live::bus::Kind::Change && event.news.site == Some(ONE) {
                let told: Value = serde_json::from_str(&event.news.data)?;
                let at = told["at"]
                    .as_str()
                    .and_then(|at| at.strip_suffix('Z'))
                    .context("a time")?;
                let at = codec::encode(&ColumnType::Timestamp, &at.replacen('T', " ", 1));
                told_at.push(now_micros());
                took.push(now_micros() - at.as_i64().context("a time")?);
            }
        }
    }
    writing.await??;
    // Of fewer than 100 it is the worst but one, too.
    let median_and_p99 = |took: &mut Vec<i64>| {
        took.sort_unstable();
        (took[took.len() / 2], took[took.len() * 99 / 100 - 1])
    };
    let (median, p99) = median_and_p99(&mut took);
    println!(
        "of {} commits, each is told within {median} µs (median), {p99} µs (p99)",
        took.len()
    );
    // Where the machine keeps Postgres or this process waiting, what Postgres itself tells is as late.
    let heard = hearing.await??;
    let mut behind: Vec<i64> = told_at.iter().zip(heard).map(|(told, heard)| told - heard).collect();
    let (median, p99) = median_and_p99(&mut behind);
    assert!(median < 250_000 && p99 < 250_000, "{behind:?} behind, {took:?}");
    Ok(())
}
