//! The topics of the counter nodes. The nodes make them; how long they keep what is in them is seen to here, so that a change of
//! `spec.counter.topics` takes effect while everything runs.

use std::iter;
use std::time::Duration;

use super::decide::{BROKERS_DEFAULT, Purpose, RETENTION, Wanted};
use crate::validate::{Counter, ValidatedCluster};

/// What the topics of the likes and of the windows are to be; none without nodes.
pub fn wanted(cluster: &ValidatedCluster) -> Vec<Wanted> {
    let counter = &cluster.counter;
    if counter.nodes == 0 {
        return Vec::new();
    }
    let topic = |purpose, name, retention: Duration| Wanted {
        purpose,
        name,
        settings: [(RETENTION.to_owned(), retention.as_millis().to_string())].into(),
        replication: BROKERS_DEFAULT,
        retention: Some(retention),
        force: cluster.kafka.topics.force,
        generation: cluster.generation,
    };
    let likes = topic(Purpose::Likes, counter.likes_topic.clone(), counter.likes_retention);
    let windows = windows(counter).map(|name| topic(Purpose::Windows, name, counter.aggregations_retention));
    iter::once(likes).chain(windows).collect()
}

/// The topics of the windows.
pub fn windows(counter: &Counter) -> impl Iterator<Item = String> {
    let lengths = counter.windows.iter();
    lengths.map(move |length| format!("{}{length}", counter.aggregations_topic))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::fixture::{counting, set, valid, validated};
    use crate::topics::decide::{Seen, Step, decide};

    const NOW: i64 = 1_800_000_000_000;

    fn counting_with(topics: serde_json::Value) -> ValidatedCluster {
        let mut resource = counting();
        set(&mut resource, "/spec/counter/topics", topics);
        validated(resource)
    }

    /// A topic as the nodes have made it.
    fn made(settings: &[(&str, &str)]) -> Seen {
        let own: BTreeMap<_, _> = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Seen {
            partitions: 4,
            replication: 1,
            effective: own.clone(),
            own,
        }
    }

    fn likes() -> Seen {
        made(&[
            ("cleanup.policy", "delete"),
            ("message.timestamp.type", "LogAppendTime"),
            ("retention.ms", "604800000"),
        ])
    }

    #[test]
    fn there_is_one_for_the_likes_and_one_for_each_window_and_none_without_nodes() {
        let cluster = counting_with(json!({ "likesRetention": "24h", "aggregationsRetention": "48h" }));
        let wanted = wanted(&cluster);
        let said: Vec<_> = wanted
            .iter()
            .map(|wanted| (wanted.name.as_str(), wanted.settings[RETENTION].as_str()))
            .collect();
        assert_eq!(
            said,
            [
                ("demo.likes", "86400000"),
                ("demo.aggregations-1m", "172800000"),
                ("demo.aggregations-5m", "172800000"),
                ("demo.aggregations-10m", "172800000"),
            ]
        );
        assert_eq!(super::wanted(&valid()), []);
    }

    #[test]
    fn the_retention_is_changed_and_everything_else_stays_as_the_nodes_made_it() {
        let of = |retention: &str| wanted(&counting_with(json!({ "likesRetention": retention }))).remove(0);
        assert_eq!(decide(&of("168h"), Some(&likes()), &[], None, NOW), Step::Nothing);
        let Step::Alter { own, change } = decide(&of("720h"), Some(&likes()), &[], None, NOW) else {
            panic!()
        };
        let mut expected = likes().own;
        expected.insert(RETENTION.to_owned(), "2592000000".to_owned());
        assert_eq!(own, expected);
        assert_eq!(change, "retention.ms from 604800000 to 2592000000");
    }

    #[test]
    fn to_keep_less_takes_a_word_from_somebody_who_has_looked() {
        let shorter = counting_with(json!({ "likesRetention": "24h", "aggregationsRetention": "24h" }));
        let month = made(&[("cleanup.policy", "compact,delete"), ("retention.ms", "2592000000")]);
        let [of_likes, of_minutes, ..] = &wanted(&shorter)[..] else {
            panic!()
        };
        for (wanted, seen, lost) in [
            (of_likes, likes(), "likes that are in no window yet"),
            (
                of_minutes,
                month,
                "windows that are still open or that ClickHouse lacks",
            ),
        ] {
            let Step::Refuse(why) = decide(wanted, Some(&seen), &[], None, NOW) else {
                panic!()
            };
            for part in [wanted.name.as_str(), lost, "force-topics: \""] {
                assert!(why.contains(part), "{part}: {why}");
            }
            let forced = Wanted {
                force: true,
                ..wanted.clone()
            };
            assert!(matches!(
                decide(&forced, Some(&seen), &[], None, NOW),
                Step::Alter { .. }
            ));
        }
    }
}
