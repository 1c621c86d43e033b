//! Kafka's side: which topics, from where, and their records as source transactions.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{Consumer, StreamConsumer},
    error::KafkaError,
    message::{BorrowedMessage, Headers},
};
use synccluster_protocol::{
    ClusterName, Site,
    event::{Envelope, TRANSACTION_END_HEADER},
    status::Millis,
};
use synccluster_runtime::clock::now_millis;

use crate::{
    assemble::{Assembler, Placed, SourceTransaction},
    event::{self, Event},
};

/// How long Kafka may take to answer a question about its topics.
const ANSWER: Duration = Duration::from_secs(3);

/// One topic that is read.
pub struct Topic {
    /// Whose it is.
    pub site: Site,
    /// Complete transactions that wait to be applied.
    pub ready: std::collections::VecDeque<SourceTransaction>,
    /// The next offset to apply, as stored.
    pub offset: i64,
    /// The highest commit of the source that was applied.
    pub lsn: i64,
    /// The end of the topic when last asked.
    pub end: Option<(i64, Millis)>,
    /// Ahead of the site's clock by this much; not applied until it has passed.
    pub ahead: Option<Duration>,
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
        progress: &std::collections::HashMap<String, (i64, i64)>,
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
            let (offset, lsn) = progress.get(name).copied().unwrap_or((0, 0));
            let from = if offset > 0 {
                Offset::Offset(offset)
            } else {
                Offset::Beginning
            };
            new.add_partition_offset(name, 0, from)?;
            tracing::info!(topic = name, offset, "reading");
            let ready = std::collections::VecDeque::new();
            let topic = Topic {
                site: source,
                ready,
                offset,
                lsn,
                end: None,
                ahead: None,
                assembler: Assembler::default(),
            };
            self.topics.insert(name.to_owned(), topic);
        }
        if new.count() > 0 {
            self.consumer.incremental_assign(&new)?;
        }
        Ok(())
    }

    /// Asks for the end of every topic.
    pub fn measure(&mut self) -> Result<(), KafkaError> {
        for (name, topic) in &mut self.topics {
            // The time before the question: what was sent after it may not be in the answer.
            let asked_at = now_millis();
            topic.end = Some((self.consumer.fetch_watermarks(name, 0, ANSWER)?.1, asked_at));
        }
        Ok(())
    }

    /// Events that wait, of all topics.
    pub fn waiting(&self) -> usize {
        self.topics
            .values()
            .flat_map(|topic| &topic.ready)
            .map(|transaction| transaction.events.len())
            .sum()
    }
}

/// What a record holds; made before the topic is looked up, so that the message need not be kept.
pub struct Received {
    topic: String,
    placed: Placed,
    event: Option<Event>,
    unreadable: Option<(serde_json::Value, String)>,
}

impl Received {
    /// Reads a message.
    pub fn read(message: &BorrowedMessage<'_>) -> Self {
        let last = message
            .headers()
            .is_some_and(|headers| headers.iter().any(|header| header.key == TRANSACTION_END_HEADER));
        let mut received = Self {
            topic: message.topic().to_owned(),
            placed: Placed {
                offset: message.offset(),
                transaction: None,
                last,
                tombstone: message.payload().is_none(),
            },
            event: None,
            unreadable: None,
        };
        let Some(payload) = message.payload() else {
            return received;
        };
        let raw: serde_json::Value = match serde_json::from_slice(payload) {
            Ok(raw) => raw,
            Err(error) => {
                let text = String::from_utf8_lossy(payload).into_owned();
                received.unreadable = Some((text.into(), format!("the record is not JSON: {error}")));
                return received;
            }
        };
        match serde_json::from_value::<Envelope>(raw.clone()) {
            Ok(mut envelope) => {
                received.placed.transaction = envelope.transaction.take();
                match event::read(envelope, raw.clone()) {
                    Ok(event) => received.event = event,
                    Err(error) => received.unreadable = Some((raw, error.to_string())),
                }
            }
            Err(error) => received.unreadable = Some((raw, format!("the record is no change event: {error}"))),
        }
        received
    }

    /// Hands it to its topic.
    pub fn add_to(self, source: &mut Source) {
        if let Some(topic) = source.topics.get_mut(&self.topic) {
            topic
                .ready
                .extend(topic.assembler.push(self.placed, self.event, self.unreadable));
        }
    }
}
