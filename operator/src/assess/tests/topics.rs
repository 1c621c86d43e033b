//! Statements about topics.

use serde_json::json;

use super::*;
use crate::api::TopicState;
use crate::fixture::{after, observed, validated, with};
use crate::topics::TopicFact;

fn fact(name: &str) -> TopicFact {
    TopicFact {
        name: name.to_owned(),
        state: TopicState::AsWanted,
        settings: [("retention.ms".to_owned(), "60000".to_owned())].into(),
        ..TopicFact::default()
    }
}

#[test]
fn topics_are_as_wanted_or_it_is_said_why_not() {
    let cluster = validated(with("/spec/clients", json!(1)));
    let mut seen = observed(&cluster);
    let verdict = |seen: &Observed| {
        let status = assess(&cluster, seen, &SyncClusterStatus::default(), now());
        let condition = condition(&status, "TopicsAsWanted").unwrap().clone();
        (condition.status, condition.reason, condition.message)
    };
    let (status, reason, message) = verdict(&seen);
    assert_eq!((status.as_str(), reason.as_str()), ("True", "AsWanted"));
    assert_eq!(message, "2 topics are as the spec says");

    for fact in &mut seen.topics {
        fact.state = TopicState::Refused;
        fact.message = Some(format!("{} is left as it is", fact.name));
    }
    let (status, reason, message) = verdict(&seen);
    assert_eq!((status.as_str(), reason.as_str()), ("False", "WouldLoseEvents"));
    assert_eq!(message, "demo.server is left as it is; and 1 more, see status.topics");

    for fact in &mut seen.topics {
        fact.state = TopicState::Unknown;
    }
    assert_eq!(verdict(&seen).0, "Unknown", "not enough brokers yet");
    seen.unseen_topics = Some("no answer".to_owned());
    assert_eq!(verdict(&seen).0, "Unknown");
}

#[test]
fn what_was_changed_is_kept_with_its_time_and_what_others_changed_is_told_apart() {
    let cluster = validated(with("/spec/clients", json!(0)));
    let mut seen = observed(&cluster);
    let mut change = |previous: &SyncClusterStatus, seconds: i64, change: Option<&str>| {
        seen.topics = vec![TopicFact {
            change: change.map(str::to_owned),
            ..fact("demo.server")
        }];
        assess(&cluster, &seen, previous, after(seconds))
    };
    let first = change(&SyncClusterStatus::default(), 0, Some("retention.ms from 1 to 60000"));
    assert_eq!(first.topics[0].change.as_deref(), Some("retention.ms from 1 to 60000"));
    let quiet = change(&first, 10, None);
    assert_eq!(quiet.topics, first.topics);
    let set_back = change(&quiet, 20, Some("retention.ms from 5 to 60000"));
    let told = set_back.topics[0].change.clone().unwrap();
    assert!(told.starts_with("set back what somebody else had changed"), "{told}");
    assert_ne!(set_back.topics[0].changed_at, first.topics[0].changed_at);

    seen.unseen_topics = Some("no answer".to_owned());
    let unseen = assess(&cluster, &seen, &set_back, after(30));
    assert_eq!(unseen.topics[0].state, TopicState::Unknown);
    assert_eq!(unseen.topics[0].change, set_back.topics[0].change);
    // What was changed while Kafka did not answer is set back all the same.
    seen.unseen_topics = None;
    seen.topics[0].change = Some("retention.ms from 7 to 60000".to_owned());
    let seen_again = assess(&cluster, &seen, &unseen, after(40));
    let told = seen_again.topics[0].change.clone().unwrap();
    assert!(told.starts_with("set back what somebody else had changed"), "{told}");
}
