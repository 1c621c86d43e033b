//! One session: from a usable link to its end.

use std::{sync::Arc, time::Duration};

use futures::TryStreamExt;
use rdkafka::error::KafkaError;
use synccluster_protocol::{
    Lsn, Site,
    event::{SIGNALS, TableName},
    status::ConnectorPhase,
};
use synccluster_replication::{
    self as replication, Frame, Lifetime, Origins, ReplicationConnection, pgoutput, relations::Relations,
};
use synccluster_runtime::{
    clock::{now_micros, now_millis},
    postgres,
    workload::State,
};
use tokio::time;
use tokio_postgres::Client;

use crate::{
    aside::{self, Aside, retry::Retry},
    envelope::{self, Change, Open, Origin, Record},
    installation, lock,
    producer::{Acknowledged, Outcome, Producer},
    resnapshot::{Resnapshot, book, streamed::Streamed},
    run::Uplink,
    slot::{self, Need, PUBLICATION},
    snapshot, topic,
};

/// How often Postgres is told what Kafka has, and the lag is measured.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// After which time it is said that the slot is not made yet.
const SLOT_IS_SLOW: Duration = Duration::from_secs(5);
/// How often Postgres is asked where its stream is, while a chunk waits for that.
const NUDGE_EVERY: Duration = Duration::from_millis(20);

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The site's Postgres cannot be reached.
    #[error("cannot connect to the site's Postgres: {0}")]
    Connect(#[from] postgres::Error),
    /// The stream broke.
    #[error(transparent)]
    Replication(#[from] replication::Error),
    /// Postgres refused a statement.
    #[error("Postgres: {}", lock::describe(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// A table of the snapshot cannot be read.
    #[error("cannot read {table}, and no snapshot is sent without it: {}", lock::describe(.error))]
    Unread {
        /// The table.
        table: TableName,
        /// What Postgres says.
        error: tokio_postgres::Error,
    },
    /// Kafka refused.
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// Kafka gave a record back.
    #[error("Kafka did not take a record: {0}")]
    NotTaken(KafkaError),
    /// The stream cannot be read.
    #[error(transparent)]
    Decode(#[from] pgoutput::DecodeError),
    /// The stream contradicts itself.
    #[error(transparent)]
    Width(#[from] envelope::WidthError),
    /// A change outside of a transaction.
    #[error("the stream has a change outside of a transaction")]
    NoTransaction,
    /// An answer that is no position.
    #[error("Postgres answered with something that is no position of its WAL")]
    Watermark,
    /// An answer that is no snapshot.
    #[error("Postgres answered with something that is no snapshot")]
    Snapshot,
}

/// The transaction whose changes are being read.
struct OpenTransaction {
    open: Open,
    /// Its number in [`Progress`](crate::progress::Progress).
    number: u64,
    /// Whether any of it was sent.
    sent: bool,
}

struct Session<'a> {
    uplink: &'a Uplink,
    state: &'a State<Uplink>,
    sql: Client,
    producer: Producer,
    acknowledged: Arc<Acknowledged>,
    aside: Aside,
    retry: Retry,
    origin: Origin,
    relations: Relations,
    open: Option<OpenTransaction>,
    /// The newest record of the open transaction: kept back until it is known whether it is the last.
    held: Option<Record>,
    /// Every commit before this is in the producer.
    position: Lsn,
    resnapshot: Resnapshot,
    streamed: Streamed,
}

/// Streams until something fails.
pub async fn run(uplink: &Uplink, state: &State<Uplink>) -> Result<(), Error> {
    let sql = lock::connect(&uplink.postgres, "synccluster-connector", postgres::LOCK_TIMEOUT).await?;
    let client_id = format!("{}-connector", uplink.topic);
    let client = uplink.kafka.client_config(&client_id)?;
    if let Some(spec) = &uplink.topic_spec {
        topic::ensure(&client, &uplink.topic, spec).await?;
    } else {
        let missing = format!("topic {} is not there yet: the operator makes it", uplink.topic);
        let waiting = || state.explain(ConnectorPhase::Starting, missing.clone());
        topic::wait_for(&client, &uplink.topic, waiting).await?;
    }
    let installation = installation::read(&sql).await?;
    let producer = Producer::new(&uplink.kafka, &client_id, &uplink.topic, installation, &uplink.alone)?;
    let aside = Aside::load(&sql, &uplink.topic).await?;
    state.edit().set_aside = aside.count();
    let origin = Origin {
        topic: uplink.topic.clone(),
        database: uplink.postgres.login()?.dbname,
    };
    let mut session = Session {
        uplink,
        state,
        sql,
        acknowledged: Arc::clone(producer.acknowledged()),
        producer,
        aside,
        retry: Retry::default(),
        origin,
        relations: Relations::default(),
        open: None,
        held: None,
        position: Lsn(0),
        resnapshot: Resnapshot::default(),
        streamed: Streamed::default(),
    };
    let mut replication = ReplicationConnection::connect(&uplink.postgres, "synccluster-connector").await?;
    if slot::prepare(&session.sql, &uplink.slot).await? == Need::Snapshot {
        session.snapshot(&mut replication).await?;
    }
    replication
        .start(
            &uplink.slot,
            PUBLICATION,
            if uplink.site == Site::Server {
                Origins::Any
            } else {
                Origins::Local
            },
        )
        .await?;
    session.take_request(true).await?;
    state.phase(ConnectorPhase::Streaming);
    session.stream(&mut replication).await
}

fn unread(table: &TableName) -> impl FnOnce(tokio_postgres::Error) -> Error {
    let table = table.clone();
    move |error| Error::Unread { table, error }
}

impl Session<'_> {
    async fn snapshot(&mut self, replication: &mut ReplicationConnection) -> Result<(), Error> {
        self.state.phase(ConnectorPhase::Snapshotting);
        let (lsn, name) = self.make_slot(replication).await?;
        let application = "synccluster-connector snapshot";
        let reading = lock::connect(&self.uplink.postgres, application, postgres::LOCK_TIMEOUT).await?;
        snapshot::begin(&reading, &name).await?;
        let mut sent = 0;
        let whole = self.acknowledged.progress().begin(now_millis());
        let tables = snapshot::tables(&reading, PUBLICATION).await?;
        // All before the first row is sent: a lock of somebody else's found later would throw away what was sent before.
        for table in &tables {
            snapshot::hold(&reading, &table.name)
                .await
                .map_err(unread(&table.name))?;
        }
        for table in tables {
            let mut rows = std::pin::pin!(snapshot::rows(&reading, &table).await.map_err(unread(&table.name))?);
            while let Some(values) = rows.try_next().await? {
                let record = envelope::snapshot_record(&self.origin, &table, &values, lsn, now_millis(), "true")?;
                self.send(record, whole, None).await?;
                sent += 1;
                self.state.alive();
                self.state.edit().snapshot_rows = sent;
            }
        }
        reading.batch_execute("commit").await?;
        self.acknowledged.progress().commit(whole, lsn);
        while self.acknowledged.progress().oldest().is_some() {
            self.acknowledged.check()?;
            self.state.alive();
            let _ = time::timeout(REPORT_EVERY, self.acknowledged.changed.notified()).await;
        }
        slot::complete(&self.sql, &self.uplink.slot).await?;
        tracing::info!(rows = sent, %lsn, "snapshot is in Kafka");
        Ok(())
    }

    /// Postgres answers when every transaction has ended that was open when it was asked. No time limits that: the next try would begin anew.
    async fn make_slot(&self, replication: &mut ReplicationConnection) -> Result<(Lsn, String), Error> {
        let mut made = std::pin::pin!(replication.create_slot(&self.uplink.slot, Lifetime::Permanent));
        loop {
            if let Ok(made) = time::timeout(SLOT_IS_SLOW, &mut made).await {
                self.state.edit().error = None;
                return Ok(made?);
            }
            self.state.alive();
            let why = "the slot is made when every transaction that is open at this site has ended: commit or roll back the oldest \
                       (xact_start of pg_stat_activity says which; pg_prepared_xacts, too)";
            self.state.explain(ConnectorPhase::Snapshotting, why.to_owned());
        }
    }

    async fn stream(&mut self, replication: &mut ReplicationConnection) -> Result<(), Error> {
        let mut report = time::interval(REPORT_EVERY);
        report.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        let mut nudge = time::interval(NUDGE_EVERY);
        nudge.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            self.acknowledged.check()?;
            self.send_again().await?;
            tokio::select! {
                frame = replication.next() => match frame? {
                    Frame::Wal(data) => self.take(pgoutput::decode(data)?).await?,
                    Frame::Keepalive { end, reply } => {
                        if self.open.is_none() {
                            self.acknowledged.progress().idle_until(end);
                            self.position = self.position.max(end);
                        }
                        if reply {
                            let confirmed = self.acknowledged.progress().confirmed();
                            replication.confirm(confirmed, now_micros(), false).await?;
                        }
                    }
                },
                () = self.acknowledged.changed.notified() => self.note_acknowledged(),
                _ = nudge.tick(), if self.resnapshot.waits() || self.retry.waits() => {
                    let confirmed = self.acknowledged.progress().confirmed();
                    replication.confirm(confirmed, now_micros(), true).await?;
                }
                _ = report.tick() => {
                    let confirmed = self.acknowledged.progress().confirmed();
                    replication.confirm(confirmed, now_micros(), true).await?;
                    self.measure(confirmed).await?;
                    self.take_request(false).await?;
                    self.aside.release(&self.sql).await?;
                    self.retry.begin(&mut self.aside, &self.sql, &self.uplink.postgres, &self.origin).await?;
                    self.state.edit().set_aside = self.aside.count();
                }
            }
        }
    }

    /// Takes up what was asked for since; at the start of a session also what was asked for before.
    async fn take_request(&mut self, first: bool) -> Result<(), Error> {
        let asked = self.uplink.requests.take();
        if first || asked.is_some() || self.resnapshot.is_due() {
            self.resnapshot = Resnapshot::load(&self.sql, &self.uplink.postgres, asked.as_ref()).await?;
            self.tell_resnapshot();
        }
        Ok(())
    }

    fn tell_resnapshot(&self) {
        let now = self.resnapshot.status().cloned();
        let before = std::mem::replace(&mut self.state.edit().resnapshot, now.clone());
        if let Some(now) = now {
            book::announce(before.as_ref(), &now);
        }
    }

    /// Between two transactions: sends a chunk whose watermark the stream has reached, and reads the next.
    async fn send_again(&mut self) -> Result<(), Error> {
        if self.open.is_some() {
            return Ok(());
        }
        if let Some((records, watermark)) = self.retry.due(self.position) {
            self.send_all(records, watermark, true).await?;
        }
        if let Some((records, watermark)) = self.resnapshot.due(self.position) {
            let number = self.send_all(records, watermark, false).await?;
            self.resnapshot.sent(number);
        }
        let acknowledged = Arc::clone(&self.acknowledged);
        let settled = |number| acknowledged.progress().settled(number);
        if self.resnapshot.acknowledge(&self.sql, settled).await? {
            self.tell_resnapshot();
        }
        if self.resnapshot.read(&self.origin, &self.streamed).await? {
            self.tell_resnapshot();
        }
        Ok(())
    }

    /// Sends what was read and not streamed; returns its number. `alone`: nobody would read it again if Kafka did not have it in the end.
    async fn send_all(&mut self, records: Vec<Record>, watermark: Lsn, alone: bool) -> Result<u64, Error> {
        let number = self.acknowledged.progress().begin(now_millis());
        for record in records {
            self.send_or_put_aside(record, number, None, alone).await?;
        }
        self.acknowledged.progress().commit(number, watermark);
        Ok(number)
    }

    async fn take(&mut self, message: pgoutput::Message) -> Result<(), Error> {
        use pgoutput::Message::{Begin, Commit, Delete, Ignored, Insert, Origin, Relation, Update};
        match message {
            Begin { commit, at, xid } => {
                self.position = self.position.max(commit);
                self.send_again().await?;
                self.streamed.push(xid);
                let number = self.acknowledged.progress().begin(now_millis());
                self.open = Some(OpenTransaction {
                    open: Open::new(xid, commit, at),
                    number,
                    sent: false,
                });
            }
            Commit { end } => self.commit(end).await?,
            Origin(name) => self.open.as_mut().ok_or(Error::NoTransaction)?.open.from_site(name),
            Relation {
                oid,
                schema,
                table,
                columns,
            } => {
                let name = TableName::new(schema, table);
                // What the other engine was asked for, and has not read yet.
                if !name.is(SIGNALS) {
                    self.relations.describe(&self.sql, oid, name, columns).await?;
                }
            }
            Insert { oid, new } => self.change(oid, Change::Insert(new)).await?,
            Update { oid, old, new } => self.change(oid, Change::Update(old, new)).await?,
            Delete { oid, old } => self.change(oid, Change::Delete(old)).await?,
            Ignored => {}
        }
        Ok(())
    }

    async fn change(&mut self, oid: u32, change: Change) -> Result<(), Error> {
        let transaction = self.open.as_mut().ok_or(Error::NoTransaction)?;
        let (number, mut sent) = (transaction.number, false);
        let Some(table) = self.relations.get(oid) else {
            return Ok(());
        };
        for record in envelope::records(&self.origin, table, &mut transaction.open, change, now_millis())? {
            self.resnapshot.touch(&record.key);
            self.retry.touch(&record.key);
            if let Some(previous) = self.held.replace(record) {
                sent |= self.send(previous, number, None).await?;
            }
        }
        if let Some(transaction) = &mut self.open {
            transaction.sent |= sent;
        }
        Ok(())
    }

    async fn commit(&mut self, end: Lsn) -> Result<(), Error> {
        let OpenTransaction { open, number, sent } = self.open.take().ok_or(Error::NoTransaction)?;
        if let Some(last) = self.held.take() {
            let ended = self.send(last, number, Some(open.events())).await?;
            if sent && !ended {
                // Without its last record nobody would know that it has ended.
                self.hand_over(&open.end(now_millis()), number, None, false).await?;
            }
        }
        self.acknowledged.progress().commit(number, end);
        self.position = self.position.max(end);
        Ok(())
    }

    /// Sends a record, or puts its row aside if Kafka does not take it; whether it was sent.
    async fn send(&mut self, record: Record, transaction: u64, end_of: Option<u64>) -> Result<bool, Error> {
        self.send_or_put_aside(record, transaction, end_of, false).await
    }

    async fn send_or_put_aside(
        &mut self,
        record: Record,
        transaction: u64,
        end_of: Option<u64>,
        alone: bool,
    ) -> Result<bool, Error> {
        let mut outcome = Outcome::LargerThanSent;
        if record.left_out.is_none() {
            outcome = self.hand_over(&record, transaction, end_of, alone).await?;
            if outcome != Outcome::Sent
                && let Some(smaller) = aside::without_before(&record)
            {
                outcome = self.hand_over(&smaller, transaction, end_of, alone).await?;
            }
        }
        let before = self.aside.count();
        if outcome == Outcome::Sent {
            self.aside.sent(&self.sql, &record.key).await?;
        } else {
            self.aside.put(&self.sql, &record, outcome).await?;
        }
        if self.aside.count() != before {
            self.state.edit().set_aside = self.aside.count();
        }
        Ok(outcome == Outcome::Sent)
    }

    async fn hand_over(
        &self,
        record: &Record,
        transaction: u64,
        end_of: Option<u64>,
        alone: bool,
    ) -> Result<Outcome, Error> {
        self.producer
            .send(record, transaction, end_of, alone, || self.state.alive())
            .await
    }

    fn note_acknowledged(&self) {
        self.state.probe().moved();
        self.state.edit().records_acknowledged = self.acknowledged.records();
    }

    async fn measure(&self, confirmed: Lsn) -> Result<(), Error> {
        let slot = slot::status(&self.sql, &self.uplink.slot).await?;
        let lag = slot::lag_bytes(&self.sql, confirmed).await?;
        let oldest = self.acknowledged.progress().oldest();
        self.state.alive();
        let mut status = self.state.edit();
        status.slot = slot;
        status.lag_bytes = (confirmed > Lsn(0)).then_some(lag);
        status.lag_seconds = oldest.map_or(0, |since| (now_millis() - since).unsigned_abs().div_ceil(1000));
        status.measured_at = Some(now_millis());
        Ok(())
    }
}
