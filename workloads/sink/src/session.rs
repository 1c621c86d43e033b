//! One session: from a usable link to its end.

use std::{collections::HashMap, pin::pin, time::Duration};

use futures::FutureExt;
use rdkafka::{consumer::StreamConsumer, error::KafkaError};
use synccluster_protocol::{
    Site,
    status::{SinkPhase, SourceStatus},
};
use synccluster_runtime::{
    clock::{now_micros, now_millis},
    postgres,
    workload::State,
};
use tokio::time::{self, Instant};
use tokio_postgres::error::SqlState;

use crate::{
    apply::Transaction,
    assemble::{Content, SourceTransaction},
    park::{self, Which},
    replay,
    run::Downlink,
    source::{Received, Source},
    stand::Stand,
    target::Target,
};

/// Events of one target transaction, unless one source transaction has more.
const BATCH: usize = 1000;
/// Bytes of records received in one go.
const RECEIVED: usize = 4 << 20;
/// Between two looks at Kafka's topics.
const DISCOVER_EVERY: Duration = Duration::from_secs(1);
/// The first pause before parked events are tried again; doubled while none gets through.
const PARKED_AFTER: Duration = Duration::from_secs(2);
/// The longest.
const PARKED_AFTER_AT_MOST: Duration = Duration::from_mins(1);
/// Between two looks whether somebody asked for a try.
const ASKED_EVERY: Duration = Duration::from_secs(1);
/// How often it is said that a look at all tables goes on.
const LOOKING: Duration = Duration::from_secs(10);
/// Tries of one batch against other people's locks.
const TRANSIENT_TRIES: u32 = 5;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The site's Postgres cannot be reached.
    #[error("cannot connect to the site's Postgres: {0}")]
    Connect(#[from] postgres::Error),
    /// Schema `sync` is not there, or of an earlier version.
    #[error(
        "schema sync of this site lacks what this version needs: {}; its schema step has not run with this version: see why the init container \
         `schema` of the site's connector is not planned or does not end; the sink goes on when it has",
        postgres::describe(.0)
    )]
    Schema(tokio_postgres::Error),
    /// Postgres refused a statement.
    #[error("Postgres: {}", postgres::describe(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// Kafka refused.
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// A large transaction could not be read to its end.
    #[error(transparent)]
    Replay(#[from] replay::Error),
}

struct Session<'a> {
    downlink: &'a Downlink,
    state: &'a State<Downlink>,
    source: Source,
    target: Target,
    progress: HashMap<String, Stand>,
    parked_at: Instant,
    parked_after: Duration,
    asked_at: Instant,
}

/// Applies until something fails, or topics have to be read again. A transaction that is being applied when it is dropped is rolled back with
/// its connection.
pub async fn run(downlink: &Downlink, state: &State<Downlink>) -> Result<(), Error> {
    let mut target = Target::connect(&downlink.postgres, downlink.site).await?;
    let progress = target.progress().await.map_err(unread)?;
    let consumer: StreamConsumer = downlink.kafka.consumer_config(&downlink.client_id())?.create()?;
    let source = Source::new(consumer);
    let mut session = Session {
        downlink,
        state,
        source,
        target,
        progress,
        parked_at: Instant::now(),
        parked_after: PARKED_AFTER,
        asked_at: Instant::now(),
    };
    let mut discovered: Option<Instant> = None;
    loop {
        if discovered.is_none_or(|at| at.elapsed() >= DISCOVER_EVERY) {
            discovered = Some(Instant::now());
            if !session.target.own_writes_are_kept().await? {
                let reason = "its connector has not made the site's slot and snapshot yet: what is overwritten before that would be lost";
                state.explain(SinkPhase::Starting, reason.to_owned());
                time::sleep(DISCOVER_EVERY).await;
                continue;
            }
            if session.target.look_at_withdrawn().await? {
                // Nothing is drained until the next session has looked.
                state.edit().sources.clear();
                return Ok(());
            }
            session.look_at_kafka()?;
        }
        session.receive().await?;
        if session.begin_anew_what_is_another().await? {
            state.edit().sources.clear();
            return Ok(());
        }
        session.apply_ready().await?;
        session.retry_parked().await?;
        session.tell();
    }
}

impl Session<'_> {
    /// Blocking calls of librdkafka, bounded by their time limit; the other worker thread serves /status meanwhile.
    fn look_at_kafka(&mut self) -> Result<(), Error> {
        let (downlink, progress) = (self.downlink, &self.progress);
        let source = &mut self.source;
        tokio::task::block_in_place(|| {
            source
                .discover(&downlink.cluster, downlink.site, progress)
                .and_then(|()| source.measure())
        })?;
        self.state.phase(SinkPhase::Applying);
        Ok(())
    }

    /// Waits for a record, then takes what else is there.
    async fn receive(&mut self) -> Result<(), Error> {
        self.source.hold_back()?;
        let Ok(message) = time::timeout(Duration::from_millis(200), self.source.consumer().recv()).await else {
            return Ok(());
        };
        let first = Received::read(&message?);
        let mut bytes = first.bytes();
        let mut received = vec![first];
        while received.len() < BATCH
            && bytes < RECEIVED
            && let Some(message) = self.source.consumer().recv().now_or_never()
        {
            let next = Received::read(&message?);
            bytes += next.bytes();
            received.push(next);
        }
        self.state.probe().moved();
        for record in received {
            record.add_to(&mut self.source);
        }
        Ok(())
    }

    /// Whether a topic is another than the one that was read. Its progress is set back then, and the next session reads it from its beginning.
    async fn begin_anew_what_is_another(&mut self) -> Result<bool, Error> {
        let topics = self.source.topics.iter();
        let others: Vec<(String, Stand)> = topics
            .filter(|(_, topic)| topic.another)
            .map(|(name, topic)| (name.clone(), topic.stand))
            .collect();
        for (topic, stand) in &others {
            let offset = stand.offset;
            tracing::warn!(
                topic,
                offset,
                "reading from the beginning: the topic is another than the one that was read, or has lost its end"
            );
            self.target.stand(topic, stand.anew()).await?;
        }
        Ok(!others.is_empty())
    }

    async fn apply_ready(&mut self) -> Result<(), Error> {
        let names: Vec<String> = self.source.topics.keys().cloned().collect();
        for name in names {
            while self.apply_some(&name).await? {
                self.state.alive();
            }
        }
        Ok(())
    }

    /// Applies one batch of a topic; whether there was one.
    async fn apply_some(&mut self, name: &str) -> Result<bool, Error> {
        let Some(topic) = self.source.topics.get_mut(name) else {
            return Ok(false);
        };
        let mut events = 0;
        let now = now_micros();
        let in_time = |transaction: &&SourceTransaction| ahead(transaction, now).is_zero();
        let fits = |transaction: &&SourceTransaction| {
            let first = events == 0;
            events += match &transaction.content {
                Content::Held(records) => records.len().max(1),
                Content::InTopic(_) => BATCH + 1,
            };
            first || events <= BATCH
        };
        // Where another database begins a batch does: what it has to look at does not hold up who waits for rows of the one before.
        let installation = topic.ready.front().map(|transaction| transaction.installation);
        let is_of_one = |transaction: &&SourceTransaction| Some(transaction.installation) == installation;
        let ready = topic.ready.iter().take_while(is_of_one);
        let take = ready.take_while(in_time).take_while(fits).count();
        topic.ahead = topic
            .ready
            .front()
            .map(|transaction| ahead(transaction, now))
            .filter(|ahead| !ahead.is_zero());
        // Taken out for good: where applying fails the session ends, and the next begins at the stored progress.
        let batch: Vec<SourceTransaction> = topic.ready.drain(..take).collect();
        if batch.is_empty() {
            return Ok(false);
        }
        let (source, before) = (topic.site, topic.stand);
        let mut tries = 0;
        let stand = loop {
            match self.attempt(name, source, before, &batch).await {
                Ok(stand) => break stand,
                Err(Error::Postgres(error)) if postgres::is_transient(&error) && tries < TRANSIENT_TRIES => tries += 1,
                Err(error) => return Err(error),
            }
            self.target.execute_batch("rollback").await?;
        };
        if let Some(topic) = self.source.topics.get_mut(name) {
            topic.stand = stand;
        }
        self.progress.insert(name.to_owned(), stand);
        self.state.edit().transactions_applied += batch.len() as u64;
        Ok(true)
    }

    /// Applies a batch in one transaction of the target; returns where the topic stands then. After an error that transaction is still open.
    async fn attempt(
        &mut self,
        topic: &str,
        source: Site,
        before: Stand,
        batch: &[SourceTransaction],
    ) -> Result<Stand, Error> {
        let mut open = Transaction::begin(&mut self.target, topic, source, before).await?;
        if let Some(first) = batch.first().filter(|first| first.installation != before.installation) {
            let mut following = pin!(open.follow(first.installation));
            loop {
                match time::timeout(LOOKING, &mut following).await {
                    Ok(followed) => break followed?,
                    Err(_) => self.state.alive(),
                }
            }
        }
        let mut held = Vec::new();
        for transaction in batch {
            let next = transaction.next_offset;
            match &transaction.content {
                Content::Held(records) => held.extend(records.iter().map(|record| (next, &*record.raw))),
                Content::InTopic(first) => {
                    let mut replay = self.downlink.replay(topic, *first, next)?;
                    loop {
                        let piece = replay.piece().await?;
                        if piece.is_empty() {
                            break;
                        }
                        open.apply(piece.iter().map(|raw| (next, &**raw))).await?;
                        self.state.alive();
                    }
                }
            }
        }
        open.apply(held.into_iter()).await?;
        let next = batch.last().map_or(before.offset, |last| last.next_offset);
        Ok(open.commit(next).await?)
    }

    async fn retry_parked(&mut self) -> Result<(), Error> {
        let due = self.parked_at.elapsed() >= self.parked_after;
        let own = self.downlink.cluster.topic(self.downlink.site);
        if !due {
            if self.asked_at.elapsed() < ASKED_EVERY {
                return Ok(());
            }
            self.asked_at = Instant::now();
            if !park::is_asked(&mut self.target, &own).await? {
                return Ok(());
            }
        }
        let which = if due { Which::Oldest } else { Which::Asked };
        let through = park::retry(&mut self.target, &self.downlink.cluster, &own, which).await?;
        if through > 0 {
            tracing::info!(through, "parked events were applied");
            self.parked_after = PARKED_AFTER;
        } else if due {
            // A try that fails writes WAL all the same, so it becomes rarer; a quiet cluster stays quiet.
            self.parked_after = (self.parked_after * 2).min(PARKED_AFTER_AT_MOST);
        }
        if due {
            self.parked_at = Instant::now();
        }
        Ok(())
    }

    fn tell(&self) {
        let skew = self.downlink.max_clock_skew;
        let sources = self.source.topics.iter().map(|(name, topic)| SourceStatus {
            topic: name.clone(),
            offset: topic.stand.offset,
            end_offset: topic.end.map(|end| end.0),
            end_measured_at: topic.end.map(|end| end.1),
            lag_records: topic.end.map_or(0, |(end, _)| {
                u64::try_from(end - topic.stand.offset).unwrap_or_default()
            }),
            clock_ahead_millis: topic
                .ahead
                .filter(|ahead| *ahead > skew)
                .map(|ahead| u64::try_from(ahead.as_millis()).unwrap_or(u64::MAX)),
        });
        let sources = sources.collect();
        let oldest = self
            .source
            .topics
            .values()
            .filter_map(|topic| topic.ready.front())
            .filter_map(|transaction| transaction.versions)
            .map(|(oldest, _)| oldest.micros())
            .min();
        let mut status = self.state.edit();
        status.sources = sources;
        status.lag_seconds = oldest.map_or(0, |at| {
            u64::try_from(now_millis() - at / 1000)
                .unwrap_or_default()
                .div_ceil(1000)
        });
    }
}

/// Why progress could not be read, which is asked for before all else: schema `sync` is made as a whole, so what is missing there is not made yet.
fn unread(error: tokio_postgres::Error) -> Error {
    let missing = [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_COLUMN];
    if error.code().is_some_and(|code| missing.contains(code)) {
        Error::Schema(error)
    } else {
        Error::Postgres(error)
    }
}

/// How far the transaction's newest version is ahead of `now` (microseconds since the Unix epoch). It is not applied before, so that a write
/// made here after seeing it is the later one on every key.
fn ahead(transaction: &SourceTransaction, now: i64) -> Duration {
    let newest = transaction.versions.map_or(0, |(_, newest)| newest.micros());
    Duration::from_micros(u64::try_from(newest - now).unwrap_or_default())
}
