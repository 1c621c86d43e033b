//! Why Kafka gave no answer, as a problem.

use axum::http::StatusCode;
use rdkafka::{error::KafkaError, types::RDKafkaErrorCode};

use super::position::Bounds;
use crate::problem::Problem;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such topic.
    #[error("there is no topic `{0}`; /api/v1/topics lists them")]
    UnknownTopic(String),
    /// No such partition.
    #[error("topic `{topic}` has no partition {partition}; it has {partitions}, numbered from 0")]
    UnknownPartition {
        /// Of this topic.
        topic: String,
        /// The one that was asked for.
        partition: i32,
        /// How many there are.
        partitions: usize,
    },
    /// The partition does not hold the offset.
    #[error(
        "partition {partition} of topic `{topic}` does not hold offset {offset}: it holds {} up to {}, and {} is where the next message will be",
        bounds.low, bounds.high, bounds.high
    )]
    UnknownOffset {
        /// Of this topic.
        topic: String,
        /// Of this partition.
        partition: i32,
        /// The one that was asked for.
        offset: i64,
        /// What it holds.
        bounds: Bounds,
    },
    /// No such group.
    #[error("there is no group `{0}`; /api/v1/groups lists them")]
    UnknownGroup(String),
    /// The partition cannot be read now.
    #[error(
        "partition {partition} of topic `{topic}` has no leader now: its brokers are away; they are shown under components"
    )]
    NoLeader {
        /// Of this topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// Kafka did not answer, or refused.
    #[error("Kafka did not answer: {0}; its pods are shown under components")]
    Kafka(#[from] KafkaError),
    /// Too many ask at once.
    #[error("too many questions about topics are being answered; ask again in a moment")]
    Busy,
    /// The question's thread ended without an answer.
    #[error("the question to Kafka ended without an answer; the gateway's log says why")]
    Ended,
}

impl Error {
    /// Nothing came in time.
    pub(super) fn timed_out() -> Self {
        Self::Kafka(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut))
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        match error {
            Error::UnknownTopic(_) => Self::not_found("unknown-topic", "Unknown topic", detail),
            Error::UnknownPartition { .. } => Self::not_found("unknown-partition", "Unknown partition", detail),
            Error::UnknownGroup(_) => Self::not_found("unknown-group", "Unknown group", detail),
            Error::UnknownOffset { bounds, .. } => Self::bad_request("unknown-offset", "Unknown offset", detail)
                .with("low", bounds.low.to_string())
                .with("high", bounds.high.to_string()),
            Error::NoLeader { .. } => Self::unavailable("no-leader", "Partition without leader", detail),
            Error::Kafka(_) => Self::unavailable("kafka-unreachable", "Kafka unreachable", detail),
            Error::Busy => Self::unavailable("busy", "Busy", detail),
            Error::Ended => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "no-answer",
                "No answer from Kafka's client",
                detail,
            ),
        }
    }
}
