//! Why Kafka gave no answer, as a problem.

use axum::http::StatusCode;
use rdkafka::error::KafkaError;

use crate::problem::Problem;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
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

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        match error {
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
