//! The topics of aggregations, all partitions, from a little before now on.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::{
    Stream, StreamExt as _,
    stream::{self, BoxStream, SelectAll},
};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{Consumer, DefaultConsumerContext, StreamConsumer, stream_consumer::StreamPartitionQueue},
    error::KafkaError,
    metadata::MetadataTopic,
    types::RDKafkaErrorCode,
};
use synccluster_runtime::clock::now_millis;
use tokio::{task, time};

use super::{Counters, aggregation::Aggregation, window::Window};
use crate::{app::App, kafka::offsets};

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

/// Where reading goes on, by window and partition: what was read is not read again.
type Places = BTreeMap<(Window, i32), i64>;

/// Reads for ever; anew where the secret of Kafka has changed, and when Kafka is back.
pub async fn run(app: &App) {
    let Some(counters) = &app.counters else { return };
    let mut places = Places::new();
    loop {
        tokio::select! {
            biased;
            () = app.brokers.renewed() => {}
            () = read(app, counters, &mut places) => {}
        }
        counters.book().lose();
    }
}

/// What comes of a partition.
enum Heard {
    /// This is behind the next offset; a record without a value takes a window away that is long over.
    Record(i64, Option<Aggregation>),
    /// There is nothing more now.
    End,
    /// It cannot be read now.
    Trouble(KafkaError),
}

/// A partition as it is read.
struct Line {
    window: Window,
    partition: i32,
    /// One past the last offset when this began.
    end: i64,
    queue: Queue,
}

type Queue = StreamPartitionQueue<DefaultConsumerContext>;
type Lines = SelectAll<BoxStream<'static, (Window, i32, Heard)>>;

/// Reads until Kafka is back from having been away.
async fn read(app: &App, counters: &Counters, places: &mut Places) {
    let consumer: Arc<StreamConsumer> = loop {
        match config(app).and_then(|config| config.create()) {
            Ok(consumer) => break Arc::new(consumer),
            Err(error) => tracing::warn!(%error, "cannot make a Kafka consumer; trying again"),
        }
        time::sleep(LOOK_EVERY).await;
    };
    let count = app.metrics.counter(
        "synccluster_gateway_aggregations_read_total",
        "records read from the topics of aggregations",
        &[],
    );
    let (mut lines, mut ends) = (Lines::new(), BTreeMap::new());
    let mut look = time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    let (mut first, mut away) = (true, false);
    loop {
        tokio::select! {
            Some((window, partition, heard)) = lines.next() => match heard {
                Heard::Record(next, aggregation) => {
                    count.add(1);
                    places.insert((window, partition), next);
                    if let Some(aggregation) = aggregation {
                        counters.note(window, aggregation);
                    }
                    if !away && ends.get(&(window, partition)).is_some_and(|end| next >= *end) {
                        counters.reached(window, partition);
                    }
                }
                Heard::End if !away => counters.reached(window, partition),
                Heard::End => {}
                // Kafka is away; librdkafka goes on where it was when it is back.
                Heard::Trouble(error) => {
                    tracing::debug!(%error, %window, partition, "reading the aggregations");
                    time::sleep(Duration::from_millis(100)).await;
                }
            },
            // What concerns no partition.
            other = consumer.recv() => if let Err(error) = other {
                tracing::debug!(%error, "reading the aggregations");
                if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
                    away = true;
                    counters.book().lose();
                }
            },
            _ = look.tick() => {
                let known: BTreeSet<Window> = ends.keys().map(|(window, _)| *window).collect();
                let missing = counters.windows().difference(&known);
                let missing = missing.map(|window| (*window, counters.topic(*window))).collect();
                let asked = ends.keys().map(|(window, partition)| (counters.topic(*window), *partition));
                let asked: Vec<_> = asked.collect();
                let (seeking, from) = (Arc::clone(&consumer), places.clone());
                match task::spawn_blocking(move || seek(&seeking, &asked, missing, first, &from)).await {
                    Ok(Ok(_)) if away && !known.is_empty() => return,
                    Ok(Ok(found)) => {
                        (first, away) = (false, false);
                        begin(counters, found, &mut lines, &mut ends);
                    }
                    Ok(Err(error)) => {
                        tracing::debug!(%error, "Kafka cannot be asked for its topics");
                        away = true;
                        counters.book().lose();
                    }
                    Err(error) => tracing::warn!(%error, "looking for topics ended"),
                }
            }
        }
    }
}

fn begin(counters: &Counters, found: Vec<Line>, lines: &mut Lines, ends: &mut BTreeMap<(Window, i32), i64>) {
    let mut partitions: BTreeMap<Window, BTreeSet<i32>> = BTreeMap::new();
    for line in &found {
        partitions.entry(line.window).or_default().insert(line.partition);
    }
    if !partitions.is_empty() {
        tracing::info!(topics = partitions.len(), "reading the aggregations");
    }
    for (window, partitions) in partitions {
        counters.begin(window, partitions);
    }
    for line in found {
        ends.insert((line.window, line.partition), line.end);
        lines.push(listen(line).boxed());
    }
}

fn listen(line: Line) -> impl Stream<Item = (Window, i32, Heard)> + Send {
    stream::unfold(line, |line| async move {
        let heard = match line.queue.recv().await {
            Ok(record) => {
                let aggregation = record.payload().and_then(|value| {
                    let read = Aggregation::read(line.window, value);
                    if read.is_none() {
                        tracing::debug!(topic = record.topic(), "a record is no aggregation; it is left out");
                    }
                    read
                });
                Heard::Record(record.offset() + 1, aggregation)
            }
            Err(KafkaError::PartitionEOF(_)) => Heard::End,
            Err(error) => Heard::Trouble(error),
        };
        Some(((line.window, line.partition, heard), line))
    })
}

fn config(app: &App) -> Result<ClientConfig, KafkaError> {
    let mut config = app.brokers.consumer_config(CLIENT_ID)?;
    config
        .set("fetch.wait.max.ms", "20")
        .set("enable.partition.eof", "true")
        // Of each of a dozen partitions, and a record costs several times its bytes while it waits.
        .set("queued.min.messages", "500")
        .set("queued.max.messages.kbytes", "64")
        .set("fetch.message.max.bytes", "65536")
        .set("fetch.max.bytes", "1048576");
    Ok(config)
}

/// Asks whether all that is read can be, and begins to read those of the missing topics that are there. `first`: from where they were read
/// before, or a little before now; a topic that was not there a moment ago is read from its beginning. Blocks.
fn seek(
    consumer: &Arc<StreamConsumer>,
    asked: &[(String, i32)],
    missing: Vec<(Window, String)>,
    first: bool,
    places: &Places,
) -> Result<Vec<Line>, KafkaError> {
    let answered = offsets(consumer.as_ref(), asked, Offset::End)?.len();
    if answered < asked.len() {
        return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::LeaderNotAvailable));
    }
    let (mut found, mut from) = (Vec::new(), TopicPartitionList::new());
    if missing.is_empty() {
        return Ok(found);
    }
    let metadata = consumer.fetch_metadata(None, ANSWER)?;
    for (window, topic) in missing {
        let known = metadata
            .topics()
            .iter()
            .find(|known| known.name() == topic && known.error().is_none());
        for partition in known.map(MetadataTopic::partitions).unwrap_or_default() {
            let partition = partition.id();
            let (low, end) = consumer.fetch_watermarks(&topic, partition, ANSWER)?;
            let before = places
                .get(&(window, partition))
                .filter(|place| (low..=end).contains(*place));
            let start = match before {
                Some(place) => *place,
                None if first => a_little_back(consumer, &topic, partition, window, end)?,
                None => low,
            };
            // Before it is assigned: what comes first would come without its topic's name, of which the end of a partition is told without.
            let queue = consumer.split_partition_queue(&topic, partition);
            let queue = queue.ok_or(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownPartition))?;
            from.add_partition_offset(&topic, partition, Offset::Offset(start))?;
            found.push(Line {
                window,
                partition,
                end,
                queue,
            });
        }
    }
    if !found.is_empty() {
        consumer.incremental_assign(&from)?;
    }
    Ok(found)
}

/// From where the open windows can be known, and some of those before.
fn a_little_back(
    consumer: &StreamConsumer,
    topic: &str,
    partition: i32,
    window: Window,
    end: i64,
) -> Result<i64, KafkaError> {
    let since = |back: i64| -> Result<i64, KafkaError> {
        let mut at = TopicPartitionList::new();
        at.add_partition_offset(topic, partition, Offset::Offset(now_millis() - back))?;
        let found = consumer.offsets_for_times(at, ANSWER)?;
        let found = found.elements().first().and_then(|part| part.offset().to_raw());
        // No record since then has an offset below zero here: the end.
        Ok(found.filter(|offset| (0..=end).contains(offset)).unwrap_or(end))
    };
    let (needed, wanted) = (since(window.millis() + SKEW)?, since(window.millis() * WINDOWS_BACK)?);
    Ok(wanted.max(end - RECORDS_BACK).min(needed))
}
