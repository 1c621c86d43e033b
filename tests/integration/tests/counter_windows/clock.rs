//! A broker that refuses the times of what a worker writes.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use rdkafka::{
    admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    error::RDKafkaErrorCode,
    producer::{FutureProducer, FutureRecord},
};
use synccluster_harness::{Kafka, eventually};
use synccluster_runtime::clock::now_millis;
use tokio::task::spawn_blocking;

use crate::{
    likes::{self, PATIENCE, client, send, wait_until_exact},
    worker::{Task, world},
};

const HOUR: i64 = 3_600_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_times_kafka_refuses_says_so_and_leaves_its_partitions_to_others() -> Result<()> {
    let kafka = Kafka::shared().await?;
    let settings = world(kafka).await?;
    let topic = settings.topics.aggregations[0].clone();
    // What a clock two hours ahead would meet.
    let (producer, plain): (FutureProducer, _) = (client(&settings).create()?, format!("{}.times", settings.cluster));
    kafka.create_topic(&plain, &[]).await?;
    for (ahead, refused) in [(HOUR / 2, None), (2 * HOUR, Some(RDKafkaErrorCode::InvalidTimestamp))] {
        let record = FutureRecord::to(&plain)
            .key("")
            .payload("")
            .timestamp(now_millis() + ahead);
        let sent = producer.send(record, Duration::from_secs(20)).await;
        let error = sent.err().and_then(|(error, _)| error.rdkafka_error_code());
        ensure!(error == refused, "{ahead} ms ahead: {error:?}");
    }
    let worker = Task::start(&settings);
    let count = |from: i64| {
        let settings = settings.clone();
        spawn_blocking(move || send(&settings, &likes::some(500, 9, from)))
    };
    count(1_700_000_000_000).await??;
    let before = settings.clone();
    spawn_blocking(move || wait_until_exact(&before)).await??;
    // The same answer without another clock: nothing may be older than it is when it arrives.
    let admin: AdminClient<DefaultClientContext> = client(&settings).create()?;
    let config = AlterConfig::new(ResourceSpecifier::Topic(&topic))
        .set("cleanup.policy", "compact")
        .set("message.timestamp.before.max.ms", "0");
    for altered in admin.alter_configs([&config], &AdminOptions::new()).await? {
        altered.map_err(|(topic, code)| anyhow!("{topic:?}: {code}"))?;
    }
    count(1_700_000_060_000).await??;
    let members: BaseConsumer = client(&settings).create()?;
    let group = settings.group();
    eventually(PATIENCE, async || {
        let status = worker.state.status();
        let error = status.error.context("nothing is said")?;
        ensure!(error.contains(&topic) && error.contains("set the clock"), "{error}");
        ensure!(status.partitions.is_empty(), "{:?}", status.partitions);
        let groups = members.fetch_group_list(Some(&group), Duration::from_secs(5))?;
        let count: usize = groups.groups().iter().map(|group| group.members().len()).sum();
        ensure!(count == 0, "{count} members");
        Ok(())
    })
    .await?;
    worker.stop().await
}
