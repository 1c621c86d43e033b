//! Brokers that end while partitions of theirs are in transactions. A transaction whose end reaches no leader of a partition stays open there for
//! ever (KAFKA-20734): nobody sees what lies behind it, and what it committed may be seen in one topic and not in another.

use std::time::Duration;

use anyhow::{Context, Result};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer},
};
use serde_json::{Value, json};
use synccluster_counter::{
    publish::transaction,
    windows::{Settings, WindowSize},
};
use synccluster_harness::{Broker, Kafka};
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::sleep,
};

use crate::{
    likes::{self, Like, PATIENCE, client, recount, send, values, wait_until_exact},
    two::{apart, wait_until_leaderless},
    worker::Task,
};

const FROM: i64 = 1_700_000_000_000;
const LONGER_WINDOWS: fn(usize, usize) -> bool = |topic, _| topic > 1;

/// Sends so many likes in small pieces, so that there is something to commit all the while.
fn trickle(settings: &Settings, pieces: i64, from: i64) -> JoinHandle<Result<()>> {
    let settings = settings.clone();
    spawn_blocking(move || {
        (0..pieces).try_for_each(|piece| send(&settings, &likes::some(200, 80, from + piece * 4_000)))
    })
}

async fn blocking(settings: &Settings, work: fn(&Settings) -> Result<()>) -> Result<()> {
    let settings = settings.clone();
    spawn_blocking(move || work(&settings)).await?
}

/// A cluster whose longer windows are at the second broker, and a worker that has counted some likes.
async fn at_work(kafka: &Kafka) -> Result<(Settings, Broker, Task)> {
    let name = format!("b{}", rand::random::<u32>());
    let (settings, second) = apart(kafka, &name, LONGER_WINDOWS).await?;
    let worker = Task::start(&settings);
    trickle(&settings, 10, FROM).await??;
    blocking(&settings, wait_until_exact).await?;
    Ok((settings, second, worker))
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_that_are_given_up_while_a_broker_is_away_hide_nothing_that_follows() -> Result<()> {
    let kafka = Kafka::start().await?;
    let (settings, mut second, worker) = at_work(&kafka).await?;
    let sending = trickle(&settings, 40, FROM + 100_000);
    sleep(Duration::from_millis(300)).await;
    second.kill().await?;
    sleep(transaction::LIMIT + Duration::from_secs(5)).await;
    second.restart().await?;
    sending.await??;
    blocking(&settings, wait_until_exact).await?;
    worker.stop().await
}

/// A transaction like a worker's that counts the last like of this id: everything but its end.
fn count_last(settings: &Settings, id: &str) -> Result<BaseProducer> {
    let likes = values(settings, &settings.topics.likes)?;
    let is_last = |likes: &Vec<Value>| likes.last().is_some_and(|like| like["id"] == id);
    let partition: i32 = likes
        .iter()
        .position(is_last)
        .context("no like of this id")?
        .try_into()?;
    let reader: BaseConsumer = client(settings).set("group.id", settings.group()).create()?;
    let mut list = TopicPartitionList::new();
    list.add_partition(&settings.topics.likes, partition);
    let committed = reader.committed_offsets(list, PATIENCE)?;
    let of_likes = committed.elements().into_iter().next().context("no offset")?;
    let mut checkpoint: Value = serde_json::from_str(of_likes.metadata())?;
    let at = checkpoint["at"].as_i64().context("at")? + 1;
    checkpoint["at"] = at.into();
    let next = reader.fetch_watermarks(&settings.topics.likes, partition, PATIENCE)?.1;
    for (topic, size) in settings.topics.aggregations.iter().zip(settings.rules.sizes.iter()) {
        checkpoint["tail"][size.to_string()] = reader.fetch_watermarks(topic, partition, PATIENCE)?.1.into();
    }
    let stored = json!({ "next": next, "checkpoint": checkpoint }).to_string();

    let worker = format!("{}-windows-{partition}", settings.cluster);
    let producer: BaseProducer = client(settings).set("transactional.id", worker).create()?;
    producer.init_transactions(PATIENCE)?;
    producer.begin_transaction()?;
    for ((size, of, start), (count, late, is_final)) in recount(settings)?.into_iter().filter(|(key, _)| key.1 == id) {
        let index = settings.rules.sizes.position(size.parse().map_err(anyhow::Error::msg)?);
        let topic = &settings.topics.aggregations[index.context("size")?];
        let key = json!({ "id": of, "window_start": start }).to_string();
        let end = start + size.parse::<WindowSize>().map_err(anyhow::Error::msg)?.millis();
        let value = json!({ "id": of, "window_start": start, "window_end": end, "count": count, "late": late, "updated_at": at, "final": is_final });
        let value = value.to_string();
        let header = Header {
            key: "stored",
            value: Some(&stored),
        };
        let record = BaseRecord::to(topic).partition(partition).key(&key).payload(&value);
        let record = record.headers(OwnedHeaders::new().insert(header));
        producer.send(record).map_err(|(error, _)| error)?;
    }
    let mut offsets = TopicPartitionList::new();
    let mut likes = offsets.add_partition(&settings.topics.likes, partition);
    likes.set_offset(Offset::Offset(next))?;
    likes.set_metadata(checkpoint.to_string());
    let group = reader.group_metadata().context("no group")?;
    producer.send_offsets_to_transaction(&offsets, &group, PATIENCE)?;
    producer.flush(PATIENCE)?;
    Ok(producer)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_while_a_broker_is_away_is_there_when_it_is_back() -> Result<()> {
    let kafka = Kafka::start().await?;
    let (settings, mut second, worker) = at_work(&kafka).await?;
    worker.stop().await?;
    let to = settings.clone();
    let producer = spawn_blocking(move || {
        let newest = likes::some(200, 80, FROM + 36_000)
            .into_iter()
            .map(|like| like.at)
            .max();
        let at = newest.context("no like")?;
        let id = "last".to_owned();
        send(
            &to,
            &[Like {
                id,
                n: 1,
                at,
                position: 1,
            }],
        )?;
        count_last(&to, "last")
    })
    .await??;
    second.kill().await?;
    blocking(&settings, wait_until_leaderless).await?;
    spawn_blocking(move || producer.commit_transaction(PATIENCE)).await??;
    second.restart().await?;
    let worker = Task::start(&settings);
    blocking(&settings, wait_until_exact).await?;
    worker.stop().await
}
