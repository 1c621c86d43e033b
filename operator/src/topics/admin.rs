//! Kafka's side of it: describes, makes, changes. A client lives for one look.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigResource, ConfigSource, NewTopic, OwnedResourceSpecifier,
    ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};

use super::decide::{Backlog, Seen, Wanted};
use crate::validate::topics::MANAGED;

const ANSWER: Duration = Duration::from_secs(5);

/// Why topics could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Kafka did not answer, or refused.
    #[error("Kafka did not {what}: {source}")]
    Kafka {
        /// What was asked.
        what: &'static str,
        /// The answer.
        source: KafkaError,
    },
    /// A thread that asked ended before its time.
    #[error("the question to Kafka ended early: {0}")]
    Task(#[from] tokio::task::JoinError),
}

fn failed(what: &'static str) -> impl Fn(KafkaError) -> Error {
    move |source| Error::Kafka { what, source }
}

/// A way to ask and to change.
pub struct Admin {
    client: Arc<AdminClient<DefaultClientContext>>,
    config: ClientConfig,
}

impl Admin {
    /// With this configuration; nothing is dialled yet.
    pub fn new(config: ClientConfig) -> Result<Self, Error> {
        let client = config.create().map_err(failed("take the configuration"))?;
        Ok(Self {
            client: Arc::new(client),
            config,
        })
    }

    /// Those of the topics that are there, and the names of all there are.
    pub async fn describe(&self, names: &[&str]) -> Result<(BTreeMap<String, Seen>, Vec<String>), Error> {
        let client = Arc::clone(&self.client);
        let metadata = tokio::task::spawn_blocking(move || client.inner().fetch_metadata(None, ANSWER)).await?;
        let metadata = metadata.map_err(failed("list its topics"))?;
        let there = metadata.topics().iter().map(|topic| topic.name().to_owned()).collect();
        let mut seen = BTreeMap::new();
        for topic in metadata.topics().iter().filter(|topic| names.contains(&topic.name())) {
            let copies = topic.partitions().first().map_or(0, |first| first.replicas().len());
            let facts = Seen {
                partitions: topic.partitions().len(),
                replication: i32::try_from(copies).unwrap_or(i32::MAX),
                ..Seen::default()
            };
            seen.insert(topic.name().to_owned(), facts);
        }
        let asked: Vec<ResourceSpecifier<'_>> = seen.keys().map(|name| ResourceSpecifier::Topic(name)).collect();
        if asked.is_empty() {
            return Ok((seen, there));
        }
        let described = self.client.describe_configs(&asked, &options()).await;
        let described: Vec<ConfigResource> = described
            .and_then(|all| all.into_iter().map(|one| one.map_err(KafkaError::AdminOp)).collect())
            .map_err(failed("describe its topics"))?;
        for resource in described {
            let OwnedResourceSpecifier::Topic(name) = &resource.specifier else {
                continue;
            };
            let Some(seen) = seen.get_mut(name) else { continue };
            for entry in resource.entries {
                let Some(value) = entry.value else { continue };
                if MANAGED.contains(&entry.name.as_str()) {
                    seen.effective.insert(entry.name.clone(), value.clone());
                }
                if entry.source == ConfigSource::DynamicTopic {
                    seen.own.insert(entry.name, value);
                }
            }
        }
        Ok((seen, there))
    }

    /// Makes a topic of one partition. `Err` inside: Kafka's reason.
    pub async fn create(&self, wanted: &Wanted) -> Result<Result<(), RDKafkaErrorCode>, Error> {
        let new = NewTopic::new(&wanted.name, 1, TopicReplication::Fixed(wanted.replication));
        let new = wanted
            .settings
            .iter()
            .fold(new, |new, (name, value)| new.set(name, value));
        let options = options().operation_timeout(Some(ANSWER));
        let made = self.client.create_topics([&new], &options).await;
        let made = made.map_err(failed("make a topic"))?;
        let reason = made.into_iter().find_map(Result::err).map(|(_, code)| code);
        Ok(reason
            .filter(|code| *code != RDKafkaErrorCode::TopicAlreadyExists)
            .map_or(Ok(()), Err))
    }

    /// Gives a topic these settings of its own. Kafka's older request, which replaces all of them: rdkafka has no other, and `own` holds what was
    /// read a moment ago.
    pub async fn alter(
        &self,
        name: &str,
        own: &BTreeMap<String, String>,
    ) -> Result<Result<(), RDKafkaErrorCode>, Error> {
        let config = AlterConfig::new(ResourceSpecifier::Topic(name));
        let config = own.iter().fold(config, |config, (name, value)| config.set(name, value));
        let altered = self.client.alter_configs([&config], &options()).await;
        let altered = altered.map_err(failed("change a topic"))?;
        Ok(altered
            .into_iter()
            .find_map(Result::err)
            .map_or(Ok(()), |(_, code)| Err(code)))
    }

    /// Deletes topics, and the positions of consumer groups; what is not there is gone.
    pub async fn remove(&self, topics: &[&str], groups: &[&str]) -> Result<(), Error> {
        let gone = [
            RDKafkaErrorCode::UnknownTopicOrPartition,
            RDKafkaErrorCode::GroupIdNotFound,
        ];
        let refused = |what: &'static str| move |code| failed(what)(KafkaError::AdminOp(code));
        let first = |codes: Vec<RDKafkaErrorCode>| codes.into_iter().find(|code| !gone.contains(code));
        if !topics.is_empty() {
            let deleted = self.client.delete_topics(topics, &options()).await;
            let deleted = deleted.map_err(failed("delete topics"))?.into_iter();
            let codes = deleted.filter_map(Result::err).map(|(_, code)| code).collect();
            first(codes).map_or(Ok(()), |code| Err(refused("delete topics")(code)))?;
        }
        if !groups.is_empty() {
            let deleted = self.client.delete_groups(groups, &options()).await;
            let deleted = deleted.map_err(failed("delete consumer groups"))?.into_iter();
            let codes = deleted.filter_map(Result::err).map(|(_, code)| code).collect();
            first(codes).map_or(Ok(()), |code| Err(refused("delete consumer groups")(code)))?;
        }
        Ok(())
    }

    /// What lies in a topic behind an offset.
    pub async fn backlog(&self, topic: &str, offset: i64) -> Result<Backlog, Error> {
        let (mut config, topic) = (self.config.clone(), topic.to_owned());
        config
            .set("group.id", "synccluster-operator")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "earliest");
        let looked = tokio::task::spawn_blocking(move || look_behind(&config, &topic, offset)).await?;
        looked.map_err(failed("show the records a site has still to read"))
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ANSWER))
}

fn look_behind(config: &ClientConfig, topic: &str, offset: i64) -> Result<Backlog, KafkaError> {
    let consumer: BaseConsumer = config.create()?;
    let (start, end) = consumer.fetch_watermarks(topic, 0, ANSWER)?;
    if offset.max(start) >= end {
        return Ok(Backlog { end, oldest: None });
    }
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(topic, 0, Offset::Offset(offset.max(start)))?;
    consumer.assign(&from)?;
    let until = Instant::now() + ANSWER;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        match consumer.poll(left) {
            Some(Ok(record)) => {
                let oldest = record.timestamp().to_millis();
                return Ok(Backlog { end, oldest });
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(Backlog { end, oldest: None }),
            // The first broker tried may be one that is away.
            Some(Err(_)) | None => {}
        }
    }
    Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut))
}
