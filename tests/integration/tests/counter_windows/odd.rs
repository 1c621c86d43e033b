//! What should not be there, and memory that is too small.

use anyhow::{Result, ensure};
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
};
use synccluster_counter::publish::topics;
use synccluster_harness::{Kafka, eventually};
use synccluster_runtime::clock::now_millis;

use crate::{
    likes::{self, Like, PATIENCE, client, counted, recount, send, wait_until_exact},
    worker::{Task, settings, world},
};

#[tokio::test(flavor = "multi_thread")]
async fn late_likes_for_windows_that_are_forgotten_are_counted_with_what_was_emitted() -> Result<()> {
    let mut settings = world(Kafka::shared().await?).await?;
    settings.rules.closed_counts = 10;
    let worker = Task::start(&settings);
    tokio::task::spawn_blocking(move || -> Result<()> {
        for round in 0..4 {
            send(&settings, &likes::some(5_000, 30, 1_700_000_000_000 + round * 900_000))?;
            wait_until_exact(&settings)?;
        }
        let late = recount(&settings)?
            .values()
            .filter(|window| window.1 != 0 && window.0 != 0)
            .count();
        ensure!(late > 100, "only {late} windows have late likes beside others");
        Ok(())
    })
    .await??;
    ensure!(worker.state.status().late > 0);
    worker.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_like_is_left_out_and_said() -> Result<()> {
    let kafka = Kafka::shared().await?;
    let settings = world(kafka).await?;
    let worker = Task::start(&settings);
    for value in [
        "",
        "{}",
        "null",
        "[1]",
        "\u{0}",
        r#"{"id":"a","by":"b","n":0,"at":1,"node":0,"position":1}"#,
    ] {
        kafka.send(&settings.topics.likes, "a", Some(value)).await?;
    }
    kafka.send(&settings.topics.likes, "a", None).await?;
    let good = Like {
        id: "a".to_owned(),
        n: 5,
        at: 1_700_000_000_000,
        position: 1,
    };
    kafka.send(&settings.topics.likes, "a", Some(&good.value())).await?;
    eventually(PATIENCE, async || {
        let status = worker.state.status();
        ensure!((status.unreadable, status.events) == (7, 1), "{status:?}");
        Ok(())
    })
    .await?;
    worker.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_from_the_future_is_counted_and_said_and_closes_nothing() -> Result<()> {
    let settings = world(Kafka::shared().await?).await?;
    let worker = Task::start(&settings);
    let now = now_millis();
    let like = |at, position| Like {
        id: "a".to_owned(),
        n: 1,
        at,
        position,
    };
    let all = [like(now, 1), like(now + 86_400_000, 2), like(now, 3)];
    let to = settings.clone();
    tokio::task::spawn_blocking(move || send(&to, &all)).await??;
    eventually(PATIENCE, async || {
        let to = settings.clone();
        let windows = tokio::task::spawn_blocking(move || counted(&to)).await??;
        let minute = |at: i64| {
            windows
                .get(&("1m".to_owned(), "a".to_owned(), at.div_euclid(60_000) * 60_000))
                .copied()
        };
        ensure!(
            minute(now) == Some((2, 0, false)) && minute(now + 86_400_000) == Some((1, 0, false)),
            "{windows:?}"
        );
        ensure!(worker.state.status().ahead == 1, "{:?}", worker.state.status());
        Ok(())
    })
    .await?;
    worker.stop().await
}

#[tokio::test]
async fn topics_that_do_not_fit_each_other_are_refused_with_a_remedy() -> Result<()> {
    let kafka = Kafka::shared().await?;
    let settings = settings(&format!("w{}", rand::random::<u32>()), &kafka.bootstrap())?;
    let admin: AdminClient<DefaultClientContext> = client(&settings).create()?;
    let topic = NewTopic::new(&settings.topics.aggregations[1], 3, TopicReplication::Fixed(1));
    admin.create_topics([&topic], &AdminOptions::new()).await?;
    let refused = topics::ensure(&settings).await.unwrap_err().to_string();
    ensure!(
        refused.contains("has 3 partitions") && refused.contains("has 4: they have to be the same; delete"),
        "{refused}"
    );
    Ok(())
}
