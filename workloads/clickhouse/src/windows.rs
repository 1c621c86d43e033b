//! Likes by window: from the counter nodes' topics of aggregations to one table, beside the session of the tables and never in its way.
//!
//! There is no progress to keep: a row's version is the place it was read from, so the table itself says where each partition goes on, and
//! whatever is written twice collapses. A ClickHouse that lost the table is filled again with what the topics still have.

use std::{
    collections::{BTreeMap, HashSet},
    convert::Infallible,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{Consumer, StreamConsumer},
    error::KafkaError,
};
use tokio::{
    task,
    time::{self, Instant},
};

use crate::{
    http::{self, ClickHouse},
    sql,
    table::WINDOWS,
};

mod row;

/// Between two looks for topics, and two tries.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long a row waits for others to go with.
const FLUSH: Duration = Duration::from_millis(500);
/// Bytes of a batch that waits for no others.
const BATCH_BYTES: usize = 1 << 20;
/// How long Kafka may take for one answer.
const ANSWER: Duration = Duration::from_secs(5);
/// The lowest bits of a version are the offset, the others say how often the topic was made anew.
const OFFSET_BITS: u32 = 48;

/// What is read, and where it goes.
pub struct Windows {
    /// What the topics begin with, before the window's size.
    pub topics: String,
    /// How Kafka is reached, as a consumer that keeps its own progress.
    pub consumer: ClientConfig,
    /// Folder of ClickHouse's Secret.
    pub clickhouse_secret: PathBuf,
}

/// What came of it.
pub enum Told {
    /// It works, and so many rows were written.
    Written(u64),
    /// It failed, and is tried again.
    Failed(String),
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    #[error(transparent)]
    ClickHouse(#[from] http::Error),
    #[error("looking for topics was interrupted")]
    Interrupted,
}

/// Where a partition is read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    era: u64,
    next: i64,
}

impl Place {
    /// After the highest version that is stored. A topic that ends before it is another one than was read.
    fn after(stored: Option<u64>, end: i64) -> Self {
        let Some(version) = stored else { return Self::default() };
        let (era, offset) = (version >> OFFSET_BITS, version & ((1 << OFFSET_BITS) - 1));
        match i64::try_from(offset + 1) {
            Ok(next) if next <= end => Self { era, next },
            _ => Self { era: era + 1, next: 0 },
        }
    }

    /// The version of what is at an offset. One that was passed already is of a topic that was made anew meanwhile.
    fn take(&mut self, offset: i64) -> u64 {
        if offset < self.next {
            self.era += 1;
        }
        self.next = offset + 1;
        (self.era << OFFSET_BITS) | u64::try_from(offset).unwrap_or_default()
    }
}

/// The window's size as its topic says it, and the partition.
type Partition = (String, i32);

impl Windows {
    /// Writes for ever: topics that are not there are waited for, and what fails is told and tried again.
    pub async fn run(&self, told: impl Fn(Told)) -> Infallible {
        loop {
            let Err(error) = self.session(&told).await;
            told(Told::Failed(format!("likes by window: {error}")));
            tracing::warn!(%error, "likes by window cannot be written; trying again");
            time::sleep(LOOK_EVERY).await;
        }
    }

    async fn session(&self, told: &impl Fn(Told)) -> Result<Infallible, Error> {
        let clickhouse = ClickHouse::read(&self.clickhouse_secret)?;
        let [database, ..] = sql::books(&clickhouse.database);
        let name = sql::qualified(&clickhouse.database, WINDOWS);
        for statement in [database, row::table(&name)] {
            clickhouse.execute(&statement).await?;
        }
        let insert = format!("INSERT INTO {name} FORMAT JSONEachRow");
        let consumer: Arc<StreamConsumer> = Arc::new(self.config().create()?);
        let mut places = BTreeMap::new();
        let (mut batch, mut rows, mut due) = (Vec::new(), 0, Instant::now());
        let mut look = time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        let mut looked = false;
        loop {
            let waits = !batch.is_empty();
            tokio::select! {
                message = consumer.recv(), if batch.len() < BATCH_BYTES => {
                    let message = message?;
                    let Some(size) = message.topic().strip_prefix(&self.topics) else { continue };
                    let place: &mut Place = places.entry((size.to_owned(), message.partition())).or_default();
                    let version = place.take(message.offset());
                    // A record without a value takes a window away from the topic that is long over; here it stays.
                    let Some(value) = message.payload() else { continue };
                    if !waits {
                        due = Instant::now() + FLUSH;
                    }
                    match row::write(&mut batch, size, message.partition(), version, value) {
                        Ok(()) => rows += 1,
                        Err(reason) => {
                            tracing::warn!(topic = message.topic(), offset = message.offset(), reason, "no aggregation: it is left out");
                        }
                    }
                }
                () = time::sleep_until(if batch.len() < BATCH_BYTES { due } else { Instant::now() }), if waits => {
                    clickhouse.insert(&insert, Bytes::from(std::mem::take(&mut batch))).await?;
                    told(Told::Written(std::mem::take(&mut rows)));
                }
                _ = look.tick() => {
                    // What failed before may have been followed by no row whose writing would show that it works again.
                    if looked && !waits {
                        told(Told::Written(0));
                    }
                    looked = true;
                    let known: HashSet<Partition> = places.keys().cloned().collect();
                    let (asking, prefix) = (Arc::clone(&consumer), self.topics.clone());
                    let found = task::spawn_blocking(move || unread(&asking, &prefix, &known)).await;
                    let found = found.map_err(|_| Error::Interrupted)??;
                    if !found.is_empty() {
                        let stored = stored(&clickhouse, &name).await?;
                        places.extend(self.begin(&consumer, found, &stored)?);
                    }
                }
            }
        }
    }

    /// Begins to read partitions, where it was left.
    fn begin(
        &self,
        consumer: &StreamConsumer,
        found: Vec<(Partition, i64)>,
        stored: &BTreeMap<Partition, u64>,
    ) -> Result<Vec<(Partition, Place)>, KafkaError> {
        tracing::info!(partitions = found.len(), "reading likes by window");
        let (mut begun, mut from) = (Vec::new(), TopicPartitionList::new());
        for (partition, end) in found {
            let place = Place::after(stored.get(&partition).copied(), end);
            let offset = match place.next {
                0 => Offset::Beginning,
                next => Offset::Offset(next),
            };
            from.add_partition_offset(&format!("{}{}", self.topics, partition.0), partition.1, offset)?;
            begun.push((partition, place));
        }
        consumer.incremental_assign(&from)?;
        Ok(begun)
    }

    fn config(&self) -> ClientConfig {
        let mut config = self.consumer.clone();
        // Of each of a dozen partitions or more, and a record costs several times its bytes while it waits.
        config
            .set("queued.min.messages", "500")
            .set("queued.max.messages.kbytes", "64")
            .set("fetch.message.max.bytes", "65536")
            .set("fetch.max.bytes", "1048576");
        config
    }
}

/// The highest version of each partition.
async fn stored(clickhouse: &ClickHouse, table: &str) -> Result<BTreeMap<Partition, u64>, http::Error> {
    let query = format!("SELECT size, partition, toString(max(version)) FROM {table} GROUP BY size, partition");
    let rows = clickhouse.rows::<(String, i32, String)>(&query).await?;
    let known = |(size, partition, version): (String, i32, String)| Some(((size, partition), version.parse().ok()?));
    Ok(rows.into_iter().filter_map(known).collect())
}

/// The partitions that are not read yet, and where they end. Blocks.
fn unread(
    consumer: &StreamConsumer,
    prefix: &str,
    known: &HashSet<Partition>,
) -> Result<Vec<(Partition, i64)>, KafkaError> {
    let metadata = consumer.fetch_metadata(None, ANSWER)?;
    let mut found = Vec::new();
    for topic in metadata.topics().iter().filter(|topic| topic.error().is_none()) {
        let Some(size) = topic.name().strip_prefix(prefix) else {
            continue;
        };
        for partition in topic.partitions() {
            let key = (size.to_owned(), partition.id());
            if !known.contains(&key) {
                let (_, end) = consumer.fetch_watermarks(topic.name(), partition.id(), ANSWER)?;
                found.push((key, end));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_after_what_is_stored_and_begins_anew_where_the_topic_was_made_anew() {
        assert_eq!(Place::after(None, 9), Place { era: 0, next: 0 });
        assert_eq!(Place::after(Some(7), 9), Place { era: 0, next: 8 });
        assert_eq!(Place::after(Some(8), 9), Place { era: 0, next: 9 });
        assert_eq!(Place::after(Some(9), 9), Place { era: 1, next: 0 });
        assert_eq!(Place::after(Some((3 << OFFSET_BITS) | 4), 5), Place { era: 3, next: 5 });
    }

    #[test]
    fn versions_rise_even_if_offsets_begin_again() {
        let mut place = Place::default();
        let versions: Vec<u64> = [0, 1, 5, 0, 1].map(|offset| place.take(offset)).into();
        assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
        assert_eq!(Place::after(versions.last().copied(), 2), place);
    }
}
