//! Every site's topic, from a little before now on: which writes were captured, and are in Kafka.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{Consumer, StreamConsumer},
    error::KafkaError,
    message::BorrowedMessage,
};
use synccluster_protocol::Site;
use synccluster_runtime::clock::{now_micros, now_millis};
use tokio::{task, time};

use super::{
    consumer_config,
    hops::{Seen, Write},
    record::{self, RecordKey},
    tables::tombstone_key,
};
use crate::{
    app::{App, Shared},
    rows::{catalogue::Table, key::Key},
};

/// As what Kafka knows the consumer.
const CLIENT_ID: &str = "synccluster-gateway-live";
/// How often topics that were not there are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// How long Kafka may take for one answer.
const ANSWER: Duration = Duration::from_secs(5);

/// How far back a new reader begins, so that a restart does not forget when the last writes came through; the memory of hops is bounded
/// by itself.
const BACK: Duration = Duration::from_mins(10);
/// And so many records at most: the first thing a reader owes is what happens now.
const BACK_RECORDS: i64 = 5000;

/// Reads until `app.stop` is cancelled; anew where the secret of Kafka has changed.
pub async fn run(app: Shared) {
    loop {
        tokio::select! {
            biased;
            () = app.stop.cancelled() => return,
            () = app.brokers.renewed() => {}
            never = read(&app) => match never {},
        }
    }
}

async fn read(app: &App) -> Infallible {
    let consumer: Arc<StreamConsumer> = loop {
        // A topic that was made anew, or whose old records are gone: what matters is what happens now.
        let made =
            consumer_config(app, CLIENT_ID).and_then(|mut config| config.set("auto.offset.reset", "latest").create());
        match made {
            Ok(consumer) => break Arc::new(consumer),
            Err(error) => tracing::warn!(%error, "cannot make a Kafka consumer; trying again"),
        }
        time::sleep(LOOK_EVERY).await;
    };
    let mut missing: Vec<Site> = app.sites.names().collect();
    let mut begun = News::new();
    let mut look = time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    let mut first = true;
    loop {
        tokio::select! {
            record = consumer.recv() => match record {
                Ok(record) => take(app, &begun, &record).await,
                // Kafka is away; librdkafka goes on where it was when it is back.
                Err(error) => {
                    tracing::debug!(%error, "reading the topics");
                    time::sleep(Duration::from_millis(100)).await;
                }
            },
            _ = look.tick(), if !missing.is_empty() => {
                let (seeking, cluster, sites) = (Arc::clone(&consumer), app.cluster.clone(), missing.clone());
                let topics = sites.into_iter().map(move |site| (site, cluster.topic(site))).collect();
                match task::spawn_blocking(move || assign(&seeking, topics, first)).await {
                    Ok(Ok(found)) => {
                        missing.retain(|site| !found.contains_key(site));
                        if first {
                            app.live.listening.store(now_micros(), std::sync::atomic::Ordering::Relaxed);
                            tracing::info!(topics = found.len(), missing = missing.len(), "reading the topics");
                        }
                        first = false;
                        begun.extend(found);
                    }
                    Ok(Err(error)) => tracing::debug!(%error, "Kafka cannot be asked for its topics"),
                    Err(error) => tracing::warn!(%error, "looking for topics ended"),
                }
            }
        }
    }
}

/// For each topic that is read the offset from which on its records are news; what is before is remembered and told to nobody.
type News = BTreeMap<Site, i64>;

/// Begins to read those of the topics that are there. `first`: from a little before now; a topic that was not there a moment ago is read
/// from its beginning. Blocks.
fn assign(consumer: &StreamConsumer, topics: Vec<(Site, String)>, first: bool) -> Result<News, KafkaError> {
    let metadata = consumer.fetch_metadata(None, ANSWER)?;
    let mut found = News::new();
    let mut from = TopicPartitionList::new();
    for (site, topic) in topics {
        let there = metadata
            .topics()
            .iter()
            .any(|known| known.name() == topic && known.error().is_none());
        if there {
            let (beginning, end) = consumer.fetch_watermarks(&topic, 0, ANSWER)?;
            let (begin, news) = if first {
                (a_little_back(consumer, &topic, end)?, end)
            } else {
                (beginning, beginning)
            };
            from.add_partition_offset(&topic, 0, Offset::Offset(begin))?;
            found.insert(site, news);
        }
    }
    consumer.incremental_assign(&from)?;
    Ok(found)
}

fn a_little_back(consumer: &StreamConsumer, topic: &str, end: i64) -> Result<i64, KafkaError> {
    let since = now_millis() - i64::try_from(BACK.as_millis()).unwrap_or(0);
    let mut wanted = TopicPartitionList::new();
    wanted.add_partition_offset(topic, 0, Offset::Offset(since))?;
    let answered = consumer.offsets_for_times(wanted, ANSWER)?;
    // Where nothing came since then Kafka answers with the end, or with none.
    let begin = match answered.find_partition(topic, 0).map(|found| found.offset()) {
        Some(Offset::Offset(first)) => first.min(end),
        _ => end,
    };
    Ok(begin.max(end - BACK_RECORDS).max(0))
}

async fn take(app: &App, begun: &News, record: &BorrowedMessage<'_>) {
    let (Some(site), Some(key), Some(value)) = (
        app.cluster.site_of_topic(record.topic()),
        record.key(),
        record.payload(),
    ) else {
        return;
    };
    let Some(captured) = record::parse(key, value) else {
        return;
    };
    let Some((name, table)) = app.live.tables.find(app, site, &captured.table).await else {
        return;
    };
    let Some(key) = key_of(app, site, &table, &captured.key).await else {
        return;
    };
    let write = Write {
        table: name,
        key: key.path().into(),
        version: captured.version,
    };
    let json = key.json(&table);
    let news = begun.get(&site).is_none_or(|from| record.offset() >= *from);
    let in_kafka = record.timestamp().to_millis().unwrap_or_else(now_millis);
    let seen = [(Seen::Captured, captured.at_millis), (Seen::InKafka, Some(in_kafka))];
    for (seen, at) in seen
        .into_iter()
        .filter_map(|(seen, at)| Some((seen, at?.saturating_mul(1000))))
    {
        app.live.in_topic(&write, site, seen, at);
        if news {
            app.live.tell_hop(&write, &json, site, seen, at);
        }
    }
}

async fn key_of(app: &App, site: Site, table: &Table, key: &RecordKey) -> Option<Key> {
    match key {
        RecordKey::Columns(columns, of_debezium) => record::columns_key(table, columns, *of_debezium),
        RecordKey::Json(json) => {
            if let Some(key) = record::json_key(table, json) {
                return Some(key);
            }
            // Another text in jsonb than in SQL: any database can tell, the one of the site if it can be reached.
            let client = match app.sites.connect(site).await {
                Ok(client) => client,
                Err(_) => app.sites.connect(Site::Server).await.ok()?,
            };
            tombstone_key(&client, table, json).await.ok().flatten()
        }
    }
}
