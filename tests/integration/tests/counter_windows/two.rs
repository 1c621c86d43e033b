//! Clusters at two brokers, of which the second can be away.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rdkafka::{
    TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    producer::{BaseProducer, Producer},
};
use synccluster_counter::{publish::topics, windows::Settings};
use synccluster_harness::{Broker, Kafka};
use tokio::task::spawn_blocking;

use crate::{
    likes::{PATIENCE, client},
    worker::settings,
};

const PARTITIONS: usize = 4;

/// Waits until no partition of the broker that was killed has a leader.
pub fn wait_until_leaderless(settings: &Settings) -> Result<()> {
    let consumer: BaseConsumer = client(settings).create()?;
    let end = Instant::now() + PATIENCE;
    while consumer.fetch_metadata(None, PATIENCE)?.brokers().len() > 1 {
        ensure!(Instant::now() < end, "the broker is still there");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// A cluster at two brokers. `at_second` says which partitions are at the second, by the number of their topic (the likes are the first) and
/// their own; all else is at the first, both coordinators too.
pub async fn apart(kafka: &Kafka, cluster: &str, at_second: fn(usize, usize) -> bool) -> Result<(Settings, Broker)> {
    let settings = settings(cluster, &kafka.bootstrap())?;
    // Both coordinators' topics are made where there is a broker, and stay there.
    let of = settings.clone();
    spawn_blocking(move || -> Result<()> {
        let id = of.group();
        let producer: BaseProducer = client(&of).set("transactional.id", &id).create()?;
        producer.init_transactions(PATIENCE)?;
        let consumer: BaseConsumer = client(&of).set("group.id", &id).create()?;
        let mut list = TopicPartitionList::new();
        list.add_partition(&of.topics.likes, 0);
        let end = Instant::now() + PATIENCE;
        // A coordinator that has just been made loads its topic first.
        while let Err(error) = consumer.committed_offsets(list.clone(), PATIENCE) {
            ensure!(Instant::now() < end, error);
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    })
    .await??;
    let second = kafka.add_broker().await?;
    let topics = &settings.topics;
    let admin: AdminClient<DefaultClientContext> = client(&settings).create()?;
    let all = std::iter::once(&topics.likes).chain(&topics.aggregations).enumerate();
    let made: Vec<_> = all
        .map(|(topic, name)| {
            let at = std::array::from_fn(|partition| [1 + i32::from(at_second(topic, partition))]);
            (name, at)
        })
        .collect();
    let count = i32::try_from(PARTITIONS)?;
    let replicas: Vec<[&[i32]; PARTITIONS]> = made.iter().map(|(_, at)| at.each_ref().map(|one| &one[..])).collect();
    let new = made
        .iter()
        .zip(&replicas)
        .map(|((name, _), at): (&(_, [_; PARTITIONS]), _)| {
            let topic = NewTopic::new(name, count, TopicReplication::Variable(at));
            // As nodes make it.
            if *name == &topics.likes {
                topic.set("message.timestamp.type", "LogAppendTime")
            } else {
                topic
            }
        });
    for made in admin
        .create_topics(&new.collect::<Vec<_>>(), &AdminOptions::new())
        .await?
    {
        made.map_err(|(topic, code)| anyhow::anyhow!("{topic}: {code}"))?;
    }
    topics::ensure(&settings).await?;
    Ok((settings, second))
}
