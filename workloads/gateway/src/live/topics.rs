//! Every site's topic from its end: which writes were captured, and are in Kafka.

use std::{collections::BTreeSet, convert::Infallible, sync::Arc, time::Duration};

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

/// Reads until `app.stop` is cancelled.
pub async fn run(app: Shared) {
    app.stop.run_until_cancelled(read(&app)).await;
}

async fn read(app: &App) -> Infallible {
    let mut config = consumer_config(app, CLIENT_ID);
    // A topic that was made anew, or whose old records are gone: what matters is what happens now.
    config.set("auto.offset.reset", "latest");
    let consumer: Arc<StreamConsumer> = loop {
        match config.create() {
            Ok(consumer) => break Arc::new(consumer),
            Err(error) => tracing::warn!(%error, "cannot make a Kafka consumer; trying again"),
        }
        time::sleep(LOOK_EVERY).await;
    };
    let mut missing: BTreeSet<Site> = app.sites.names().collect();
    let mut look = time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    let mut first = true;
    loop {
        tokio::select! {
            record = consumer.recv() => match record {
                Ok(record) => take(app, &record).await,
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
                        missing.retain(|site| !found.contains(site));
                        if first {
                            app.live.listening.store(now_micros(), std::sync::atomic::Ordering::Relaxed);
                            tracing::info!(topics = found.len(), missing = missing.len(), "reading the topics from their end");
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

/// Begins to read those of the topics that are there. `first`: from their end as it is now; a topic that was not there a moment ago is read
/// from its beginning. Blocks.
fn assign(consumer: &StreamConsumer, topics: Vec<(Site, String)>, first: bool) -> Result<BTreeSet<Site>, KafkaError> {
    let metadata = consumer.fetch_metadata(None, ANSWER)?;
    let mut found = BTreeSet::new();
    let mut from = TopicPartitionList::new();
    for (site, topic) in topics {
        let there = metadata
            .topics()
            .iter()
            .any(|known| known.name() == topic && known.error().is_none());
        if there {
            let offset = if first {
                Offset::Offset(consumer.fetch_watermarks(&topic, 0, ANSWER)?.1)
            } else {
                Offset::Beginning
            };
            from.add_partition_offset(&topic, 0, offset)?;
            found.insert(site);
        }
    }
    consumer.incremental_assign(&from)?;
    Ok(found)
}

async fn take(app: &App, record: &BorrowedMessage<'_>) {
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
    let Some((name, table)) = app.live.tables.find(app, &captured.table).await else {
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
    let in_kafka = record.timestamp().to_millis().unwrap_or_else(now_millis);
    if let Some(at) = captured.at_millis {
        app.live
            .in_topic(&write, &json, site, Seen::Captured, at.saturating_mul(1000));
    }
    app.live
        .in_topic(&write, &json, site, Seen::InKafka, in_kafka.saturating_mul(1000));
}

async fn key_of(app: &App, site: Site, table: &Table, key: &RecordKey) -> Option<Key> {
    match key {
        RecordKey::Columns(columns) => record::columns_key(table, columns),
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
