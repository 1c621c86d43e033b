//! Workers whose clock a broker refuses.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rdkafka::{
    consumer::{BaseConsumer, Consumer},
    error::RDKafkaErrorCode,
    producer::{FutureProducer, FutureRecord},
};
use synccluster_counter::windows::{Clock, Settings};
use synccluster_harness::{Kafka, eventually};
use synccluster_runtime::clock::now_millis;
use tokio::task::spawn_blocking;

use crate::{
    likes::{self, PATIENCE, client, send, wait_until_exact},
    worker::{Task, world},
};

pub const HOUR: i64 = 3_600_000;

/// The same with a clock of its own, and by how much it is ahead.
pub fn two_hours_ahead(settings: &Settings) -> (Settings, Arc<AtomicI64>) {
    let ahead = Arc::new(AtomicI64::new(2 * HOUR));
    let shown = Arc::clone(&ahead);
    let clock = Clock::new(move || now_millis() + shown.load(Ordering::Relaxed));
    let settings = Settings {
        clock,
        ..settings.clone()
    };
    (settings, ahead)
}

async fn counts_exactly(settings: &Settings, from: i64) -> Result<()> {
    let settings = settings.clone();
    spawn_blocking(move || {
        send(&settings, &likes::some(500, 9, from))?;
        wait_until_exact(&settings)
    })
    .await?
}

/// That it says why it does not count, and takes part in nothing: of the group there are so many members.
async fn stands_aside(worker: &Task, settings: &Settings, members: usize) -> Result<()> {
    let consumer: BaseConsumer = client(settings).create()?;
    let (group, topics) = (settings.group(), &settings.topics.aggregations);
    eventually(PATIENCE, async || {
        let status = worker.state.status();
        let error = status.error.context("nothing is said")?;
        let is_clear = error.contains("set the clock") && topics.iter().any(|topic| error.contains(topic));
        ensure!(is_clear, "{error}");
        ensure!(status.partitions.is_empty(), "{:?}", status.partitions);
        let groups = consumer.fetch_group_list(Some(&group), Duration::from_secs(5))?;
        let count: usize = groups.groups().iter().map(|group| group.members().len()).sum();
        ensure!(count == members, "{count} members");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_clock_kafka_refuses_says_so_and_leaves_its_partitions_to_others_until_it_is_right() -> Result<()>
{
    let settings = world(Kafka::shared().await?).await?;
    let (wrong, ahead) = two_hours_ahead(&settings);
    let wrong = Task::start(&wrong);
    stands_aside(&wrong, &settings, 0).await?;
    let right = Task::start(&settings);
    counts_exactly(&settings, 1_700_000_000_000).await?;
    stands_aside(&wrong, &settings, 1).await?;
    ahead.store(0, Ordering::Relaxed);
    right.stop().await?;
    counts_exactly(&settings, 1_700_000_060_000).await?;
    eventually(PATIENCE, async || {
        let status = wrong.state.status();
        ensure!(status.error.is_none() && status.partitions.len() == 4, "{status:?}");
        Ok(())
    })
    .await?;
    wrong.stop().await
}

#[tokio::test]
async fn a_broker_refuses_times_that_are_more_than_an_hour_ahead() -> Result<()> {
    let kafka = Kafka::shared().await?;
    let (producer, topic): (FutureProducer, _) = (
        client(&world(kafka).await?).create()?,
        format!("times-{}", rand::random::<u32>()),
    );
    kafka.create_topic(&topic, &[]).await?;
    for (ahead, refused) in [(HOUR / 2, None), (2 * HOUR, Some(RDKafkaErrorCode::InvalidTimestamp))] {
        let record = FutureRecord::to(&topic).key("").payload("");
        let sent = producer.send(record.timestamp(now_millis() + ahead), PATIENCE).await;
        let error = sent.err().and_then(|(error, _)| error.rdkafka_error_code());
        ensure!(error == refused, "{ahead} ms ahead: {error:?}");
    }
    Ok(())
}
