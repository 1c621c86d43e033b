//! The site's topic.

use std::{str::FromStr, sync::Arc, time::Duration};

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    types::RDKafkaErrorCode,
};
use tokio::{task, time};

/// How the topic is made.
#[derive(Clone, Debug)]
pub struct TopicSpec {
    /// Copies.
    pub replication: i32,
    /// Settings of the topic, as Kafka names them.
    pub config: Vec<Setting>,
}

/// `name=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    name: String,
    value: String,
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| format!("`{text}` is no setting: write name=value, like cleanup.policy=compact"))?;
        Ok(Self {
            name: name.trim().to_owned(),
            value: value.trim().to_owned(),
        })
    }
}

/// How often a topic that somebody else makes is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long Kafka may take to say which topics there are.
const ANSWER: Duration = Duration::from_secs(5);

/// Returns when the topic is there.
pub async fn wait_for(client: &ClientConfig, topic: &str, mut still: impl FnMut()) -> Result<(), KafkaError> {
    let consumer: Arc<BaseConsumer> = Arc::new(client.create()?);
    loop {
        let asked = Arc::clone(&consumer);
        // All topics: to ask for one would make it where brokers make what they are asked for.
        let found = task::spawn_blocking(move || asked.fetch_metadata(None, ANSWER)).await;
        let found = found.map_err(|_| KafkaError::Canceled)??;
        if found
            .topics()
            .iter()
            .any(|found| found.name() == topic && !found.partitions().is_empty())
        {
            return Ok(());
        }
        still();
        time::sleep(LOOK_EVERY).await;
    }
}

/// Makes the topic unless it is there; one partition, so that commit order is the topic's order.
pub async fn ensure(client: &ClientConfig, topic: &str, spec: &TopicSpec) -> Result<(), KafkaError> {
    let admin: AdminClient<DefaultClientContext> = client.create()?;
    let mut wanted = NewTopic::new(topic, 1, TopicReplication::Fixed(spec.replication));
    for setting in &spec.config {
        wanted = wanted.set(&setting.name, &setting.value);
    }
    let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(10)));
    for result in admin.create_topics([&wanted], &options).await? {
        match result {
            Ok(_) => tracing::info!(topic, "made the topic"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(KafkaError::AdminOp(code)),
        }
    }
    Ok(())
}
