//! Kafka's side: which topics, from where, and their records as source transactions.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{Consumer, StreamConsumer},
    error::KafkaError,
    message::{BorrowedMessage, Headers},
};
use serde::Deserialize;
use serde_json::Value;
use synccluster_protocol::{
    ClusterName, Site, Version,
    event::{Boundary, INSTALLATION_HEADER, Installation, TOMBSTONES, TRANSACTION_END_HEADER, Transaction},
    status::Millis,
};
use synccluster_runtime::clock::now_millis;

use crate::{
    assemble::{Assembler, Placed, Record, SourceTransaction},
    replay,
    stand::Stand,
};

/// How long Kafka may take to answer a question about its topics.
const ANSWER: Duration = Duration::from_secs(3);
/// Bytes of records that may wait for the clock, of all topics together.
const WAITING: usize = 4 << 20;
/// What each topic may have of them, however many topics there are.
const SHARE_AT_LEAST: usize = 64 << 10;

/// One topic that is read.
pub struct Topic {
    /// Whose it is.
    pub site: Site,
    /// Complete transactions that wait to be applied.
    pub ready: std::collections::VecDeque<SourceTransaction>,
    /// Where it stands, as stored.
    pub stand: Stand,
    /// The end of the topic when last asked.
    pub end: Option<(i64, Millis)>,
    /// Ahead of the site's clock by this much; not applied until it has passed.
    pub ahead: Option<Duration>,
    /// Whether it turned out to be another than the one that was read.
    pub another: bool,
    /// The offset of the last record that was applied, until it has been looked at once more.
    last: Option<i64>,
    held_back: bool,
    assembler: Assembler,
}

/// The topics of a site's downlink: the server reads every client's, a client the server's.
pub struct Source {
    consumer: StreamConsumer,
    /// By name.
    pub topics: BTreeMap<String, Topic>,
}

impl Source {
    /// Around a consumer that has nothing assigned.
    pub fn new(consumer: StreamConsumer) -> Self {
        Self {
            consumer,
            topics: BTreeMap::new(),
        }
    }

    /// The consumer, to receive from.
    pub fn consumer(&self) -> &StreamConsumer {
        &self.consumer
    }

    /// Looks for topics that are not read yet and begins each where `progress` says, or at its beginning.
    pub fn discover(
        &mut self,
        cluster: &ClusterName,
        site: Site,
        progress: &std::collections::HashMap<String, Stand>,
    ) -> Result<(), KafkaError> {
        let wanted = |source: &Site| match site {
            Site::Server => *source != Site::Server,
            Site::Client(_) => *source == Site::Server,
        };
        let metadata = self.consumer.fetch_metadata(None, ANSWER)?;
        let mut new = TopicPartitionList::new();
        for topic in metadata.topics() {
            let name = topic.name();
            let Some(source) = cluster.site_of_topic(name).filter(wanted) else {
                continue;
            };
            if topic.partitions().is_empty() || self.topics.contains_key(name) {
                continue;
            }
            let stand = progress.get(name).copied().unwrap_or_default();
            let last = self.last(name, stand)?;
            let from = match last {
                Some(last) => Offset::Offset(last),
                None if stand.offset > 0 => Offset::Offset(stand.offset),
                None => Offset::Beginning,
            };
            new.add_partition_offset(name, 0, from)?;
            tracing::info!(topic = name, offset = stand.offset, "reading");
            let ready = std::collections::VecDeque::new();
            let topic = Topic {
                site: source,
                ready,
                stand,
                end: None,
                ahead: None,
                another: false,
                last,
                held_back: false,
                assembler: Assembler::default(),
            };
            self.topics.insert(name.to_owned(), topic);
        }
        if new.count() > 0 {
            self.consumer.incremental_assign(&new)?;
        }
        Ok(())
    }

    /// The offset before that at which a topic is gone on with, if the topic has it.
    fn last(&self, name: &str, stand: Stand) -> Result<Option<i64>, KafkaError> {
        if stand.offset == 0 {
            return Ok(None);
        }
        let (first, end) = self.consumer.fetch_watermarks(name, 0, ANSWER)?;
        let last = stand.offset - 1;
        Ok((first..end).contains(&last).then_some(last))
    }

    /// Asks for the end of every topic.
    pub fn measure(&mut self) -> Result<(), KafkaError> {
        for (name, topic) in &mut self.topics {
            // The time before the question: what was sent after it may not be in the answer.
            let asked_at = now_millis();
            let end = self.consumer.fetch_watermarks(name, 0, ANSWER)?.1;
            // Before anything of it is received: offsets of another topic would be taken for those that were read.
            topic.stand = topic.stand.within(end);
            topic.end = Some((end, asked_at));
        }
        Ok(())
    }

    /// Stops reading topics whose transactions wait for the clock and fill their share of memory, and goes on when they were applied:
    /// no site makes others wait.
    pub fn hold_back(&mut self) -> Result<(), KafkaError> {
        let share = (WAITING / self.topics.len().max(1)).max(SHARE_AT_LEAST);
        for (name, topic) in &mut self.topics {
            let full = topic.ready.iter().map(SourceTransaction::bytes).sum::<usize>() >= share;
            if full != topic.held_back {
                topic.held_back = full;
                let mut partition = TopicPartitionList::new();
                partition.add_partition(name, 0);
                if full {
                    self.consumer.pause(&partition)?;
                } else {
                    self.consumer.resume(&partition)?;
                }
            }
        }
        Ok(())
    }
}

/// What has to be known of a record before it is applied.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Head {
    transaction: Option<Transaction>,
    source: Table,
    after: Option<Versioned>,
    /// With `id`, of a record that says where a transaction begins or ends; change events have neither.
    status: Option<Boundary>,
    id: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Table {
    schema: String,
    table: String,
}

#[derive(Deserialize)]
struct Versioned {
    sync_version: Option<i64>,
    /// A tombstone's; in another table it is a column of the application's.
    version: Option<Value>,
}

impl Head {
    fn version(&self) -> Option<Version> {
        let after = self.after.as_ref()?;
        let tombstone = (self.source.schema.as_str(), self.source.table.as_str()) == TOMBSTONES;
        let version = if tombstone {
            after.version.as_ref()?.as_i64()
        } else {
            after.sync_version
        };
        version.map(Version)
    }
}

/// What a record holds; made before the topic is looked up, so that the message need not be kept.
pub struct Received {
    topic: String,
    placed: Placed,
    record: Option<Record>,
}

impl Received {
    /// Reads a message's place; what cannot be read is found out, and parked, when it is applied.
    pub fn read(message: &BorrowedMessage<'_>) -> Self {
        let headers = || message.headers().into_iter().flat_map(Headers::iter);
        let ended = headers().any(|header| header.key == TRANSACTION_END_HEADER);
        let installation = headers()
            .find(|header| header.key == INSTALLATION_HEADER)
            .and_then(|header| std::str::from_utf8(header.value?).ok()?.parse::<Installation>().ok());
        let raw = replay::raw(message);
        let head: Head = raw
            .as_deref()
            .and_then(|raw| serde_json::from_str(raw).ok())
            .unwrap_or_default();
        let version = head.version();
        let transaction = head.transaction.or(head.id.map(|id| Transaction {
            id,
            total_order: 0,
            data_collection_order: 0,
        }));
        Self {
            topic: message.topic().to_owned(),
            placed: Placed {
                offset: message.offset(),
                installation: installation.unwrap_or_default(),
                transaction,
                last: ended || head.status == Some(Boundary::End),
                tombstone: raw.is_none(),
            },
            record: raw.map(|raw| Record { raw, version }),
        }
    }

    /// Bytes it holds.
    pub fn bytes(&self) -> usize {
        self.record.as_ref().map_or(0, |record| record.raw.len())
    }

    /// Hands it to its topic. The first that comes of it may be the last that was applied, which only says whether this is the topic that was read.
    pub fn add_to(self, source: &mut Source) {
        let Some(topic) = source.topics.get_mut(&self.topic) else {
            return;
        };
        if topic.last.take() == Some(self.placed.offset) {
            let (stand, installation) = (topic.stand, self.placed.installation);
            topic.another = self
                .record
                .is_some_and(|record| stand.is_belied_by(&record.raw, installation));
            return;
        }
        topic.ready.extend(topic.assembler.push(self.placed, self.record));
    }
}
