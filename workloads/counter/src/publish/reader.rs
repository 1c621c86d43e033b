//! Reading partitions up to where they end now.

use std::time::Duration;

use rdkafka::{
    ClientContext, TopicPartitionList,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    message::BorrowedMessage,
};
use synccluster_runtime::kafka::Kafka;

/// Between two looks whether to go on.
const TICK: Duration = Duration::from_millis(100);

/// What is read.
#[derive(Clone, Copy, Debug)]
pub enum Isolation {
    /// What is committed.
    Committed,
    /// What is aborted or open as well.
    Everything,
}

/// A consumer that is no member of its group.
pub type Reader = BaseConsumer<ToTheEnd>;

/// Makes one.
pub fn reader(kafka: &Kafka, group: &str, isolation: Isolation) -> KafkaResult<Reader> {
    let level = match isolation {
        Isolation::Committed => "read_committed",
        Isolation::Everything => "read_uncommitted",
    };
    kafka
        .consumer_config(group)?
        .set("isolation.level", level)
        .set("enable.partition.eof", "true")
        .set("queued.max.messages.kbytes", "512")
        .set("fetch.message.max.bytes", "262144")
        .set("fetch.wait.max.ms", "10")
        .create_with_context(ToTheEnd)
}

/// Hands out everything from these offsets on. `goes_on` is asked all the while; whether it was yes to the end.
pub fn read(
    reader: &Reader,
    from: &TopicPartitionList,
    mut goes_on: impl FnMut() -> bool,
    mut take: impl FnMut(&BorrowedMessage<'_>),
) -> KafkaResult<bool> {
    if from.count() == 0 {
        return Ok(true);
    }
    reader.assign(from)?;
    let mut ended = 0;
    while goes_on() {
        match reader.poll(TICK) {
            None => {}
            Some(Ok(message)) => take(&message),
            Some(Err(KafkaError::PartitionEOF(_))) => {
                ended += 1;
                if ended == from.count() {
                    reader.unassign()?;
                    return Ok(true);
                }
            }
            Some(Err(error)) => return Err(error),
        }
    }
    Ok(false)
}

/// Takes the end of a partition for what it is.
pub struct ToTheEnd;

impl ClientContext for ToTheEnd {
    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition is what is waited for, and no error.
        if !matches!(error, KafkaError::Global(RDKafkaErrorCode::PartitionEOF)) {
            tracing::warn!(%error, reason, "reading back");
        }
    }
}

impl ConsumerContext for ToTheEnd {}
