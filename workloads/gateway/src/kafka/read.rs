//! Reads a page of messages.

use std::{
    collections::VecDeque,
    ops::Range,
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
    Error, Known, Message, Wide,
    back::Backwards,
    message::Record,
    position::{Bounds, Outside, Position, Start},
    scan::{Limits, Scan},
    topics::{self, Place},
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
    /// Where later ones are, as `from` takes it; null at the end.
    #[schema(examples("offset:42"))]
    pub next: Option<String>,
    /// Where earlier ones are, as `from` takes it; null at the beginning.
    #[schema(examples("before:17"))]
    pub previous: Option<String>,
    /// What was looked at for it.
    pub looked: Looked,
}

/// Offsets of a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Looked {
    /// The first.
    pub from: Wide,
    /// One past the last.
    pub to: Wide,
}

impl Page {
    fn new(messages: impl IntoIterator<Item = Message>, looked: Range<i64>, bounds: Bounds) -> Self {
        Self {
            messages: messages.into_iter().collect(),
            next: (looked.end < bounds.high).then(|| format!("offset:{}", looked.end)),
            previous: (looked.start > bounds.low).then(|| format!("before:{}", looked.start)),
            looked: Looked {
                from: Wide(looked.start),
                to: Wide(looked.end),
            },
        }
    }
}

/// Reads a page.
pub(super) fn page(consumer: &BaseConsumer, query: &Query, tables: &Known) -> Result<Page, Error> {
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
    let start = query.from.start(bounds, at_time);
    let start = start.map_err(|Outside(offset)| Error::UnknownOffset {
        topic: place.0.clone(),
        partition: place.1,
        offset,
        bounds,
    })?;
    let reader = Reader {
        consumer,
        tables,
        place,
        began: Instant::now(),
    };
    match start {
        Start::At(offset) => reader.forwards(query, offset, bounds),
        Start::Before(offset) => reader.backwards(query, offset, bounds),
    }
}

struct Reader<'a> {
    consumer: &'a BaseConsumer,
    tables: &'a Known,
    place: Place,
    began: Instant,
}

impl Reader<'_> {
    fn forwards(&self, query: &Query, start: i64, bounds: Bounds) -> Result<Page, Error> {
        let limits = Limits {
            messages: query.limit,
            bytes: PAGE,
            seen: SEEN,
            seen_bytes: SEEN_BYTES,
            time: TIME,
        };
        let mut scan = Scan::new(start, bounds.high, query.key.as_deref(), limits);
        let mut messages = Vec::new();
        self.receive(start, &mut scan, |message| messages.push(message))?;
        let to = scan.next().unwrap_or(bounds.high.max(start));
        Ok(Page::new(messages, start..to, bounds))
    }

    /// The last messages before an offset. A part is looked through whole or not at all, so that nothing is left out between the messages
    /// of a page.
    fn backwards(&self, query: &Query, end: i64, bounds: Bounds) -> Result<Page, Error> {
        let mut search = Backwards::new(bounds.low, end, query.limit);
        let mut last = Last::default();
        let (mut seen, mut seen_bytes) = (0, 0);
        while let Some(part) = search.part() {
            if last.messages.len() >= query.limit || last.bytes >= PAGE || seen >= SEEN || seen_bytes >= SEEN_BYTES {
                break;
            }
            let limits = Limits {
                messages: usize::MAX,
                bytes: usize::MAX,
                seen: SEEN - seen,
                seen_bytes: SEEN_BYTES - seen_bytes,
                time: TIME,
            };
            let mut scan = Scan::new(part.start, part.end, query.key.as_deref(), limits);
            let mut of_part = Last::default();
            let room = (query.limit - last.messages.len(), PAGE - last.bytes);
            let read = self.receive(part.start, &mut scan, |message| of_part.push(message, room));
            let nothing_yet = search.looked_at().is_empty();
            match read {
                Err(error) if nothing_yet => return Err(error),
                Ok(()) if scan.next().is_none() => {
                    search.looked(of_part.dropped.unwrap_or(part.start));
                    let is_full = of_part.dropped.is_some();
                    (seen, seen_bytes) = (seen + scan.seen().0, seen_bytes + scan.seen().1);
                    last.prepend(of_part);
                    if is_full {
                        break;
                    }
                }
                _ if !search.too_much() || self.began.elapsed() >= TIME => break,
                _ => {}
            }
        }
        if search.looked_at().is_empty() && search.previous().is_some() {
            return Err(Error::timed_out());
        }
        Ok(Page::new(last.messages, search.looked_at(), bounds))
    }

    /// Hands on what a scan takes, from an offset on.
    fn receive(&self, from: i64, scan: &mut Scan<'_>, mut take: impl FnMut(Message)) -> Result<(), Error> {
        if scan.next().is_none() {
            return Ok(());
        }
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(&self.place.0, self.place.1, Offset::Offset(from))?;
        self.consumer.assign(&assignment)?;
        let mut failed = None;
        while !scan.is_over(self.began.elapsed()) {
            match self.consumer.poll(TIME.saturating_sub(self.began.elapsed())) {
                Some(Ok(message)) => {
                    let record = record(&message);
                    if scan.look(record.offset, record.key, record.size()) {
                        take(record.show(SHOWN, self.tables));
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => scan.at_end(),
                // Most pass: a connection that is made again, a leader that moves.
                Some(Err(error)) => failed = Some(error),
                None => {}
            }
        }
        if scan.moved() {
            Ok(())
        } else {
            Err(failed.map_or_else(Error::timed_out, Error::from))
        }
    }
}

/// The last messages of those that come, in their order.
#[derive(Default)]
struct Last {
    messages: VecDeque<Message>,
    bytes: usize,
    /// The offset behind the last one that was dropped.
    dropped: Option<i64>,
}

impl Last {
    fn push(&mut self, message: Message, (most, bytes): (usize, usize)) {
        self.bytes += message.size;
        self.messages.push_back(message);
        // One more may go beyond the bytes, or a page could be empty for ever.
        while self.messages.len() > most || (self.messages.len() > 1 && self.bytes > bytes) {
            let Some(first) = self.messages.pop_front() else { return };
            self.bytes -= first.size;
            self.dropped = Some(first.offset.0 + 1);
        }
    }

    fn prepend(&mut self, earlier: Self) {
        self.bytes += earlier.bytes;
        let later = std::mem::replace(&mut self.messages, earlier.messages);
        self.messages.extend(later);
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
