//! Which topics there are, and how far each partition goes.

use std::collections::HashMap;

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaError,
    metadata::MetadataTopic,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{ANSWER, Error, Wide, position::Bounds};

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Topic {
    /// Its name; a site's is `<cluster>.<site>`.
    pub name: String,
    /// Its partitions.
    pub partitions: Vec<Partition>,
    /// Kafka's own: committed offsets and the like.
    pub internal: bool,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = TopicPartition)]
pub struct Partition {
    /// Its number, from 0.
    pub id: i32,
    /// The broker that takes its writes; null while there is none.
    pub leader: Option<i32>,
    /// The brokers that hold it.
    pub replicas: Vec<i32>,
    /// The first offset that is still there; null while the partition has no leader.
    pub low: Option<Wide>,
    /// One past the last offset a reader of committed records sees; null while the partition has no leader.
    pub high: Option<Wide>,
}

/// A partition of a topic.
pub type Place = (String, i32);

/// Every topic, by name.
pub(super) fn list(client: &BaseConsumer) -> Result<Vec<Topic>, Error> {
    let mut topics = known(client)?;
    measure(client, &mut topics)?;
    Ok(topics)
}

/// The topic of this name.
pub(super) fn find(client: &BaseConsumer, name: &str) -> Result<Topic, Error> {
    let found = known(client)?.into_iter().find(|topic| topic.name == name);
    let mut topic = found.ok_or_else(|| Error::UnknownTopic(name.to_owned()))?;
    measure(client, std::slice::from_mut(&mut topic))?;
    Ok(topic)
}

/// All of them, and never one by name: asking for a name can make the topic where the broker is set so.
fn known(client: &BaseConsumer) -> Result<Vec<Topic>, KafkaError> {
    let metadata = client.fetch_metadata(None, ANSWER)?;
    let mut topics: Vec<Topic> = metadata.topics().iter().map(topic).collect();
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(topics)
}

/// Asks how far the partitions go.
fn measure(client: &BaseConsumer, topics: &mut [Topic]) -> Result<(), KafkaError> {
    let places: Vec<Place> = topics.iter().flat_map(Topic::led).collect();
    let low = offsets(client, &places, Offset::Beginning)?;
    let high = offsets(client, &places, Offset::End)?;
    for topic in topics {
        for partition in &mut topic.partitions {
            let place = (topic.name.clone(), partition.id);
            partition.low = low.get(&place).copied().map(Wide);
            partition.high = high.get(&place).copied().map(Wide);
        }
    }
    Ok(())
}

fn topic(metadata: &MetadataTopic) -> Topic {
    let partition = |partition: &rdkafka::metadata::MetadataPartition| Partition {
        id: partition.id(),
        leader: Some(partition.leader()).filter(|broker| *broker >= 0),
        replicas: partition.replicas().to_vec(),
        low: None,
        high: None,
    };
    Topic {
        name: metadata.name().to_owned(),
        partitions: metadata.partitions().iter().map(partition).collect(),
        internal: metadata.name().starts_with("__"),
    }
}

impl Topic {
    /// The partitions that have a leader: a question about another one waits for it, and the others with it.
    fn led(&self) -> impl Iterator<Item = Place> + '_ {
        let led = self.partitions.iter().filter(|partition| partition.leader.is_some());
        led.map(|partition| (self.name.clone(), partition.id))
    }

    /// What a partition holds.
    pub(super) fn bounds(&self, partition: i32) -> Result<Bounds, Error> {
        let found = self.partitions.iter().find(|known| known.id == partition);
        let found = found.ok_or_else(|| Error::UnknownPartition {
            topic: self.name.clone(),
            partition,
            partitions: self.partitions.len(),
        })?;
        let bounds = found.low.zip(found.high).map(|(low, high)| Bounds {
            low: low.0,
            high: high.0,
        });
        bounds.ok_or_else(|| Error::NoLeader {
            topic: self.name.clone(),
            partition,
        })
    }
}

/// Where partitions begin or end, or the first offset at a time, in one question a broker; those that cannot be told are left out.
pub fn offsets<C: ConsumerContext>(
    client: &impl Consumer<C>,
    places: &[Place],
    at: Offset,
) -> Result<HashMap<Place, i64>, KafkaError> {
    if places.is_empty() {
        return Ok(HashMap::new());
    }
    let mut asked = TopicPartitionList::with_capacity(places.len());
    for (topic, partition) in places {
        asked.add_partition_offset(topic, *partition, at)?;
    }
    // The protocol asks for the beginning and the end by times of their own, which have the numbers of these offsets.
    let told = client.offsets_for_times(asked, ANSWER)?;
    let known = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
        element.error().ok()?;
        match element.offset() {
            Offset::Offset(offset) => Some(((element.topic().to_owned(), element.partition()), offset)),
            _ => None,
        }
    };
    Ok(told.elements().iter().filter_map(known).collect())
}
