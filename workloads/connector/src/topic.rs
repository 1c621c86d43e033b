//! The site's topic.

use std::{str::FromStr, time::Duration};

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    error::KafkaError,
    types::RDKafkaErrorCode,
};

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
