//! Reads a page of messages.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    message::{BorrowedMessage, Headers},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Error, Message,
    message::Record,
    position::{Outside, Position},
    scan::{Limits, Scan},
    topics,
};

/// Bytes of a value that are shown: more than a record of Kafka has unless it is set so.
const SHOWN: usize = 1 << 20;
/// Bytes of messages of a page; one more message may begin before them.
const PAGE: usize = 1 << 20;
/// Records that are looked at for a page, their bytes, and the time it may take.
const SEEN: usize = 50_000;
const SEEN_BYTES: usize = 32 << 20;
const TIME: Duration = Duration::from_secs(3);

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Query {
    /// Of this topic.
    pub topic: String,
    /// Of this partition.
    pub partition: i32,
    /// Where to begin.
    pub from: Position,
    /// Only messages whose key has this part.
    pub key: Option<String>,
    /// So many messages at most.
    pub limit: usize,
}

/// Messages of a partition.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = MessagePage)]
pub struct Page {
    /// In the partition's order. There may be fewer than asked for, or none, and still more to come: a page looks at so many records only.
    pub messages: Vec<Message>,
    /// Where to go on, as `from` takes it; null at the end.
    #[schema(examples("offset:42"))]
    pub next: Option<String>,
}

/// Reads a page.
pub(super) fn page(consumer: &BaseConsumer, query: &Query) -> Result<Page, Error> {
    let topic = topics::find(consumer, &query.topic)?;
    let bounds = topic.bounds(query.partition)?;
    let place = (topic.name, query.partition);
    let at_time = match query.from {
        Position::Time(millis) => {
            let place = std::slice::from_ref(&place);
            topics::offsets(consumer, place, Offset::Offset(millis))?
                .into_values()
                .next()
        }
        _ => None,
    };
    let start = query.from.start(bounds, query.limit, at_time);
    let start = start.map_err(|Outside(offset)| Error::UnknownOffset {
        topic: place.0.clone(),
        partition: place.1,
        offset,
        bounds,
    })?;
    let limits = Limits {
        messages: query.limit,
        bytes: PAGE,
        seen: SEEN,
        seen_bytes: SEEN_BYTES,
        time: TIME,
    };
    let mut scan = Scan::new(start, bounds.high, query.key.as_deref(), limits);
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(&place.0, place.1, Offset::Offset(start))?;
    if scan.next().is_some() {
        consumer.assign(&from)?;
    }
    let messages = receive(consumer, &mut scan)?;
    let next = scan.next().map(|offset| format!("offset:{offset}"));
    Ok(Page { messages, next })
}

fn receive(consumer: &BaseConsumer, scan: &mut Scan<'_>) -> Result<Vec<Message>, Error> {
    let (began, mut messages, mut failed) = (Instant::now(), Vec::new(), None);
    while !scan.is_over(began.elapsed()) {
        match consumer.poll(TIME.saturating_sub(began.elapsed())) {
            Some(Ok(message)) => {
                let record = record(&message);
                if scan.look(record.offset, record.key, record.size()) {
                    messages.push(record.show(SHOWN));
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => scan.at_end(),
            // Most pass: a connection that is made again, a leader that moves.
            Some(Err(error)) => failed = Some(error),
            None => {}
        }
    }
    if scan.moved() {
        Ok(messages)
    } else {
        Err(failed.map_or_else(Error::timed_out, Error::from))
    }
}

/// What a message holds.
pub(super) fn record<'a>(message: &'a BorrowedMessage<'_>) -> Record<'a> {
    let headers = || {
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        headers.map(|header| (header.key.to_owned(), header.value)).collect()
    };
    Record {
        partition: message.partition(),
        offset: message.offset(),
        at: message.timestamp().to_millis(),
        key: message.key(),
        value: message.payload(),
        // rdkafka panics on a header whose name is not UTF-8; such a message is shown without headers.
        headers: catch_unwind(AssertUnwindSafe(headers)).unwrap_or_default(),
    }
}
