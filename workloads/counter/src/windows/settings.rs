//! What the windows are told.

use std::time::Duration;

use synccluster_protocol::ClusterName;
use synccluster_runtime::{config::parse_duration, kafka::Kafka};

use super::{clock::Clock, engine::Rules, size::Sizes};

/// Counts of closed windows that stay in memory, of each size and partition.
const CLOSED_COUNTS: usize = 10_000;

/// Flags of what is published and counted.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The windows that are counted.
    #[arg(long, env = "COUNTER_WINDOWS", default_value = "1m,5m,10m")]
    pub windows: Sizes,
    /// How long after its end a window waits for likes that come late.
    #[arg(long, env = "COUNTER_GRACE", default_value = "30s", value_parser = parse_duration)]
    pub grace: Duration,
    /// How far ahead of this node's clock a like may be and still close windows.
    #[arg(long, env = "SYNC_MAX_CLOCK_SKEW", default_value = "10s", value_parser = parse_duration)]
    pub max_clock_skew: Duration,
    /// How often changed windows are emitted and committed.
    #[arg(long, env = "COUNTER_COMMIT_EVERY", default_value = "100ms", value_parser = parse_duration)]
    pub commit_every: Duration,
    /// How long nothing has to come for a partition before its windows are over by the wall clock; 0s for never.
    #[arg(long, env = "COUNTER_IDLE_AFTER", default_value = "30s", value_parser = parse_duration)]
    pub idle_after: Duration,
    /// The topic of the likes; by default `<cluster>.likes`.
    #[arg(long, env = "COUNTER_LIKES_TOPIC")]
    pub likes_topic: Option<String>,
    /// What the topics of aggregations begin with, before the window's size; by default `<cluster>.aggregations-`.
    #[arg(long, env = "COUNTER_AGGREGATIONS_TOPIC")]
    pub aggregations_topic: Option<String>,
    /// Partitions of a topic that is made. Topics that exist keep theirs, and must all have the same number.
    #[arg(long, env = "COUNTER_TOPIC_PARTITIONS", default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..=1000))]
    pub topic_partitions: i32,
    /// Copies of a topic that is made; -1 for as many as the brokers make by default.
    #[arg(long, env = "COUNTER_TOPIC_REPLICATION", default_value_t = 1, allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-1..=7))]
    pub topic_replication: i32,
    /// How long the topic of the likes keeps them, when it is made.
    #[arg(long, env = "COUNTER_LIKES_RETENTION", default_value = "168h", value_parser = parse_duration)]
    pub likes_retention: Duration,
    /// How long the topics of aggregations keep a window, when they are made.
    #[arg(long, env = "COUNTER_AGGREGATIONS_RETENTION", default_value = "720h", value_parser = parse_duration)]
    pub aggregations_retention: Duration,
}

impl Arguments {
    /// For one cluster.
    pub fn settings(&self, cluster: &ClusterName, kafka: &Kafka) -> Settings {
        let topic = |own: &Option<String>, name: &str| own.clone().unwrap_or_else(|| format!("{cluster}.{name}"));
        let aggregations = topic(&self.aggregations_topic, "aggregations-");
        Settings {
            cluster: cluster.clone(),
            kafka: kafka.clone(),
            topics: Topics {
                likes: topic(&self.likes_topic, "likes"),
                aggregations: self
                    .windows
                    .iter()
                    .map(|size| format!("{aggregations}{size}"))
                    .collect(),
                partitions: self.topic_partitions,
                replication: self.topic_replication,
                likes_retention: self.likes_retention,
                aggregations_retention: self.aggregations_retention,
            },
            rules: Rules {
                sizes: self.windows.clone(),
                grace: millis(self.grace),
                max_clock_skew: millis(self.max_clock_skew),
                closed_counts: CLOSED_COUNTS,
            },
            commit_every: self.commit_every,
            idle_after: (!self.idle_after.is_zero()).then_some(self.idle_after),
            clock: Clock::default(),
        }
    }
}

/// What publishing and counting need.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The cluster.
    pub cluster: ClusterName,
    /// Kafka.
    pub kafka: Kafka,
    /// From where to where.
    pub topics: Topics,
    /// What is counted.
    pub rules: Rules,
    /// How often it is emitted and committed.
    pub commit_every: Duration,
    /// How long nothing has to come before stream time follows the clock, if it ever does.
    pub idle_after: Option<Duration>,
    /// By which time.
    pub clock: Clock,
}

impl Settings {
    /// The consumer group of all workers.
    pub fn group(&self) -> String {
        format!("{}.windows", self.cluster)
    }
}

/// The topics, and how they are made.
#[derive(Clone, Debug)]
pub struct Topics {
    /// Of the likes.
    pub likes: String,
    /// Of the aggregations, one for each size, in the order of the sizes.
    pub aggregations: Vec<String>,
    /// Partitions of each.
    pub partitions: i32,
    /// Copies of each.
    pub replication: i32,
    /// How long likes are kept.
    pub likes_retention: Duration,
    /// How long a window is kept.
    pub aggregations_retention: Duration,
}

/// A day is 86 million, so nothing anybody writes is cut off.
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}
