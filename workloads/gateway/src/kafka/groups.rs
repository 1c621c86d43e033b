//! Consumer groups and how far they have come.

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{ANSWER, Error, Topic, Wide};

/// A consumer group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Group {
    /// Its name; a sink's is `<cluster>.<site>-sink`.
    pub group: String,
    /// As Kafka calls it: `Stable`, `Empty`, `PreparingRebalance`, … A sink is `Stable` while it is connected to its database, `Empty` while it
    /// is not, and `Unknown` while that database cannot be reached.
    pub state: String,
    /// How many consumers it has.
    pub members: usize,
    /// Who keeps its progress.
    pub kind: GroupKind,
}

/// Who keeps a group's progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum GroupKind {
    /// Kafka.
    Consumer,
    /// The database of the site that the sink applies to, in the transaction that applies.
    Sink,
}

/// A group and how far it is behind in all it reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct GroupLag {
    /// The group.
    #[serde(flatten)]
    pub group: Group,
    /// How many offsets lie between what it has read and the ends, over all its partitions; absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<Wide>,
    /// Why it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_unknown: Option<String>,
}

impl GroupLag {
    /// With the lag, or why it is not known.
    pub(super) fn new(group: Group, lag: Result<Wide, String>) -> Self {
        let (lag, lag_unknown) = match lag {
            Ok(lag) => (Some(lag), None),
            Err(why) => (None, Some(why)),
        };
        Self {
            group,
            lag,
            lag_unknown,
        }
    }
}

/// A group and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct GroupProgress {
    /// The group.
    #[serde(flatten)]
    pub group: Group,
    /// Of each partition it reads.
    pub offsets: Vec<Progress>,
}

/// How far a partition has been read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = GroupOffset)]
pub struct Progress {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset that is read next; null where none is recorded, and the beginning is.
    pub offset: Option<Wide>,
    /// The partition's end; null while it has no leader, or where the topic is gone.
    pub end: Option<Wide>,
    /// How many offsets lie between.
    pub lag: Option<Wide>,
}

impl Progress {
    /// From what is recorded and what the partition holds.
    pub(super) fn new(topic: &str, partition: i32, offset: Option<i64>, low: Option<Wide>, end: Option<Wide>) -> Self {
        let from = offset.map(Wide).or(low);
        Self {
            topic: topic.to_owned(),
            partition,
            offset: offset.map(Wide),
            end,
            // The end was asked for before or after the offset: what was committed between is no negative lag.
            lag: from.zip(end).map(|(from, end)| Wide((end.0 - from.0).max(0))),
        }
    }
}

/// The groups that Kafka knows, by name.
pub(super) fn list(client: &BaseConsumer) -> Result<Vec<Group>, Error> {
    // All of them, also for one: a name from outside goes nowhere it could hurt.
    let known = client.fetch_group_list(None, ANSWER)?;
    let group = |group: &rdkafka::groups::GroupInfo| Group {
        group: group.name().to_owned(),
        state: group.state().to_owned(),
        members: group.members().len(),
        kind: GroupKind::Consumer,
    };
    let mut groups: Vec<Group> = known.groups().iter().map(group).collect();
    groups.sort_by(|a, b| a.group.cmp(&b.group));
    Ok(groups)
}

/// The lag over all partitions. One that is gone has nothing left to read; one that is away may have.
pub(super) fn total(offsets: &[Progress], topics: &[Topic]) -> Result<Wide, String> {
    if offsets.is_empty() {
        return Err("Kafka knows no offset that it has committed".to_owned());
    }
    let is_there = |progress: &Progress| {
        let topic = topics.iter().find(|topic| topic.name == progress.topic);
        topic.is_some_and(|topic| topic.partitions.iter().any(|known| known.id == progress.partition))
    };
    let mut total = 0_i64;
    for progress in offsets {
        match progress.lag {
            Some(lag) => total = total.saturating_add(lag.0),
            None if is_there(progress) => {
                let (topic, partition) = (progress.topic.clone(), progress.partition);
                return Err(Error::NoLeader { topic, partition }.to_string());
            }
            None => {}
        }
    }
    Ok(Wide(total))
}

/// How far the consumer's group has come in these topics.
pub(super) fn progress(consumer: &BaseConsumer, topics: &[Topic]) -> Result<Vec<Progress>, Error> {
    let mut asked = TopicPartitionList::new();
    for topic in topics.iter().filter(|topic| !topic.internal) {
        for partition in &topic.partitions {
            asked.add_partition(&topic.name, partition.id);
        }
    }
    let committed = consumer.committed_offsets(asked, ANSWER)?;
    let mut offsets = Vec::new();
    for topic in topics {
        for partition in &topic.partitions {
            let found = committed.find_partition(&topic.name, partition.id);
            if let Some(Offset::Offset(offset)) = found.map(|element| element.offset()) {
                let (low, high) = (partition.low, partition.high);
                offsets.push(Progress::new(&topic.name, partition.id, Some(offset), low, high));
            }
        }
    }
    Ok(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_what_lies_between() {
        let lag = |offset, low, high: Option<i64>| Progress::new("t", 0, offset, Some(Wide(low)), high.map(Wide)).lag;
        assert_eq!(lag(Some(7), 0, Some(10)), Some(Wide(3)));
        assert_eq!(lag(Some(10), 0, Some(10)), Some(Wide(0)));
        assert_eq!(
            lag(Some(11), 0, Some(10)),
            Some(Wide(0)),
            "the end is older than the offset"
        );
        assert_eq!(lag(None, 4, Some(10)), Some(Wide(6)), "it begins at the beginning");
        assert_eq!(lag(Some(7), 0, None), None);
    }

    #[test]
    fn the_lag_of_a_group_is_the_sum_unless_a_partition_is_away() {
        let partition = |id| crate::kafka::Partition {
            id,
            leader: None,
            replicas: vec![],
            low: None,
            high: None,
        };
        let topic = Topic {
            name: "t".to_owned(),
            partitions: vec![partition(0), partition(1)],
            internal: false,
        };
        let read = |topic, id, end: Option<i64>| Progress::new(topic, id, Some(3), None, end.map(Wide));
        let of = |offsets: &[Progress]| total(offsets, std::slice::from_ref(&topic));
        assert_eq!(of(&[read("t", 0, Some(10)), read("t", 1, Some(4))]), Ok(Wide(8)));
        assert_eq!(of(&[read("t", 0, Some(10)), read("gone", 0, None)]), Ok(Wide(7)));
        let away = of(&[read("t", 0, Some(10)), read("t", 1, None)]).unwrap_err();
        assert!(away.contains("partition 1 of topic `t` has no leader"), "{away}");
        assert!(of(&[]).unwrap_err().contains("committed"));
    }
}
