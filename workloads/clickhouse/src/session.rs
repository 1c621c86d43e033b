//! One session: from a usable link to its end. While one batch is on its way to ClickHouse the next is collected; when that is full, nothing
//! more is read, and Kafka keeps the rest.

use std::{pin::Pin, time::Duration};

use futures::{FutureExt, StreamExt};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{Consumer, DefaultConsumerContext, MessageStream, StreamConsumer},
    error::KafkaError,
    message::BorrowedMessage,
};
use synccluster_protocol::status::{AnalyticsPhase, AnalyticsTableStatus, Millis, SourceStatus};
use synccluster_runtime::{
    clock::{now_micros, now_millis},
    postgres,
    workload::State,
};
use tokio::time::{self, Instant};

use crate::{
    arrange::{Arranged, Arranger, Outcome},
    catalogue,
    collect::{Collector, Unknown},
    http::{self, ClickHouse, Refusal},
    progress::{self, Begin, Progress},
    run::Analytics,
    sql,
    table::{PARKED, wanted},
    ways::{self, Ways},
    write::{self, Written},
};

/// Bytes of a batch. Two are held at most: one on its way, one that fills.
const BATCH_BYTES: usize = 6 << 20;
/// Bytes of a batch that waits for no others once nothing more is there to take.
const ENOUGH: usize = BATCH_BYTES / 8;
/// Records taken in before something else has its turn.
const TURN: usize = 2000;
/// Between two looks at tables, definitions and stored progress.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Between two looks at the end of the topic, and two signs of life.
const MEASURE_EVERY: Duration = Duration::from_secs(1);
/// How long Kafka may take to say where the topic ends.
const ANSWER: Duration = Duration::from_secs(3);

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server's Postgres cannot be reached.
    #[error("cannot read the tables from the server's Postgres: {0}")]
    Connect(#[from] postgres::Error),
    /// Postgres refused a statement.
    #[error("cannot read the tables from the server's Postgres: {}", postgres::describe(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// Kafka refused.
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// ClickHouse refused or did not answer.
    #[error(transparent)]
    ClickHouse(#[from] http::Error),
    /// Nothing can be made without them.
    #[error("{0}")]
    Definitions(String),
}

/// What comes from the topic; it does not end.
type Messages<'a> = MessageStream<'a, DefaultConsumerContext>;

type InFlight = Pin<Box<dyn Future<Output = Result<Written, http::Error>> + Send>>;

/// What a look found.
enum Look {
    Arranged(Vec<Arranged>),
    Lost(std::collections::BTreeSet<String>),
    /// The definitions cannot be read: what is known stays as it is.
    Undefined(String),
}

/// Whether the loop goes on.
#[derive(PartialEq, Eq)]
enum Next {
    GoOn,
    /// The next session begins where the progress says.
    BeginAnew,
}

struct Session<'a> {
    analytics: &'a Analytics,
    state: &'a State<Analytics>,
    clickhouse: ClickHouse,
    arranger: Arranger,
    collector: Collector,
    /// As stored, or on its way to be.
    progress: Progress,
    /// The next offset as stored.
    stored: i64,
    /// Since when the batch has been filling.
    began: Instant,
    /// Everything that had come was taken.
    drained: bool,
    end: Option<(i64, Millis)>,
}

/// Writes until something fails, or has to begin anew: then it returns, and the next session begins where the progress says.
pub async fn run(analytics: &Analytics, state: &State<Analytics>) -> Result<(), Error> {
    let clickhouse = ClickHouse::read(&analytics.clickhouse_secret)?;
    let version = clickhouse.text("SELECT version()").await?.trim().to_owned();
    for statement in sql::books(&clickhouse.database) {
        clickhouse.execute(&statement).await?;
    }
    state.edit().clickhouse_version = Some(version);
    let topic = &analytics.topic();
    let consumer: StreamConsumer = analytics.kafka.consumer_config(&analytics.client_id())?.create()?;
    while !tokio::task::block_in_place(|| exists(&consumer, topic))? {
        let reason = format!("topic {topic} is not there yet: the server's connector makes it");
        state.explain(AnalyticsPhase::Starting, reason);
        time::sleep(MEASURE_EVERY).await;
    }
    let mut session = Session {
        analytics,
        state,
        clickhouse,
        arranger: Arranger::default(),
        collector: Collector::default(),
        progress: Progress::default(),
        stored: 0,
        began: Instant::now(),
        drained: false,
        end: None,
    };
    session.begin(topic).await?;
    let from = match session.collector.next_offset {
        0 => Offset::Beginning,
        next => Offset::Offset(next),
    };
    let mut place = TopicPartitionList::new();
    place.add_partition_offset(topic, 0, from)?;
    consumer.assign(&place)?;
    tracing::info!(topic, offset = session.collector.next_offset, "reading");
    session.measure(&consumer)?;
    session.tell();
    session.state.phase(AnalyticsPhase::Writing);
    session.go_on(&consumer).await
}

fn exists(consumer: &StreamConsumer, topic: &str) -> Result<bool, KafkaError> {
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER)?;
    Ok(metadata
        .topics()
        .iter()
        .any(|there| there.name() == topic && !there.partitions().is_empty()))
}

/// What the loop does next.
enum Turn {
    Received,
    Written(Result<Written, http::Error>),
    Measure,
    Flush,
}

impl Session<'_> {
    /// Makes the tables and finds the place to go on from.
    async fn begin(&mut self, topic: &str) -> Result<(), Error> {
        let mut stored = Progress::read(&self.clickhouse, topic).await?;
        self.progress = stored.clone().unwrap_or_default();
        let arranged = loop {
            match self.look().await? {
                Look::Arranged(arranged) => break arranged,
                Look::Undefined(problem) => return Err(Error::Definitions(problem)),
                Look::Lost(lost) => {
                    tracing::warn!(
                        ?lost,
                        "tables are gone from ClickHouse: the topic is read from its beginning"
                    );
                    self.progress.lost(&lost);
                    self.progress.write(&self.clickhouse, topic, now_micros()).await?;
                    stored = Some(self.progress.clone());
                }
            }
        };
        let found = stored.as_ref().map(|stored| stored.next_offset);
        self.progress = match progress::begin(stored, self.analytics.generation, &arranged) {
            Begin::Here(progress) => progress,
            Begin::Anew {
                mut progress,
                empty,
                reason,
            } => {
                tracing::info!(reason, "the topic is read from its beginning");
                if empty {
                    progress::empty(&self.clickhouse, &arranged).await?;
                }
                progress::forget_parked(&self.clickhouse).await?;
                progress.write(&self.clickhouse, topic, now_micros()).await?;
                progress
            }
        };
        self.stored = self.progress.next_offset;
        self.collector.next_offset = self.stored;
        let mut status = self.state.edit();
        status.generation = self.progress.generation;
        // Nothing was there before: that is no rebuild.
        if self.progress.next_offset == 0 && found.is_some() {
            status.rebuilding_to = Some(i64::MAX);
        }
        Ok(())
    }

    async fn go_on(mut self, consumer: &StreamConsumer) -> Result<(), Error> {
        let mut messages = consumer.stream();
        let mut in_flight: Option<InFlight> = None;
        let mut looked = Instant::now();
        let mut tick = time::interval(MEASURE_EVERY);
        tick.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            let full = self.collector.batch.bytes() >= BATCH_BYTES;
            let waits = self.collector.waits(&self.progress);
            let due = self.began + self.analytics.flush_interval;
            let enough = full || (self.drained && self.collector.batch.bytes() >= ENOUGH);
            if in_flight.is_none() && waits && (enough || due <= Instant::now()) {
                in_flight = Some(self.send());
                continue;
            }
            let turn = tokio::select! {
                biased;
                written = async { match &mut in_flight { Some(work) => work.await, None => std::future::pending().await } } => Turn::Written(written),
                _ = tick.tick() => Turn::Measure,
                Some(message) = messages.next(), if !full => {
                    if self.take_all(&mut messages, &message?).await? == Next::BeginAnew {
                        return Ok(());
                    }
                    Turn::Received
                }
                () = time::sleep_until(due), if waits && in_flight.is_none() => Turn::Flush,
            };
            match turn {
                Turn::Received => self.state.probe().moved(),
                Turn::Flush => {}
                Turn::Written(written) => {
                    in_flight = None;
                    if self.written(written)? == Next::BeginAnew {
                        return Ok(());
                    }
                }
                Turn::Measure => {
                    self.state.alive();
                    self.collector.hopeless.clear();
                    self.measure(consumer)?;
                    self.tell();
                    if in_flight.is_none() && looked.elapsed() >= LOOK_EVERY {
                        if self.look_again().await? == Next::BeginAnew {
                            return Ok(());
                        }
                        looked = Instant::now();
                    }
                }
            }
        }
    }

    /// Takes a record, and what else is there already.
    async fn take_all(&mut self, messages: &mut Messages<'_>, first: &BorrowedMessage<'_>) -> Result<Next, Error> {
        if !self.collector.waits(&self.progress) {
            self.began = Instant::now();
        }
        self.drained = false;
        if self.take(first).await? == Next::BeginAnew {
            return Ok(Next::BeginAnew);
        }
        for _ in 0..TURN {
            if self.collector.batch.bytes() >= BATCH_BYTES {
                break;
            }
            let Some(Some(message)) = messages.next().now_or_never() else {
                self.drained = true;
                break;
            };
            if self.take(&message?).await? == Next::BeginAnew {
                return Ok(Next::BeginAnew);
            }
        }
        Ok(Next::GoOn)
    }

    async fn take(&mut self, message: &BorrowedMessage<'_>) -> Result<Next, Error> {
        let mut looked: Option<Unknown> = None;
        let mut seen = true;
        // A record may speak of several things that are not known: each is looked up, and settled if that did not help.
        while let Err(unknown) = self.collector.take(message, &mut self.progress) {
            if looked.as_ref() == Some(&unknown) || !seen {
                self.collector.settle(unknown, seen);
                continue;
            }
            tracing::info!(?unknown, "a record speaks of something else than is known: looking");
            match self.look().await? {
                Look::Arranged(_) => {}
                Look::Undefined(_) => seen = false,
                Look::Lost(_) => return Ok(Next::BeginAnew),
            }
            looked = Some(unknown);
        }
        Ok(Next::GoOn)
    }

    /// Starts to write what was collected.
    fn send(&mut self) -> InFlight {
        self.progress.next_offset = self.collector.next_offset;
        let batch = std::mem::take(&mut self.collector.batch);
        Box::pin(write::write(
            self.clickhouse.clone(),
            self.analytics.topic(),
            batch,
            self.progress.clone(),
        ))
    }

    /// Takes in what became of a batch.
    fn written(&mut self, written: Result<Written, http::Error>) -> Result<Next, Error> {
        let written = match written {
            Ok(written) => written,
            Err(error) if error.refusal() == Refusal::Schema => {
                tracing::warn!(%error, "a table is not what it was: looking again");
                return Ok(Next::BeginAnew);
            }
            Err(error) => return Err(error.into()),
        };
        self.progress.written_at = written.progress.written_at;
        self.stored = written.progress.next_offset;
        {
            let mut status = self.state.edit();
            status.rows_written += written.rows;
            status.deletes_written += written.deletes;
            status.skipped += written.skipped;
            status.parked_reason = written.parked_reason.or(status.parked_reason.take());
            if status.rebuilding_to.is_some_and(|end| self.stored >= end) {
                tracing::info!(offset = self.stored, "what was in the topic has been written again");
                status.rebuilding_to = None;
            }
        }
        self.tell();
        Ok(Next::GoOn)
    }

    /// Makes the tables what they should be.
    async fn look(&mut self) -> Result<Look, Error> {
        let definitions = match ways::definitions(self.analytics.definitions.as_deref()) {
            Ok(definitions) => definitions,
            Err(problem) => {
                self.state.edit().definitions_problem = Some(problem.clone());
                return Ok(Look::Undefined(problem));
            }
        };
        let client = catalogue::connect(&self.analytics.postgres).await?;
        let sources = catalogue::tables(&client).await?;
        let problem = definitions.unknown(|name| sources.iter().any(|source| source.name.to_string() == name));
        let outcome = self
            .arranger
            .arrange(&self.clickhouse, wanted(&sources, &definitions), &self.progress.tables)
            .await?;
        let arranged = match outcome {
            Outcome::Lost(lost) => return Ok(Look::Lost(lost)),
            Outcome::Arranged(arranged) => arranged,
        };
        let before = std::mem::take(&mut self.collector.ways);
        self.collector.ways = Ways::new(
            &self.analytics.topic(),
            &self.clickhouse.database,
            &sources,
            &definitions,
            &arranged,
            before,
        );
        let tables = arranged.iter().map(|arranged| AnalyticsTableStatus {
            source: arranged.source.to_string(),
            table: arranged.name.clone(),
            problem: arranged.table.as_ref().err().cloned(),
        });
        let mut status = self.state.edit();
        status.tables = tables.collect();
        status.definitions_problem = problem;
        Ok(Look::Arranged(arranged))
    }

    /// Looks whether tables came, changed or went, and whether what was stored is still there.
    async fn look_again(&mut self) -> Result<Next, Error> {
        let topic = self.analytics.topic();
        let stored = Progress::read(&self.clickhouse, &topic).await?;
        if stored.is_none_or(|stored| stored.next_offset < self.progress.next_offset) {
            tracing::warn!("ClickHouse has lost what was written");
            return Ok(Next::BeginAnew);
        }
        let query = format!(
            "SELECT toString(count()) FROM {} FINAL",
            sql::qualified(&self.clickhouse.database, PARKED)
        );
        let parked = self.clickhouse.rows::<(String,)>(&query).await?;
        self.state.edit().parked = parked
            .first()
            .and_then(|(count,)| count.parse().ok())
            .unwrap_or_default();
        let arranged = match self.look().await {
            Ok(Look::Arranged(arranged)) => arranged,
            Ok(Look::Lost(_)) => return Ok(Next::BeginAnew),
            // What is known can be written without definitions and without Postgres.
            Ok(Look::Undefined(_)) | Err(Error::Connect(_) | Error::Postgres(_)) => return Ok(Next::GoOn),
            Err(error) => return Err(error),
        };
        match progress::begin(Some(self.progress.clone()), self.analytics.generation, &arranged) {
            Begin::Here(progress) => {
                self.progress = progress;
                Ok(Next::GoOn)
            }
            Begin::Anew { .. } => Ok(Next::BeginAnew),
        }
    }

    /// A blocking call of librdkafka, bounded by its time limit; the other worker thread serves /status meanwhile.
    fn measure(&mut self, consumer: &StreamConsumer) -> Result<(), Error> {
        // The time before the question: what was sent after it may not be in the answer.
        let asked_at = now_millis();
        let topic = self.analytics.topic();
        let (_, end) = tokio::task::block_in_place(|| consumer.fetch_watermarks(&topic, 0, ANSWER))?;
        self.end = Some((end, asked_at));
        let mut status = self.state.edit();
        if status.rebuilding_to == Some(i64::MAX) {
            status.rebuilding_to = (end > 0).then_some(end);
        }
        status.source = Some(SourceStatus {
            topic,
            offset: self.stored,
            end_offset: Some(end),
            end_measured_at: Some(asked_at),
            lag_records: u64::try_from(end - self.stored).unwrap_or_default(),
            clock_ahead_millis: None,
        });
        Ok(())
    }

    fn tell(&self) {
        let now = now_millis();
        let mut status = self.state.edit();
        let age = self.collector.batch.oldest.map_or(0, |oldest| (now - oldest).max(0));
        status.lag_seconds = u64::try_from(age).unwrap_or_default().div_ceil(1000);
        status.measured_at = self.end.map(|(_, at)| at);
        if let Some(source) = &mut status.source {
            source.offset = self.stored;
            source.lag_records = u64::try_from(source.end_offset.unwrap_or_default() - self.stored).unwrap_or_default();
        }
    }
}
