//! The topics, made where they are missing.

use std::time::{Duration, Instant};

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaError,
    types::RDKafkaErrorCode,
};

use crate::windows::Settings;

/// How long Kafka may take to answer.
const ANSWER: Duration = Duration::from_secs(10);
/// Between two looks whether a broker knows a topic.
const LOOK: Duration = Duration::from_millis(20);
/// Aggregations are written again and again, so their topics are cleaned early and in small segments.
const SEGMENT: &str = "67108864";

/// Why the topics are not as they have to be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Kafka refused or was not in reach.
    #[error("cannot make the topics: {0}")]
    Kafka(#[from] KafkaError),
    /// Kafka refused one.
    #[error("cannot make the topic {topic}: {code}")]
    Refused {
        /// Which.
        topic: String,
        /// Why.
        code: RDKafkaErrorCode,
    },
    /// What is counted in a partition is emitted to the same partition.
    #[error(
        "{topic} has {found} partitions and {likes} has {wanted}: they have to be the same; delete {topic} to have it made anew, or name another one"
    )]
    Partitions {
        /// Of the aggregations.
        topic: String,
        /// How many it has.
        found: usize,
        /// Of the likes.
        likes: String,
        /// How many that has.
        wanted: usize,
    },
    /// The blocking part was cancelled.
    #[error("looking at the topics was interrupted")]
    Interrupted,
}

/// Makes the topics that are missing, and checks that they fit each other.
pub async fn ensure(settings: &Settings) -> Result<(), Error> {
    let topics = &settings.topics;
    let client = settings.kafka.client_config(&settings.group())?;
    let admin: AdminClient<DefaultClientContext> = client.create()?;
    let (likes_kept, windows_kept) = (millis(topics.likes_retention), millis(topics.aggregations_retention));
    let new = |name| NewTopic::new(name, topics.partitions, TopicReplication::Fixed(topics.replication));
    let likes = new(&topics.likes)
        .set("cleanup.policy", "delete")
        .set("retention.ms", &likes_kept)
        // They say themselves when they were; so no node is refused for its clock.
        .set("message.timestamp.type", "LogAppendTime");
    let windows = topics.aggregations.iter().map(|name| {
        new(name)
            .set("cleanup.policy", "compact,delete")
            .set("retention.ms", &windows_kept)
            .set("segment.bytes", SEGMENT)
    });
    let wanted: Vec<_> = std::iter::once(likes).chain(windows).collect();
    for made in admin
        .create_topics(&wanted, &AdminOptions::new().request_timeout(Some(ANSWER)))
        .await?
    {
        match made {
            Ok(topic) => tracing::info!(topic, "made the topic"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => return Err(Error::Refused { topic, code }),
        }
    }
    let settings = settings.clone();
    tokio::task::spawn_blocking(move || check(&settings))
        .await
        .map_err(|_| Error::Interrupted)?
}

/// A topic that was there before may have other partitions.
fn check(settings: &Settings) -> Result<(), Error> {
    let consumer: BaseConsumer = settings.kafka.client_config(&settings.group())?.create()?;
    let likes = &settings.topics.likes;
    let wanted = partitions(&consumer, likes)?;
    for topic in &settings.topics.aggregations {
        let found = partitions(&consumer, topic)?;
        if found != wanted {
            let (topic, likes) = (topic.clone(), likes.clone());
            return Err(Error::Partitions {
                topic,
                found,
                likes,
                wanted,
            });
        }
    }
    Ok(())
}

/// How many a topic has. The controller has made it, but a broker learns of that later and knows no such topic until then.
pub fn partitions<C: ConsumerContext>(consumer: &BaseConsumer<C>, topic: &str) -> Result<usize, Error> {
    let end = Instant::now() + ANSWER;
    loop {
        let known = consumer.fetch_metadata(Some(topic), ANSWER)?;
        let found = known.topics().iter().map(|topic| topic.partitions().len()).sum();
        if found > 0 {
            return Ok(found);
        }
        if Instant::now() > end {
            let (topic, code) = (topic.to_owned(), RDKafkaErrorCode::UnknownTopicOrPartition);
            return Err(Error::Refused { topic, code });
        }
        std::thread::sleep(LOOK);
    }
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}
