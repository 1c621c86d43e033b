//! The worker: reads the likes of all partitions the group gave it, feeds their engines, and decides when to commit.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext, Message, TopicPartitionList,
    consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance},
    error::{KafkaError, RDKafkaErrorCode},
    message::BorrowedMessage,
};

use super::{
    partition::{self, Address, Answer},
    settings::Settings,
    share::Share,
    state::State,
};
use crate::publish::transaction::SILENCE;

/// Long enough for a request to be on its way.
const NUDGE: Duration = Duration::from_millis(10);
/// Longest wait for a like before partitions are looked after.
const WAIT: Duration = Duration::from_millis(10);
/// After this long without a new one a reason is not told any more.
const CALM: Duration = Duration::from_secs(3);
/// Likes in a row before partitions are looked after.
const IN_A_ROW: usize = 2000;

/// Why a worker ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Kafka refused.
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// No thread for a partition.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// Nothing can be written with this clock; others can.
    #[error("partition {0}: {1}; its partitions go to other workers meanwhile")]
    Clock(i32, partition::Error),
}

/// Counts until `stop`. All it has is dropped then; what was not committed is counted again by whoever counts next.
pub fn run(settings: &Arc<Settings>, state: &State, stop: &Arc<AtomicBool>) -> Result<(), Error> {
    let consumer: BaseConsumer<Assigned> = settings
        .kafka
        .consumer_config(&settings.group())?
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "1500")
        .set("queued.min.messages", "3000")
        .set("queued.max.messages.kbytes", "1024")
        .set("fetch.message.max.bytes", "65536")
        .set("fetch.max.bytes", "1048576")
        .set("fetch.wait.max.ms", "20")
        .create_with_context(Assigned::default())?;
    consumer.subscribe(&[&settings.topics.likes])?;
    let (sender, answers) = mpsc::channel();
    let mut worker = Worker {
        settings,
        state,
        stop,
        consumer,
        shares: BTreeMap::new(),
        beginnings: 0,
        sender,
        answers,
        failed_at: Some(Instant::now()),
    };
    while !stop.load(Ordering::Relaxed) {
        worker.read()?;
        worker.follow_assignment()?;
        worker.take_answers()?;
        worker.look_after()?;
        worker.calm_down();
        state.alive();
    }
    // Threads that wait for Kafka see `stop` themselves.
    Ok(())
}

struct Worker<'a> {
    settings: &'a Arc<Settings>,
    state: &'a State,
    stop: &'a Arc<AtomicBool>,
    consumer: BaseConsumer<Assigned>,
    shares: BTreeMap<i32, Share>,
    beginnings: u64,
    sender: mpsc::Sender<(Address, Answer)>,
    answers: mpsc::Receiver<(Address, Answer)>,
    /// Since when what is said to be wrong has not been said again; the session before may have left a reason, too.
    failed_at: Option<Instant>,
}

impl Worker<'_> {
    fn tell(&mut self, error: String) {
        self.state.edit().error = Some(error);
        self.failed_at = Some(Instant::now());
    }

    /// Nothing is committed while nobody likes, so a reason goes by itself. Whether Kafka is away all the while the link's status says.
    fn calm_down(&mut self) {
        if self.failed_at.is_some_and(|at| at.elapsed() > CALM) {
            self.state.edit().error = None;
            self.failed_at = None;
        }
    }

    fn read(&mut self) -> Result<(), Error> {
        let mut wait = WAIT;
        let now = self.settings.clock.now();
        for _ in 0..IN_A_ROW {
            let message: BorrowedMessage<'_> = match self.consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => message,
                // What Kafka's client gets over by itself: a broker away, a leader that moves.
                Some(Err(error)) if !is_fatal(&error) => {
                    self.tell(format!("Kafka: {error}"));
                    break;
                }
                Some(Err(error)) => return Err(error.into()),
            };
            wait = Duration::ZERO;
            if let Some(share) = self.shares.get_mut(&message.partition())
                && let Err(error) = share.count(message.offset(), message.payload().unwrap_or_default(), now)
            {
                self.state.edit().unreadable += 1;
                let (partition, offset) = (message.partition(), message.offset());
                tracing::warn!(partition, offset, %error, "a record that is no like is not counted");
            }
        }
        if wait.is_zero() {
            self.state.probe().moved();
        }
        Ok(())
    }

    /// Gives up what was revoked and begins what was assigned, in the order it happened.
    fn follow_assignment(&mut self) -> Result<(), Error> {
        for change in self.consumer.context().changes() {
            match change {
                Change::Given(partition) => self.begin(partition)?,
                Change::Taken(partition) => {
                    self.shares.remove(&partition);
                    self.state.edit().partitions.remove(&partition);
                    tracing::info!(partition, "another worker counts this partition from now on");
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, partition: i32) -> Result<(), Error> {
        self.beginnings += 1;
        let address = (partition, self.beginnings);
        let share = Share::begin(self.settings, address, self.stop, self.sender.clone())?;
        self.shares.insert(partition, share);
        Ok(())
    }

    fn take_answers(&mut self) -> Result<(), Error> {
        while let Ok(((partition, beginning), answer)) = self.answers.try_recv() {
            let Some(share) = self
                .shares
                .get_mut(&partition)
                .filter(|share| share.beginning() == beginning)
            else {
                continue;
            };
            match answer {
                Answer::Ready { engine, next, ends } => share.ready(engine, next, ends),
                Answer::Committed { records, ends } => {
                    share.committed(records, ends);
                    let mut status = self.state.edit();
                    status.commits += 1;
                    status.partitions.insert(partition, share.status());
                    status.error = None;
                    self.failed_at = None;
                }
                Answer::Looked { next, is_all } => {
                    share.looked(next, is_all, self.settings, self.settings.clock.now());
                }
                // Begun again here it would fail again, while the group believes that it is counted.
                Answer::Failed(error) if error.is_clock() => return Err(Error::Clock(partition, error)),
                Answer::Failed(error) => self.fail(partition, &error.to_string()),
            }
        }
        let now = Instant::now();
        let silent = self.shares.iter().filter(|(_, share)| share.is_silent(now));
        for partition in silent.map(|(partition, _)| *partition).collect::<Vec<_>>() {
            self.fail(partition, &format!("Kafka's client has not answered for {SILENCE:?}"));
        }
        Ok(())
    }

    fn fail(&mut self, partition: i32, error: &str) {
        tracing::warn!(partition, error, "a partition is begun again");
        if let Some(share) = self.shares.get_mut(&partition) {
            share.failed();
        }
        self.tell(format!("partition {partition}: {error}"));
    }

    fn look_after(&mut self) -> Result<(), Error> {
        let mut again = Vec::new();
        for (&partition, share) in &mut self.shares {
            if share.is_over() {
                again.push(partition);
                continue;
            }
            if let Some(offset) = share.to_seek() {
                let mut at = TopicPartitionList::new();
                at.add_partition_offset(&self.settings.topics.likes, partition, rdkafka::Offset::Offset(offset))?;
                // Refused while the assignment is on its way to the fetcher: tried again in the next round.
                let sought = self.consumer.seek_partitions(at, Duration::from_secs(5));
                if sought.is_ok_and(|list| list.elements().iter().all(|element| element.error().is_ok())) {
                    self.consumer.resume(&one(&self.settings.topics.likes, partition))?;
                    wake_fetcher(&self.consumer, &self.settings.topics.likes, partition);
                    share.sought();
                    tracing::info!(partition, offset, "counting");
                }
            }
            let before = share.told();
            let now = self.settings.clock.now();
            if share.commit_if_due(self.settings, now) {
                // The engine is away to read back old windows: until it is here again nothing is read.
                self.consumer.pause(&one(&self.settings.topics.likes, partition))?;
            }
            share.look_if_quiet(self.settings, now);
            self.state.add(before, share.told());
        }
        for partition in again {
            self.consumer.pause(&one(&self.settings.topics.likes, partition))?;
            self.begin(partition)?;
        }
        Ok(())
    }
}

/// librdkafka's thread for a broker looks once a second at partitions that were all paused, and resuming one does not wake it; a request to
/// that broker does. What it answers is of no interest.
fn wake_fetcher(consumer: &BaseConsumer<Assigned>, topic: &str, partition: i32) {
    let _ = consumer.fetch_watermarks(topic, partition, NUDGE);
}

fn one(topic: &str, partition: i32) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, partition);
    list
}

fn is_fatal(error: &KafkaError) -> bool {
    matches!(error, KafkaError::MessageConsumptionFatal(_))
        || error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed)
}

enum Change {
    Given(i32),
    Taken(i32),
}

/// What the group decided, noted while librdkafka tells.
#[derive(Default)]
struct Assigned(Mutex<Vec<Change>>);

impl Assigned {
    fn changes(&self) -> Vec<Change> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, list: &TopicPartitionList, change: fn(i32) -> Change) {
        let mut changes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        changes.extend(list.elements().iter().map(|element| change(element.partition())));
    }
}

impl ClientContext for Assigned {}

impl ConsumerContext for Assigned {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(list) = rebalance {
            self.note(list, Change::Taken);
        }
    }

    /// Nothing of a new partition is read before its former owner is fenced and its offset is known.
    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            if let Err(error) = consumer.pause(list) {
                tracing::warn!(%error, "cannot pause new partitions");
            }
            self.note(list, Change::Given);
        }
    }
}
