//! Topics: what each is to be, with its override.

use std::collections::BTreeMap;
use std::time::Duration;

use synccluster_protocol::Site;

use super::{Error, duration};
use crate::api::{self, CleanupPolicy};

/// The settings of a topic that `spec.kafka.topics` decides. Every other one is left to whoever runs Kafka.
pub const MANAGED: [&str; 4] = ["cleanup.policy", "retention.ms", "delete.retention.ms", "segment.ms"];

/// What one topic is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPolicy {
    /// What Kafka removes.
    pub cleanup_policy: CleanupPolicy,
    /// After which time, if it removes by time.
    pub retention: Option<Duration>,
    /// How long a mark of a delete stays.
    pub delete_retention: Option<Duration>,
    /// After which time a segment is closed.
    pub segment: Option<Duration>,
}

impl TopicPolicy {
    /// As Kafka's settings; what is not among them has the brokers' default.
    pub fn settings(&self) -> BTreeMap<String, String> {
        let millis = |time: Option<Duration>| time.map(|time| time.as_millis().to_string());
        let values = [
            Some(self.cleanup_policy.as_str().to_owned()),
            millis(self.retention),
            millis(self.delete_retention),
            millis(self.segment),
        ];
        let set = MANAGED.iter().zip(values);
        set.filter_map(|(name, value)| Some(((*name).to_owned(), value?)))
            .collect()
    }
}

/// What the topics are to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    /// Those of sites without an override.
    pub base: TopicPolicy,
    /// Those with one.
    pub overrides: BTreeMap<Site, TopicPolicy>,
    /// On how many brokers each is made; absent: on as many as the brokers do by default.
    pub replication: Option<u8>,
    /// Whether a change that loses events is wanted: the annotation names this generation.
    pub force: bool,
}

impl Topics {
    /// What a site's topic is to be.
    pub fn of(&self, site: Site) -> &TopicPolicy {
        self.overrides.get(&site).unwrap_or(&self.base)
    }
}

/// Validates them. How many brokers a Kafka has that is somebody else's is not known here.
pub fn topics(written: &api::Topics, brokers: Option<u8>, force: bool) -> Result<Topics, Error> {
    let time = |field, text: &Option<String>| text.as_deref().map(|text| duration(field, text)).transpose();
    let base = TopicPolicy {
        cleanup_policy: written.cleanup_policy,
        retention: time("kafka.topics.retention", &written.retention)?,
        delete_retention: time("kafka.topics.deleteRetention", &written.delete_retention)?,
        segment: time("kafka.topics.segment", &written.segment)?,
    };
    check("kafka.topics", &base)?;
    let mut overrides = BTreeMap::new();
    for own in &written.overrides {
        let site: Site = own.site.parse().map_err(|_| Error::Format {
            field: "kafka.topics.overrides[].site",
            value: own.site.clone(),
            expected: "server or client-<i> such as client-2",
        })?;
        // An override's cleanup policy brings its own retention: the base's may contradict it.
        let inherits = own.cleanup_policy.is_none();
        let or_base = |own: Option<Duration>, base: Option<Duration>| own.or(base.filter(|_| inherits));
        let policy = TopicPolicy {
            cleanup_policy: own.cleanup_policy.unwrap_or(base.cleanup_policy),
            retention: or_base(
                time("kafka.topics.overrides[].retention", &own.retention)?,
                base.retention,
            ),
            delete_retention: or_base(
                time("kafka.topics.overrides[].deleteRetention", &own.delete_retention)?,
                base.delete_retention,
            ),
            segment: time("kafka.topics.overrides[].segment", &own.segment)?.or(base.segment),
        };
        check("kafka.topics.overrides[]", &policy)?;
        overrides.insert(site, policy);
    }
    let at_most = brokers.map_or((32, "between 1 and 32"), |brokers| {
        (i32::from(brokers), "from 1 to kafka.brokers")
    });
    let replication = written
        .replication
        .map(|wanted| super::range("kafka.topics.replication", wanted, 1..=at_most.0, at_most.1))
        .transpose()?
        .or(brokers);
    Ok(Topics {
        base,
        overrides,
        replication,
        force,
    })
}

/// What the rules of the CRD cannot see, because it comes of base and override together, and what an older CRD let through.
fn check(field: &'static str, policy: &TopicPolicy) -> Result<(), Error> {
    let forgets = policy.cleanup_policy != CleanupPolicy::Compact;
    let wrong = if forgets != policy.retention.is_some() {
        "retention goes with cleanupPolicy delete or compact,delete, and only with them"
    } else if policy.cleanup_policy == CleanupPolicy::Delete && policy.delete_retention.is_some() {
        "deleteRetention goes with cleanupPolicy compact or compact,delete: leave it out"
    } else if policy
        .segment
        .zip(policy.retention)
        .is_some_and(|(segment, retention)| segment > retention)
    {
        "segment must not be longer than retention: Kafka forgets whole segments, and only closed ones"
    } else {
        return Ok(());
    };
    Err(Error::Contradiction { field, wrong })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(written: Value) -> Result<Topics, Error> {
        topics(&serde_json::from_value(written).unwrap(), Some(3), false)
    }

    #[test]
    fn an_override_inherits_what_it_does_not_contradict() {
        let topics = of(json!({
            "cleanupPolicy": "compact,delete", "retention": "720h", "segment": "1h",
            "overrides": [{ "site": "server", "cleanupPolicy": "compact" }, { "site": "client-2", "retention": "24h" }],
        }))
        .unwrap();
        let shown = |site| {
            let settings = topics.of(site).settings();
            settings
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(shown(Site::Server), "cleanup.policy=compact segment.ms=3600000");
        assert_eq!(
            shown(Site::Client(1)),
            "cleanup.policy=compact,delete retention.ms=2592000000 segment.ms=3600000"
        );
        assert_eq!(
            shown(Site::Client(2)),
            "cleanup.policy=compact,delete retention.ms=86400000 segment.ms=3600000"
        );
        assert_eq!(topics.replication, Some(3));
    }

    #[test]
    fn what_contradicts_itself_is_refused_with_what_to_write() {
        for (written, expected) in [
            (json!({ "cleanupPolicy": "delete" }), "retention goes with"),
            (json!({ "retention": "1h" }), "retention goes with"),
            (
                json!({ "cleanupPolicy": "delete", "retention": "1h", "deleteRetention": "1h" }),
                "deleteRetention goes with",
            ),
            (
                json!({ "cleanupPolicy": "delete", "retention": "10h", "segment": "5h", "overrides": [{ "site": "server", "retention": "1h" }] }),
                "spec.kafka.topics.overrides[]: segment must not be longer",
            ),
            (json!({ "replication": 4 }), "from 1 to kafka.brokers"),
        ] {
            let error = of(written.clone()).unwrap_err().to_string();
            assert!(error.contains(expected), "{written}: {error}");
        }
    }
}
