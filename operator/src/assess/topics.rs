//! Whether the topics are as `spec.kafka.topics` says.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::{Verdict, whole_second};
use crate::api::{SyncClusterStatus, TopicState, TopicStatus};
use crate::observe::Observed;
use crate::topics::TopicFact;

/// The condition TopicsAsWanted.
pub fn wanted(observed: &Observed) -> Verdict {
    if let Some(reason) = &observed.unseen_topics {
        return Verdict::unknown("CannotSee", format!("the topics could not be looked at: {reason}"));
    }
    let with =
        |state: TopicState| -> Vec<&TopicFact> { observed.topics.iter().filter(|fact| fact.state == state).collect() };
    for (state, reason) in [
        (TopicState::Failed, "NotPossible"),
        (TopicState::Refused, "WouldLoseEvents"),
    ] {
        let all = with(state);
        if let Some(first) = all.first() {
            let more = match all.len() - 1 {
                0 => String::new(),
                more => format!("; and {more} more, see status.topics"),
            };
            let message = first
                .message
                .clone()
                .unwrap_or_else(|| format!("{} is not as wanted", first.name));
            return Verdict::no(reason, message + &more);
        }
    }
    if let Some(waits) = with(TopicState::Unknown)
        .into_iter()
        .find_map(|fact| fact.message.clone())
    {
        return Verdict::unknown("Starting", waits);
    }
    Verdict::yes(
        "AsWanted",
        format!("{} topics are as the spec says", observed.topics.len()),
    )
}

/// One entry a topic. What could not be looked at is as it was, but for its state.
pub fn status(observed: &Observed, previous: &SyncClusterStatus, now: Timestamp) -> Vec<TopicStatus> {
    let before = |name: &str| previous.topics.iter().find(|topic| topic.name == name);
    if observed.unseen_topics.is_some() {
        let unknown = |topic: &TopicStatus| TopicStatus {
            state: TopicState::Unknown,
            message: None,
            ..topic.clone()
        };
        return previous.topics.iter().map(unknown).collect();
    }
    let status = |fact: &TopicFact| {
        let before = before(&fact.name);
        let (changed_at, change) = match &fact.change {
            Some(change) => (Some(Time(whole_second(now))), Some(self::change(fact, before, change))),
            None => before
                .map(|b| (b.changed_at.clone(), b.change.clone()))
                .unwrap_or_default(),
        };
        TopicStatus {
            name: fact.name.clone(),
            state: fact.state,
            settings: fact.settings.clone(),
            replication: fact.replication,
            changed_at,
            change,
            message: fact.message.clone(),
        }
    };
    observed.topics.iter().map(status).collect()
}

/// What had been as it is wanted now and was found otherwise, somebody else has changed. What could not be looked at in between is as it was.
fn change(fact: &TopicFact, before: Option<&TopicStatus>, change: &str) -> String {
    let had_been = [TopicState::AsWanted, TopicState::Unknown];
    match before {
        Some(before) if had_been.contains(&before.state) && before.settings == fact.settings => {
            format!("set back what somebody else had changed: {change}")
        }
        _ => change.to_owned(),
    }
}
