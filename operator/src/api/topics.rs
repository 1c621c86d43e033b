//! What people write about topics, and what they are told of them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;

/// The annotation that lets a refused change of topics through. Its value is the metadata.generation of the change, so that it holds for no other.
pub const FORCE_TOPICS_ANNOTATION: &str = "synccluster.dev/force-topics";

/// The topics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [
    rules::rule(
        "self.cleanupPolicy == 'compact' ? !has(self.retention) : has(self.retention)",
        "kafka.topics.retention goes with cleanupPolicy delete or compact,delete: set both, or use compact without retention",
    ),
    rules::rule(
        "self.cleanupPolicy != 'delete' || !has(self.deleteRetention)",
        "kafka.topics.deleteRetention goes with cleanupPolicy compact or compact,delete: leave it out, with delete everything goes after retention",
    ),
    rules::rule(
        "!has(self.segment) || !has(self.retention) || !self.segment.matches('^[1-9][0-9]{0,5}(s|m|h)$') \
         || !self.retention.matches('^[1-9][0-9]{0,5}(s|m|h)$') || duration(self.segment) <= duration(self.retention)",
        "kafka.topics.segment must not be longer than kafka.topics.retention: Kafka forgets whole segments, and only closed ones",
    ),
    rules::rule(
        "self.cleanupPolicy != 'compact' || !has(self.overrides) || self.overrides.all(o, has(o.cleanupPolicy) || !has(o.retention))",
        "kafka.topics.overrides[].retention goes with cleanupPolicy delete or compact,delete: set the override's cleanupPolicy as well",
    ),
    rules::rule(
        "self.cleanupPolicy != 'delete' || !has(self.overrides) || self.overrides.all(o, has(o.cleanupPolicy) || !has(o.deleteRetention))",
        "kafka.topics.overrides[].deleteRetention goes with cleanupPolicy compact or compact,delete: set the override's cleanupPolicy as well",
    ),
    rules::rule(
        "(has(self.replication) ? self.replication : 0) == (has(oldSelf.replication) ? oldSelf.replication : 0)",
        "kafka.topics.replication cannot be changed after creation: set it back; topics that exist are moved with kafka-reassign-partitions.sh",
    ),
]))]
pub struct Topics {
    /// compact keeps the newest change of every row for ever, so that a new client gets everything and a client may be away for any time.
    /// delete and compact,delete forget changes after retention: a client that was away longer misses them.
    pub cleanup_policy: CleanupPolicy,

    /// How long changes are kept with cleanupPolicy delete or compact,delete, such as 720h.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), extend("x-kubernetes-validations" = rules::duration("kafka.topics.retention", "24h or 720h")))]
    pub retention: Option<String>,

    /// How long compaction leaves Kafka's own mark of a delete for those who read, such as 24h. Leave it out for the brokers' default.
    /// The deletes that sites exchange are rows, and stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), extend("x-kubernetes-validations" = rules::duration("kafka.topics.deleteRetention", "24h or 168h")))]
    pub delete_retention: Option<String>,

    /// After which time Kafka closes a segment even if it is not full, such as 1h: only closed segments are compacted or forgotten. Leave it out
    /// for the brokers' default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), extend("x-kubernetes-validations" = rules::duration("kafka.topics.segment", "1h or 168h")))]
    pub segment: Option<String>,

    /// On how many brokers each topic is, at most kafka.brokers. Leave it out for all of them; with kafka.external for as many
    /// as its brokers make by default. Cannot be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [rules::rule(
        "self >= 1 && self <= 32", "kafka.topics.replication must be between 1 and 32"
    )]))]
    pub replication: Option<i32>,

    /// What is different for the topics of single sites.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["site"]))]
    pub overrides: Vec<TopicOverride>,
}

/// What is different for one site's topic.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rules::rule(
        "!has(self.cleanupPolicy) || (self.cleanupPolicy == 'compact' ? !has(self.retention) : has(self.retention))",
        "kafka.topics.overrides[].retention goes with cleanupPolicy delete or compact,delete: set both, or use compact without retention",
    ),
    rules::rule(
        "!has(self.cleanupPolicy) || self.cleanupPolicy != 'delete' || !has(self.deleteRetention)",
        "kafka.topics.overrides[].deleteRetention goes with cleanupPolicy compact or compact,delete: leave it out, with delete everything goes after retention",
    ),
]))]
pub struct TopicOverride {
    /// Whose topic: server, client-1, client-2, …
    #[schemars(length(max = 16), extend("x-kubernetes-validations" = [rules::rule(
        "self.matches('^(server|client-[1-9][0-9]{0,3})$')",
        "kafka.topics.overrides[].site must be server or client-<i> such as client-2",
    )]))]
    pub site: String,

    /// Instead of kafka.topics.cleanupPolicy. It replaces kafka.topics.retention and deleteRetention too: with delete or compact,delete set retention here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleanup_policy: Option<CleanupPolicy>,

    /// Instead of kafka.topics.retention.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), extend("x-kubernetes-validations" = rules::duration("kafka.topics.overrides[].retention", "24h or 720h")))]
    pub retention: Option<String>,

    /// Instead of kafka.topics.deleteRetention.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), extend("x-kubernetes-validations" = rules::duration("kafka.topics.overrides[].deleteRetention", "24h or 168h")))]
    pub delete_retention: Option<String>,

    /// Instead of kafka.topics.segment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), extend("x-kubernetes-validations" = rules::duration("kafka.topics.overrides[].segment", "1h or 168h")))]
    pub segment: Option<String>,
}

/// Kafka's `cleanup.policy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CleanupPolicy {
    /// Keeps the newest record of a key.
    #[default]
    #[serde(rename = "compact")]
    Compact,
    /// Forgets old records.
    #[serde(rename = "delete")]
    Delete,
    /// Both.
    #[serde(rename = "compact,delete")]
    CompactDelete,
}

impl CleanupPolicy {
    /// As Kafka writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compact => "compact",
            Self::Delete => "delete",
            Self::CompactDelete => "compact,delete",
        }
    }
}

/// A topic as Kafka says it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TopicStatus {
    /// Its name.
    pub name: String,
    /// Whether it is as the spec says.
    pub state: TopicState,
    /// Of the settings that the spec decides, those the topic itself has; for the others the brokers' defaults hold.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// On how many brokers it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication: Option<i32>,
    /// When the operator changed its settings last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<Time>,
    /// What it changed then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
    /// Why it is not as wanted, with what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Whether a topic is as wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TopicState {
    /// It could not be seen.
    #[default]
    Unknown,
    /// It is.
    AsWanted,
    /// It would lose what a site still has to read, and so it was left as it is.
    Refused,
    /// Kafka did not do what was asked, or it cannot be done while the topic lives.
    Failed,
}
