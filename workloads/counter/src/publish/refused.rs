//! Times that a broker refuses: it compares those of records with its own clock, unless the topic has `message.timestamp.type=LogAppendTime`.

use std::sync::OnceLock;

use rdkafka::{
    ClientContext, Message,
    error::RDKafkaErrorCode,
    producer::{DeliveryResult, ProducerContext},
};

use super::transaction::Error;

/// The first topic that has refused the time of a record, if one has.
#[derive(Default)]
pub struct Refused(OnceLock<String>);

impl Refused {
    /// A record was delivered, or not.
    pub fn note(&self, delivered: &DeliveryResult<'_>) {
        if let Err((error, record)) = delivered
            && error.rdkafka_error_code() == Some(RDKafkaErrorCode::InvalidTimestamp)
        {
            self.0.get_or_init(|| record.topic().to_owned());
        }
    }

    /// Whether all times were taken.
    pub fn check(&self) -> Result<(), Error> {
        let refused = |topic: &String| Err(Error::Clock { topic: topic.clone() });
        self.0.get().map_or(Ok(()), refused)
    }
}

/// A producer's context that notes what is refused. Whatever step of a transaction fails then, that is the reason it is told by.
pub trait Notes: ProducerContext {
    /// What it has noted.
    fn refused(&self) -> &Refused;
}

impl ClientContext for Refused {}

impl ProducerContext for Refused {
    type DeliveryOpaque = ();

    fn delivery(&self, delivered: &DeliveryResult<'_>, (): ()) {
        self.note(delivered);
    }
}

impl Notes for Refused {
    fn refused(&self) -> &Refused {
        self
    }
}
