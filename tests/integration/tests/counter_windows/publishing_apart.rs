//! Nodes publish while a broker with some partitions of the likes is away: as in `brokers`, each like is in the topic once.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    producer::{BaseProducer, BaseRecord, Producer},
};
use serde_json::{Value, json};
use synccluster_counter::{publish::transaction, windows::Settings};
use synccluster_harness::{Kafka, eventually};
use synccluster_integration::counter::Nodes;
use tokio::{task::spawn_blocking, time::sleep};

use crate::{
    likes::{PATIENCE, client, values},
    two::{apart, wait_until_leaderless},
};

const NODE: &str = env!("CARGO_BIN_EXE_counter_node");
/// What `Nodes` names its cluster.
const CLUSTER: &str = "demo";
const EVERY_SECOND: fn(usize, usize) -> bool = |topic, partition| topic == 0 && partition % 2 == 1;

async fn like(nodes: &Nodes, node: usize, batch: usize) -> Result<()> {
    let likes: Vec<_> = (0..50)
        .map(|n| json!({"id": format!("id-{n}"), "by": "ann", "request": format!("{batch}/{n}")}))
        .collect();
    nodes.like(node, &json!(likes)).await.map(drop)
}

/// Waits until just these positions of a node are in the topic, each once.
async fn wait_for(settings: &Settings, node: u64, last: u64) -> Result<()> {
    eventually(PATIENCE, async || {
        let of = settings.clone();
        let likes = spawn_blocking(move || values(&of, &of.topics.likes)).await??;
        let mut positions: Vec<_> = likes
            .iter()
            .flatten()
            .filter(|like| like["node"] == node)
            .filter_map(|like| like["position"].as_u64())
            .collect();
        positions.sort_unstable();
        let all: Vec<u64> = (1..=last).collect();
        ensure!(
            positions == all,
            "{} positions of node {node} instead of {last}",
            positions.len()
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn likes_that_a_transaction_given_up_had_written_are_published_once() -> Result<()> {
    let kafka = Kafka::start().await?;
    let (settings, mut second) = apart(&kafka, CLUSTER, EVERY_SECOND).await?;
    let nodes = Nodes::start(NODE, 1, &["--bootstrap-servers", &kafka.bootstrap()]).await?;
    like(&nodes, 0, 0).await?;
    wait_for(&settings, 0, 50).await?;
    for batch in 1..20 {
        like(&nodes, 0, batch).await?;
    }
    second.kill().await?;
    for batch in 20..40 {
        like(&nodes, 0, batch).await?;
    }
    sleep(transaction::LIMIT + Duration::from_secs(5)).await;
    second.restart().await?;
    wait_for(&settings, 0, 2000).await
}

/// A transaction like a node's that publishes ten positions more: everything but its end.
fn publish_more(settings: &Settings, node: u64, published: u64) -> Result<BaseProducer> {
    let reader: BaseConsumer = client(settings)
        .set("group.id", format!("{CLUSTER}.counter-{node}"))
        .create()?;
    let mut list = TopicPartitionList::new();
    list.add_partition(&settings.topics.likes, 0);
    let committed = reader.committed_offsets(list, PATIENCE)?;
    let stored = committed.elements().into_iter().next().context("no offset")?;
    let next = published + 10;
    ensure!(
        stored.offset() == Offset::Offset(published.try_into()?),
        "{:?}",
        stored.offset()
    );
    let life: Value = serde_json::from_str(stored.metadata())?;

    let producer: BaseProducer = client(settings)
        .set("transactional.id", format!("{CLUSTER}-counter-{node}"))
        .create()?;
    producer.init_transactions(PATIENCE)?;
    producer.begin_transaction()?;
    for position in published + 1..=next {
        let mut value = json!({"id": "more", "by": "ann", "n": 1, "at": 1, "node": node, "position": position});
        // As an earlier version wrote it, and as this one does.
        if position % 3 > 0 {
            value["incarnation"] = life["incarnation"].clone();
        }
        let (value, partition) = (value.to_string(), (position % 4).try_into()?);
        let record = BaseRecord::to(&settings.topics.likes).partition(partition);
        producer
            .send(record.key("more").payload(&value))
            .map_err(|(error, _)| error)?;
    }
    let mut offsets = TopicPartitionList::new();
    let mut likes = offsets.add_partition(&settings.topics.likes, 0);
    likes.set_offset(Offset::Offset(next.try_into()?))?;
    likes.set_metadata(stored.metadata());
    producer.send_offsets_to_transaction(&offsets, &reader.group_metadata().context("no group")?, PATIENCE)?;
    producer.flush(PATIENCE)?;
    Ok(producer)
}

#[tokio::test(flavor = "multi_thread")]
async fn likes_that_are_committed_while_a_broker_is_away_are_there_when_it_is_back() -> Result<()> {
    let kafka = Kafka::start().await?;
    let (settings, mut second) = apart(&kafka, CLUSTER, EVERY_SECOND).await?;
    let mut nodes = Nodes::start(NODE, 2, &["--bootstrap-servers", &kafka.bootstrap()]).await?;
    for node in 0..2 {
        like(&nodes, usize::try_from(node)?, usize::try_from(node)?).await?;
        wait_for(&settings, node, 50).await?;
        nodes.kill(usize::try_from(node)?).await?;
    }
    let of = settings.clone();
    let last = move || {
        (0..2)
            .map(|node| publish_more(&of, node, 50))
            .collect::<Result<Vec<_>>>()
    };
    let producers = spawn_blocking(last).await??;
    second.kill().await?;
    let of = settings.clone();
    spawn_blocking(move || wait_until_leaderless(&of)).await??;
    for producer in producers {
        spawn_blocking(move || producer.commit_transaction(PATIENCE)).await??;
    }
    second.restart().await?;
    // The other one never comes back: what it left open hides what this one publishes, until this one ends it.
    nodes.run(0).await?;
    for node in 0..2 {
        wait_for(&settings, node, 60).await?;
    }
    Ok(())
}
