//! What one replica learns, told to the others through a topic of their own.
//!
//! The sender is a reader of the bus like any other: while Kafka is away it falls behind, holds nothing, and begins again with a `reset`.

use std::{convert::Infallible, time::Duration};

use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{Consumer, StreamConsumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedMessage, Header, Headers, OwnedHeaders},
    producer::{BaseRecord, DefaultProducerContext, ThreadedProducer},
};
use serde::Deserialize;
use serde_json::Value;
use synccluster_protocol::{
    Site, Version,
    codec::{self, ColumnType},
};
use tokio::{task, time};

use super::{
    Live,
    bus::{Event, Kind, News, Subscription},
    consumer_config,
    hops::Write,
};
use crate::app::{App, Shared};

/// As what Kafka knows the relay.
const CLIENT_ID: &str = "synccluster-gateway-relay";
/// Who sent a message.
const REPLICA_HEADER: &str = "replica";
/// What it tells: a [`Kind`] by its name.
const KIND_HEADER: &str = "kind";
/// How long a message is kept: who was away for longer begins anew.
const RETENTION: &str = "600000";
/// A segment is only deleted as a whole.
const SEGMENT: &str = "67108864";
/// Between two tries while Kafka is away.
const TRY_EVERY: Duration = Duration::from_secs(2);
/// How long a full producer is waited for before it is tried again.
const FULL: Duration = Duration::from_millis(20);
/// How long Kafka may take for one answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Relays until `app.stop` is cancelled; the topic is made with so many copies.
pub async fn run(app: Shared, replication: i32) {
    // From here on, however long it takes until Kafka is there.
    let told_here = app.live.bus.subscribe(None);
    app.stop.run_until_cancelled(relay(&app, replication, told_here)).await;
}

async fn relay(app: &App, replication: i32, mut told_here: Subscription) -> Infallible {
    let topic = format!("{}.gateway", app.cluster);
    let relaying = app.metrics.gauge(
        "synccluster_gateway_relaying",
        "1 while this replica hears what the others follow, and tells them.",
        &[],
    );
    let mut away = false;
    loop {
        match begin(app, &topic, replication).await {
            Ok((producer, consumer)) => {
                away = false;
                relaying.set(1);
                tokio::select! {
                    _ = send(app, &topic, &producer, &mut told_here) => {}
                    () = app.brokers.renewed() => tracing::info!("the secret of Kafka has changed: going on with what it says now"),
                    error = receive(&app.live, &consumer) => {
                        tracing::warn!(topic, %error, "what other replicas told has been missed: beginning anew");
                    }
                }
            }
            Err(error) if away => tracing::debug!(topic, %error, "still no way to the other replicas"),
            Err(error) => {
                tracing::warn!(topic, %error, "no way to the other replicas; trying again until there is one");
                away = true;
            }
        }
        relaying.set(0);
        time::sleep(TRY_EVERY).await;
    }
}

type Producer = ThreadedProducer<DefaultProducerContext>;

/// The topic, and the way into and out of it; the consumer stands at its end.
async fn begin(app: &App, topic: &str, replication: i32) -> Result<(Producer, StreamConsumer), KafkaError> {
    make_topic(&app.brokers.client_config(CLIENT_ID)?, topic, replication).await?;
    let mut producing = app.brokers.producer_config(CLIENT_ID)?;
    // Kafka being away is waited out; the bus tells when that has taken too long.
    producing
        .set("message.timeout.ms", "0")
        .set("queue.buffering.max.kbytes", "1024");
    let mut consuming = consumer_config(app, CLIENT_ID)?;
    // Records that are gone are an error, for then something has been missed.
    consuming.set("auto.offset.reset", "error");
    let consumer: StreamConsumer = consuming.create()?;
    let topic = topic.to_owned();
    let ready = task::spawn_blocking(move || {
        let (_, end) = consumer.fetch_watermarks(&topic, 0, ANSWER)?;
        let mut from = TopicPartitionList::new();
        from.add_partition_offset(&topic, 0, Offset::Offset(end))?;
        consumer.assign(&from).map(|()| consumer)
    });
    let consumer = ready.await.map_err(|_| KafkaError::Canceled)??;
    app.live.bus.publish(News {
        relayed: false,
        ..News::reset(None, "what other replicas told before may not have been seen")
    });
    Ok((producing.create()?, consumer))
}

async fn make_topic(config: &ClientConfig, topic: &str, replication: i32) -> Result<(), KafkaError> {
    let admin: AdminClient<DefaultClientContext> = config.create()?;
    let wanted = NewTopic::new(topic, 1, TopicReplication::Fixed(replication))
        .set("cleanup.policy", "delete")
        .set("retention.ms", RETENTION)
        .set("segment.ms", RETENTION)
        .set("segment.bytes", SEGMENT);
    let options = AdminOptions::new().request_timeout(Some(ANSWER));
    for made in admin.create_topics([&wanted], &options).await? {
        match made {
            Ok(_) => tracing::info!(topic, "made the topic"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(KafkaError::AdminOp(code)),
        }
    }
    Ok(())
}

async fn send(app: &App, topic: &str, producer: &Producer, told_here: &mut Subscription) -> Infallible {
    let replica = app.live.replica.to_string();
    loop {
        for event in told_here.next().await {
            if event.news.relayed {
                produce(producer, topic, &replica, &event).await;
            }
        }
    }
}

/// Hands an event to the producer; waits while that is full.
async fn produce(producer: &Producer, topic: &str, replica: &str, event: &Event) {
    loop {
        let header = |key, value| Header {
            key,
            value: Some(value),
        };
        let headers = OwnedHeaders::new_with_capacity(2)
            .insert(header(REPLICA_HEADER, replica))
            .insert(header(KIND_HEADER, event.news.kind.name()));
        let record = BaseRecord::<(), str>::to(topic)
            .partition(0)
            .headers(headers)
            .payload(&*event.news.data);
        match producer.send(record) {
            Ok(()) => return,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => time::sleep(FULL).await,
            Err((error, _)) => {
                tracing::warn!(%error, "an event cannot be told to the other replicas");
                return;
            }
        }
    }
}

/// Takes in what others told, until something of it is gone.
async fn receive(live: &Live, consumer: &StreamConsumer) -> KafkaError {
    loop {
        match consumer.recv().await {
            Ok(record) => take(live, &record),
            Err(error) if lost(&error) => return error,
            // Kafka is away; librdkafka goes on where it was when it is back.
            Err(error) => {
                tracing::debug!(%error, "hearing of other replicas");
                time::sleep(FULL).await;
            }
        }
    }
}

/// Whether the place in the topic, or the topic itself, is not there any more.
fn lost(error: &KafkaError) -> bool {
    let gone = [
        RDKafkaErrorCode::AutoOffsetReset,
        RDKafkaErrorCode::OffsetOutOfRange,
        RDKafkaErrorCode::UnknownTopicOrPartition,
        RDKafkaErrorCode::UnknownTopic,
        RDKafkaErrorCode::UnknownPartition,
    ];
    error.rdkafka_error_code().is_some_and(|code| gone.contains(&code))
}

/// What has to be known of a change that another replica told.
#[derive(Deserialize)]
struct Told {
    site: Site,
    table: String,
    key_path: String,
    version: String,
    at: String,
}

fn take(live: &Live, record: &BorrowedMessage<'_>) {
    let Some(headers) = record.headers() else { return };
    let header = |name| {
        headers
            .iter()
            .find(|header| header.key == name)
            .and_then(|header| header.value)
    };
    let mine = live.replica.to_string();
    let (Some(kind), Some(Ok(data))) = (header(KIND_HEADER), record.payload_view::<str>()) else {
        return;
    };
    if header(REPLICA_HEADER) == Some(mine.as_bytes()) {
        return;
    }
    if kind == Kind::Reset.name().as_bytes() {
        let site = serde_json::from_str::<Value>(data)
            .ok()
            .and_then(|told| told["site"].as_str()?.parse().ok());
        live.bus.publish(News {
            kind: Kind::Reset,
            table: None,
            site,
            data: data.into(),
            relayed: false,
        });
    } else if kind == Kind::Change.name().as_bytes()
        && let Ok(told) = serde_json::from_str::<Told>(data)
        && let (Ok(version), Some(at)) = (told.version.parse(), micros(&told.at))
    {
        let table = live
            .tables
            .get(&told.table)
            .map_or_else(|| told.table.as_str().into(), |(name, _)| name);
        let write = Write {
            table,
            key: told.key_path.into(),
            version: Version(version),
        };
        live.committed_elsewhere(&write, told.site, at, data.into());
    }
}

/// Microseconds since the Unix epoch of a time as `rfc3339` writes it.
fn micros(time: &str) -> Option<i64> {
    let text = time.strip_suffix('Z')?.replacen('T', " ", 1);
    codec::encode(&ColumnType::Timestamp, &text).as_i64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::row::rfc3339;

    #[test]
    fn a_time_comes_back() {
        for at in [0, 1_709_208_000_250_001] {
            assert_eq!(micros(&rfc3339(at)), Some(at));
        }
        assert_eq!(micros("yesterday"), None);
    }

    #[test]
    fn only_what_is_gone_for_good_begins_anew() {
        let of = |code| KafkaError::MessageConsumption(code);
        assert!(lost(&of(RDKafkaErrorCode::AutoOffsetReset)));
        assert!(!lost(&of(RDKafkaErrorCode::AllBrokersDown)));
    }
}
