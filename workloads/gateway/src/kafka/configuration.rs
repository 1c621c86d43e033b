//! How a topic is configured.

use futures::executor::block_on;
use rdkafka::{
    admin::{AdminClient, AdminOptions, ConfigEntry, ConfigSource, ResourceSpecifier},
    client::DefaultClientContext,
    error::KafkaError,
    types::RDKafkaErrorCode,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{ANSWER, Error, Topic};

/// A topic and its configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = TopicDescription)]
pub struct Described {
    /// The topic.
    #[serde(flatten)]
    pub topic: Topic,
    /// Its settings, by name.
    pub configuration: Vec<Setting>,
}

/// A setting of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = TopicSetting)]
pub struct Setting {
    /// As Kafka names it.
    pub name: String,
    /// Its value; never shown where it is sensitive.
    pub value: Option<String>,
    /// Whether it is the brokers', not set for this topic.
    pub default: bool,
    /// Whether it is a secret.
    pub sensitive: bool,
}

/// Asks for a topic's configuration. The admin client has a thread of its own that receives the answer, so this one may wait for it.
pub(super) fn describe(admin: &AdminClient<DefaultClientContext>, topic: Topic) -> Result<Described, Error> {
    let options = AdminOptions::new().request_timeout(Some(ANSWER));
    let asked = [ResourceSpecifier::Topic(&topic.name)];
    let told = block_on(admin.describe_configs(&asked, &options))?;
    let mut configuration = Vec::new();
    for resource in told {
        match resource {
            Ok(resource) => configuration.extend(resource.entries.into_iter().map(setting)),
            // It was deleted since it was found.
            Err(RDKafkaErrorCode::UnknownTopicOrPartition) => return Err(Error::UnknownTopic(topic.name)),
            Err(code) => return Err(KafkaError::AdminOp(code).into()),
        }
    }
    configuration.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Described { topic, configuration })
}

fn setting(entry: ConfigEntry) -> Setting {
    Setting {
        name: entry.name,
        value: entry.value.filter(|_| !entry.is_sensitive),
        default: entry.source != ConfigSource::DynamicTopic,
        sensitive: entry.is_sensitive,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let entry = |is_sensitive| ConfigEntry {
            name: "password".to_owned(),
            value: Some("secret".to_owned()),
            source: ConfigSource::DynamicTopic,
            is_read_only: false,
            is_default: false,
            is_sensitive,
        };
        assert_eq!(setting(entry(true)).value, None);
        assert_eq!(setting(entry(false)).value.as_deref(), Some("secret"));
        assert!(!setting(entry(false)).default);
    }
}
