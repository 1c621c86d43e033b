//! The topics of aggregations, all partitions, from a little before now on.

use std::{collections::BTreeSet, convert::Infallible, sync::Arc, time::Duration};

use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{Consumer, StreamConsumer},
    error::KafkaError,
};
use synccluster_runtime::clock::now_millis;
use tokio::{task, time};

use super::{Counters, aggregation::Aggregation, window::Window};
use crate::app::App;

/// As what Kafka knows the consumer.
const CLIENT_ID: &str = "synccluster-gateway-counters";
/// How often topics that were not there are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// How long Kafka may take for one answer.
const ANSWER: Duration = Duration::from_secs(5);
/// So many windows back, to show how it was.
const WINDOWS_BACK: i64 = 12;
/// But of a partition only so many records, beyond those that the open windows need.
const RECORDS_BACK: i64 = 100_000;
/// An open window changed last after its start; clocks may differ by so much.
const SKEW: i64 = 60_000;

/// Reads for ever; anew where the secret of Kafka has changed.
pub async fn run(app: &App) {
    let Some(counters) = &app.counters else { return };
    loop {
        tokio::select! {
            biased;
            () = app.brokers.renewed() => {}
            never = read(app, counters) => match never {},
        }
    }
}

async fn read(app: &App, counters: &Counters) -> Infallible {
    let consumer: Arc<StreamConsumer> = loop {
        match config(app).and_then(|config| config.create()) {
            Ok(consumer) => break Arc::new(consumer),
            Err(error) => tracing::warn!(%error, "cannot make a Kafka consumer; trying again"),
        }
        time::sleep(LOOK_EVERY).await;
    };
    let read = app.metrics.counter(
        "synccluster_gateway_aggregations_read_total",
        "records read from the topics of aggregations",
        &[],
    );
    let mut missing: BTreeSet<Window> = Window::ALL.into();
    let mut look = time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    let mut first = true;
    loop {
        tokio::select! {
            record = consumer.recv() => match record {
                Ok(record) => {
                    read.add(1);
                    take(counters, record.topic(), record.payload());
                }
                // Kafka is away; librdkafka goes on where it was when it is back.
                Err(error) => {
                    tracing::debug!(%error, "reading the aggregations");
                    time::sleep(Duration::from_millis(100)).await;
                }
            },
            _ = look.tick(), if !missing.is_empty() => {
                let seeking = Arc::clone(&consumer);
                let topics = missing.iter().map(|window| (*window, counters.topic(*window))).collect();
                match task::spawn_blocking(move || assign(&seeking, topics, first)).await {
                    Ok(Ok(found)) => {
                        missing.retain(|window| !found.contains(window));
                        if !found.is_empty() {
                            tracing::info!(topics = found.len(), missing = missing.len(), "reading the aggregations");
                        }
                        first = false;
                    }
                    Ok(Err(error)) => tracing::debug!(%error, "Kafka cannot be asked for its topics"),
                    Err(error) => tracing::warn!(%error, "looking for topics ended"),
                }
            }
        }
    }
}

fn config(app: &App) -> Result<ClientConfig, KafkaError> {
    let mut config = app.brokers.consumer_config(CLIENT_ID)?;
    config
        .set("fetch.wait.max.ms", "20")
        // Of each of a dozen partitions, and a record costs several times its bytes while it waits.
        .set("queued.min.messages", "500")
        .set("queued.max.messages.kbytes", "64")
        .set("fetch.message.max.bytes", "65536")
        .set("fetch.max.bytes", "1048576");
    Ok(config)
}

fn take(counters: &Counters, topic: &str, value: Option<&[u8]>) {
    let window = Window::ALL.into_iter().find(|window| counters.topic(*window) == topic);
    // A record without a value takes a window away that is long over.
    if let (Some(window), Some(value)) = (window, value) {
        if let Some(aggregation) = Aggregation::read(window, value) {
            counters.note(window, aggregation);
        } else {
            tracing::debug!(topic, "a record is no aggregation; it is left out");
        }
    }
}

/// Begins to read those of the topics that are there. `first`: from a little before now; a topic that was not there a moment ago is read
/// from its beginning. Blocks.
fn assign(
    consumer: &StreamConsumer,
    topics: Vec<(Window, String)>,
    first: bool,
) -> Result<BTreeSet<Window>, KafkaError> {
    let metadata = consumer.fetch_metadata(None, ANSWER)?;
    let mut found = BTreeSet::new();
    let mut from = TopicPartitionList::new();
    for (window, topic) in topics {
        let known = metadata
            .topics()
            .iter()
            .find(|known| known.name() == topic && known.error().is_none());
        let Some(known) = known.filter(|known| !known.partitions().is_empty()) else {
            continue;
        };
        for partition in known.partitions() {
            let offset = if first {
                a_little_back(consumer, &topic, partition.id(), window)?
            } else {
                Offset::Beginning
            };
            from.add_partition_offset(&topic, partition.id(), offset)?;
        }
        found.insert(window);
    }
    if !found.is_empty() {
        consumer.incremental_assign(&from)?;
    }
    Ok(found)
}

/// From where the open windows can be known, and some of those before.
fn a_little_back(consumer: &StreamConsumer, topic: &str, partition: i32, window: Window) -> Result<Offset, KafkaError> {
    let (_, end) = consumer.fetch_watermarks(topic, partition, ANSWER)?;
    let since = |back: i64| -> Result<i64, KafkaError> {
        let mut at = TopicPartitionList::new();
        at.add_partition_offset(topic, partition, Offset::Offset(now_millis() - back))?;
        let found = consumer.offsets_for_times(at, ANSWER)?;
        let found = found.elements().first().and_then(|part| part.offset().to_raw());
        // No record since then has an offset below zero here: the end.
        Ok(found.filter(|offset| (0..=end).contains(offset)).unwrap_or(end))
    };
    let (needed, wanted) = (since(window.millis() + SKEW)?, since(window.millis() * WINDOWS_BACK)?);
    Ok(Offset::Offset(wanted.max(end - RECORDS_BACK).min(needed)))
}
