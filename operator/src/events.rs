//! What is told once, when it happens: the differences between two statuses that people want to see in `kubectl describe`. Pure.

use kube::runtime::events::{Event, EventType};

use crate::api::{ConnectorRequestState, ResnapshotState, SyncClusterStatus};
use crate::assess::{condition, is, unpublished};

/// The events between two statuses.
pub fn between(old: &SyncClusterStatus, new: &SyncClusterStatus) -> Vec<Event> {
    let mut events = Vec::new();
    let became = |type_: &str, status: &str| is(new, type_, status) && !is(old, type_, status);
    let message = |type_: &str| {
        condition(new, type_)
            .map(|condition| condition.message.clone())
            .unwrap_or_default()
    };
    let reason = |status: &SyncClusterStatus, type_: &str| {
        condition(status, type_)
            .map(|condition| condition.reason.clone())
            .unwrap_or_default()
    };

    if became("PartitionEnforced", "True") {
        events.push(normal("CutEnforced", "Cut", message("PartitionEnforced")));
    }
    let not_enforced = reason(new, "PartitionEnforced");
    if ["OverlappingPolicy", "NetworkPolicyNotEnforced"].contains(&not_enforced.as_str())
        && reason(old, "PartitionEnforced") != not_enforced
    {
        events.push(warning(&not_enforced, "Cut", message("PartitionEnforced")));
    }
    if let Some(partition) = &old.partition
        && new.partition.is_none()
    {
        events.push(normal(
            "Healed",
            "Heal",
            format!(
                "{} may reach Kafka again",
                [&partition.sites[..], &partition.counters].concat().join(",")
            ),
        ));
    }
    let healing = |status: &SyncClusterStatus| {
        status
            .convergence
            .as_ref()
            .is_some_and(|convergence| convergence.healed_at.is_some())
    };
    if is(new, "Converged", "True") && (healing(old) || old.partition.is_some()) && !healing(new) {
        events.push(normal("Converged", "Heal", message("Converged")));
    }
    let stalled = reason(new, "Stalled");
    if is(new, "Stalled", "True") && (!is(old, "Stalled", "True") || reason(old, "Stalled") != stalled) {
        events.push(warning(&stalled, "Reconcile", message("Stalled")));
    }
    let gateway = reason(new, "GatewayReady");
    let waits = ["Starting", "NoGateway", "InvalidSpec", "Paused"];
    if !is(new, "GatewayReady", "True") && !waits.contains(&gateway.as_str()) && reason(old, "GatewayReady") != gateway
    {
        events.push(warning(&gateway, "Expose", message("GatewayReady")));
    }
    events.extend(of_counters(old, new));
    events.extend(of_connectors(old, new));
    events.extend(of_topics(old, new));
    events.extend(of_analytics(old, new));
    events
}

/// Counter nodes that are gone, with likes that are nowhere else.
fn of_counters(old: &SyncClusterStatus, new: &SyncClusterStatus) -> Vec<Event> {
    let gone = old
        .counters
        .iter()
        .filter(|before| new.counters.iter().all(|node| node.name != before.name));
    let left = gone.filter(|node| unpublished(node).is_some());
    left.map(|node| {
        let why = node.problem.as_deref().unwrap_or("not all of its entries are in Kafka");
        warning(
            "LikesLeftBehind",
            "ScaleCounters",
            format!("{} is gone: {why}", node.name),
        )
    })
    .collect()
}

/// What happened to connectors, and with what is asked of them.
fn of_connectors(old: &SyncClusterStatus, new: &SyncClusterStatus) -> Vec<Event> {
    let mut events = Vec::new();
    for said in &new.connector_requests {
        let before = old.connector_requests.iter().find(|before| before.id == said.id);
        if before.is_some_and(|before| before.state == said.state) {
            continue;
        }
        let note = format!("{} {}: {}", said.what, said.requested, said.message);
        match said.state {
            ConnectorRequestState::Done => events.push(normal("ConnectorRequestDone", "AskConnector", note)),
            ConnectorRequestState::Refused => events.push(warning("ConnectorRequestRefused", "AskConnector", note)),
            ConnectorRequestState::Waiting => {}
        }
    }
    let run = |status| condition(status, "ConnectorsRun");
    if let Some(said) = run(new)
        && ["ConnectorFailing", "TemplateRefused"].contains(&said.reason.as_str())
        && run(old).is_none_or(|before| before.reason != said.reason)
    {
        events.push(warning(&said.reason, "Connect", said.message.clone()));
    }
    events
}

/// What happened to topics, and with rows that are sent once more.
fn of_topics(old: &SyncClusterStatus, new: &SyncClusterStatus) -> Vec<Event> {
    let mut events = Vec::new();
    for topic in &new.topics {
        let before = old.topics.iter().find(|before| before.name == topic.name);
        let (Some(before), Some(change)) = (before, &topic.change) else {
            continue;
        };
        if before.changed_at != topic.changed_at {
            events.push(normal(
                "TopicChanged",
                "KeepTopics",
                format!("{}: {change}", topic.name),
            ));
        }
    }
    if let Some(said) = &new.resnapshot
        && old
            .resnapshot
            .as_ref()
            .is_none_or(|before| before.id != said.id || before.state != said.state)
    {
        let note = format!("{}: {}", said.requested, said.message);
        match said.state {
            ResnapshotState::Done => events.push(normal("SentOnceMore", "Resnapshot", note)),
            ResnapshotState::Refused => events.push(warning("ResnapshotRefused", "Resnapshot", note)),
            ResnapshotState::Failing => events.push(warning("ResnapshotFailing", "Resnapshot", note)),
            ResnapshotState::Waiting | ResnapshotState::Sending => {}
        }
    }
    let topics = |status| condition(status, "TopicsAsWanted");
    if let Some(said) = topics(new)
        && said.status == "False"
        && topics(old).is_none_or(|before| before.reason != said.reason)
    {
        events.push(warning(&said.reason, "KeepTopics", said.message.clone()));
    }
    events
}

/// What happened to ClickHouse.
fn of_analytics(old: &SyncClusterStatus, new: &SyncClusterStatus) -> Vec<Event> {
    let mut events = Vec::new();
    let said = |status| condition(status, "AnalyticsReady");
    let reason = |status| said(status).map(|said| said.reason.clone()).unwrap_or_default();
    let message = || said(new).map(|said| said.message.clone()).unwrap_or_default();
    let analytics = reason(new);
    let waits = [
        "Starting",
        "Rebuilding",
        "CannotSee",
        "NoAnalytics",
        "InvalidSpec",
        "Paused",
    ];
    if !is(new, "AnalyticsReady", "True") && !waits.contains(&analytics.as_str()) && reason(old) != analytics {
        events.push(warning(&analytics, "FillClickHouse", message()));
    }
    if analytics == "Rebuilding" && reason(old) != analytics {
        events.push(normal("Rebuilding", "FillClickHouse", message()));
    }
    if is(new, "AnalyticsReady", "True") && reason(old) == "Rebuilding" {
        events.push(normal("Rebuilt", "FillClickHouse", message()));
    }
    events
}

fn event(type_: EventType, reason: &str, action: &str, note: String) -> Event {
    // The API server takes 1 kB of a note; ours are ASCII but for what others said.
    let note = note.chars().take(500).collect();
    Event {
        type_,
        reason: reason.to_owned(),
        note: Some(note),
        action: action.to_owned(),
        secondary: None,
    }
}

fn normal(reason: &str, action: &str, note: String) -> Event {
    event(EventType::Normal, reason, action, note)
}

fn warning(reason: &str, action: &str, note: String) -> Event {
    event(EventType::Warning, reason, action, note)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Convergence, PartitionStatus, TopicStatus};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
    use k8s_openapi::jiff::Timestamp;

    fn with(conditions: &[(&str, &str, &str)]) -> SyncClusterStatus {
        let condition = |&(type_, status, reason): &(&str, &str, &str)| Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: "m".to_owned(),
            observed_generation: None,
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
        };
        SyncClusterStatus {
            conditions: conditions.iter().map(condition).collect(),
            ..Default::default()
        }
    }

    fn reasons(old: &SyncClusterStatus, new: &SyncClusterStatus) -> Vec<String> {
        between(old, new).into_iter().map(|event| event.reason).collect()
    }

    #[test]
    fn each_change_is_told_once() {
        let none = with(&[("PartitionEnforced", "False", "NoPartition")]);
        let enforced = with(&[("PartitionEnforced", "True", "Verified")]);
        let overlapping = with(&[("PartitionEnforced", "False", "OverlappingPolicy")]);
        let failed = with(&[("Stalled", "True", "MigrationFailed")]);
        assert_eq!(reasons(&none, &enforced), ["CutEnforced"]);
        assert_eq!(reasons(&enforced, &overlapping), ["OverlappingPolicy"]);
        assert_eq!(reasons(&none, &failed), ["MigrationFailed"]);
        let starting = with(&[("GatewayReady", "False", "Starting")]);
        let unserved = with(&[("GatewayReady", "False", "GatewayApiNotServed")]);
        assert_eq!(reasons(&starting, &unserved), ["GatewayApiNotServed"]);
        assert_eq!(reasons(&unserved, &starting), Vec::<String>::new(), "it is on its way");
        for same in [&unserved, &none, &enforced, &overlapping, &failed] {
            assert_eq!(reasons(same, same), Vec::<String>::new());
        }
    }

    #[test]
    fn a_topic_that_was_changed_or_may_not_be_is_told() {
        let with_topic = |at: i64, change: &str| {
            let mut status = with(&[("TopicsAsWanted", "True", "AsWanted")]);
            status.topics = vec![TopicStatus {
                name: "demo.server".to_owned(),
                changed_at: Some(Time(Timestamp::from_second(at).unwrap())),
                change: Some(change.to_owned()),
                ..Default::default()
            }];
            status
        };
        let (made, changed) = (with_topic(1, "made"), with_topic(9, "retention.ms from 2 to 1"));
        assert_eq!(reasons(&made, &changed), ["TopicChanged"]);
        assert_eq!(reasons(&changed, &changed), Vec::<String>::new());
        assert_eq!(
            reasons(&with(&[]), &made),
            Vec::<String>::new(),
            "a new topic is no news"
        );
        let refused = with(&[("TopicsAsWanted", "False", "WouldLoseEvents")]);
        assert_eq!(reasons(&made, &refused), ["WouldLoseEvents"]);
        assert_eq!(reasons(&refused, &refused), Vec::<String>::new());
    }

    #[test]
    fn a_heal_is_told_when_it_begins_and_when_all_are_the_same() {
        let mut cut = with(&[("Converged", "False", "Partitioned")]);
        cut.partition = Some(PartitionStatus {
            sites: vec!["client-2".to_owned()],
            ..Default::default()
        });
        let mut healing = with(&[("Converged", "False", "Draining")]);
        healing.convergence = Some(Convergence {
            healed_at: Some(Time(Timestamp::UNIX_EPOCH)),
            ..Default::default()
        });
        let mut same = with(&[("Converged", "True", "DigestsEqual")]);
        same.convergence = Some(Convergence {
            last_heal_seconds: Some(7),
            ..Default::default()
        });
        assert_eq!(reasons(&cut, &healing), ["Healed"]);
        assert_eq!(reasons(&healing, &same), ["Converged"]);
        assert_eq!(
            reasons(&with(&[("Converged", "False", "Draining")]), &same),
            Vec::<String>::new(),
            "ordinary traffic is no event"
        );
    }
}
