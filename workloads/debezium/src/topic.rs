//! How many records the site's topic has: Connect does not tell what Kafka has acknowledged.

use std::{sync::Arc, time::Duration};

use rdkafka::{
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
};
use synccluster_runtime::kafka::Kafka;
use tokio::task;

const ANSWER: Duration = Duration::from_secs(3);

/// Asks for the end of a topic.
#[derive(Clone)]
pub struct Topic {
    consumer: Arc<BaseConsumer>,
    name: String,
}

impl Topic {
    /// One of this Kafka.
    pub fn new(kafka: &Kafka, name: &str) -> Result<Self, KafkaError> {
        let config = kafka.consumer_config(&format!("{name}-connector"))?;
        Ok(Self {
            consumer: Arc::new(config.create()?),
            name: name.to_owned(),
        })
    }

    /// The offset behind its last record; `None` while there is no such topic.
    pub async fn end(&self) -> Result<Option<i64>, KafkaError> {
        let topic = self.clone();
        let asked = task::spawn_blocking(move || topic.consumer.fetch_watermarks(&topic.name, 0, ANSWER)).await;
        match asked {
            Ok(Ok((_, end))) => Ok(Some(end)),
            Ok(Err(error))
                if matches!(
                    error.rdkafka_error_code(),
                    Some(
                        RDKafkaErrorCode::UnknownTopicOrPartition
                            | RDKafkaErrorCode::UnknownPartition
                            | RDKafkaErrorCode::UnknownTopic
                    )
                ) =>
            {
                Ok(None)
            }
            Ok(Err(error)) => Err(error),
            // The runtime is going down.
            Err(_) => Ok(None),
        }
    }
}
