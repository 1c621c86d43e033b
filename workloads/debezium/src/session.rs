//! One session: from a usable link to its end, with one worker.

use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use synccluster_connector::{
    installation,
    resnapshot::book,
    slot::{self, Need, PUBLICATION},
    snapshot::names,
};
use synccluster_protocol::{
    Lsn,
    connect::{self, Variables},
    event::TableName,
    status::{ConnectRequest, ConnectorPhase, RequestKind},
};
use synccluster_runtime::{clock::now_millis, postgres, workload::State};
use tokio::time;
use tokio_postgres::Client;

use crate::{
    hide::hide,
    lag::Lag,
    notifications::Notifications,
    resnapshot::Resnapshot,
    rest::{self, Offset, Rest},
    run::Debezium,
    snapshot, tls,
    topic::Topic,
    worker::{self, Worker},
};

/// Between two looks at everything.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a worker may take to answer: Java starts on a busy machine.
const STARTED_WITHIN: Duration = Duration::from_mins(3);
/// How long it may be silent.
const SILENT_FOR: Duration = Duration::from_mins(1);
/// How long tables must be empty and the slot read until a snapshot of nothing is taken for done.
const EMPTY_FOR: Duration = Duration::from_secs(3);

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The site's Postgres cannot be reached.
    #[error("cannot connect to the site's Postgres: {0}")]
    Connect(#[from] postgres::Error),
    /// Postgres refused a statement.
    #[error("Postgres: {}", postgres::describe(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// Kafka refused.
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// The template.
    #[error("connector.properties: {0}")]
    Template(#[from] connect::Error),
    /// A value of a Secret.
    #[error("connector.properties: Secret {name} has no key {key}: add it, or name another")]
    Secret {
        /// The Secret.
        name: String,
        /// The key.
        key: String,
    },
    /// Columns that would lose values.
    #[error("engine Debezium cannot carry these columns without loss: {0}; use engine Native, or another type")]
    Lost(String),
    /// Somebody else reads the slot.
    #[error("slot {0} is read by somebody else: waiting until that connector has ended")]
    SlotActive(String),
    /// There is no topic.
    #[error("there is no topic {0} yet: waiting until it is made")]
    NoTopic(String),
    /// The worker cannot be started.
    #[error(transparent)]
    Start(#[from] worker::Error),
    /// The worker has ended.
    #[error("the Kafka Connect worker ended ({0}); its log says why")]
    Ended(String),
    /// It does not answer.
    #[error(transparent)]
    Rest(#[from] rest::Error),
    /// What Debezium says of tables.
    #[error("Debezium's notifications cannot be read: {0}; trying again")]
    Notifications(#[from] std::io::Error),
    /// Postgres does not say where its WAL ends.
    #[error("Postgres did not tell a position of its WAL; trying again")]
    Position,
    /// What failed cannot be continued by this worker.
    #[error("Debezium: {0}")]
    Failed(String),
}

struct Session<'a> {
    uplink: &'a Debezium,
    state: &'a State<Debezium>,
    sql: Client,
    slot: String,
    topic: Topic,
    rest: Rest,
    /// What people had asked for before it began: done once it streams.
    asked: Vec<ConnectRequest>,
    /// The tables of the snapshot that is being sent.
    snapshot: Option<Vec<TableName>>,
    empty_since: Option<Instant>,
    /// Rows that are sent once more; absent until the worker streams.
    resnapshot: Option<Resnapshot>,
    lag: Lag,
    /// The topic's end at the beginning of the session, and when last asked.
    ends: (i64, i64),
    restart_at: Option<Instant>,
    heard: Instant,
}

/// What is known of Connect while no worker runs.
pub fn without_worker(uplink: &Debezium, state: &State<Debezium>) {
    let mut status = state.edit();
    let connect = status.connect.get_or_insert_default();
    (connect.connector, connect.tasks) = (String::new(), Vec::new());
    uplink.requests.tell(connect);
}

/// Streams until something fails, the link is cut, or somebody asks for something that needs a new worker.
pub async fn run(uplink: &Debezium, state: &State<Debezium>) -> Result<(), Error> {
    let asked = uplink.requests.waiting();
    let ended = streaming(uplink, state, asked.clone()).await;
    without_worker(uplink, state);
    if let Err(error) = &ended {
        state.explain(ConnectorPhase::Failing, error.to_string());
        // Waiting for somebody else is no failure, and costs no worker.
        if !matches!(error, Error::SlotActive(_) | Error::NoTopic(_) | Error::Secret { .. }) {
            pause_after_failure(uplink, state, &asked).await;
        }
    }
    ended
}

/// A worker costs seconds of a processor: the next is not started at once.
async fn pause_after_failure(uplink: &Debezium, state: &State<Debezium>, asked: &[ConnectRequest]) {
    let until = Instant::now() + uplink.pause_after_failure();
    state.edit().connect.get_or_insert_default().restarts += 1;
    while Instant::now() < until && uplink.requests.waiting() == asked {
        state.alive();
        uplink.look(state).await;
        time::sleep(LOOK_EVERY).await;
    }
}

async fn streaming(uplink: &Debezium, state: &State<Debezium>, asked: Vec<ConnectRequest>) -> Result<(), Error> {
    let slot = uplink.slot();
    let sql = postgres::connect_once(&uplink.postgres, "synccluster-connector").await?;
    note(&sql, &slot, &asked).await?;
    uplink
        .requests
        .done(|request| request.what == RequestKind::Resume && asked.contains(request));
    if snapshot::is_paused(&sql, &slot).await? {
        state.phase(ConnectorPhase::Paused);
        uplink
            .requests
            .done(|request| request.what == RequestKind::Pause && asked.contains(request));
        without_worker(uplink, state);
        let asked = uplink.requests.waiting();
        while uplink.requests.waiting() == asked {
            state.alive();
            uplink.look(state).await;
            time::sleep(LOOK_EVERY).await;
        }
        return Ok(());
    }
    state.phase(ConnectorPhase::Starting);
    let name = uplink.cluster.topic(uplink.site);
    let topic = Topic::new(&uplink.kafka, &name)?;
    let end = topic.end().await?.ok_or(Error::NoTopic(name))?;
    let mut session = Session {
        uplink,
        state,
        slot,
        topic,
        rest: Rest::at(uplink.launch.rest_port),
        asked,
        snapshot: None,
        empty_since: None,
        resnapshot: None,
        lag: Lag::default(),
        ends: (end, end),
        restart_at: None,
        heard: Instant::now(),
        sql,
    };
    let settings = session.prepare().await?;
    let mut worker = Worker::start(&uplink.launch, &uplink.kafka)?;
    let ended = session.work(&mut worker, &settings).await;
    worker.end().await;
    ended
}

/// Where a session begins, and whether it waits, is kept in the site's database: a new pod finds it.
async fn note(sql: &Client, slot: &str, asked: &[ConnectRequest]) -> Result<(), Error> {
    for request in asked {
        match request.what {
            RequestKind::Restart => {}
            RequestKind::Pause => snapshot::pause(sql, slot, true).await?,
            RequestKind::Resume => snapshot::pause(sql, slot, false).await?,
            RequestKind::Reset => snapshot::forget(sql, slot).await?,
        }
    }
    Ok(())
}

impl Session<'_> {
    /// Makes sure that nothing is lost by beginning, and renders the settings.
    async fn prepare(&mut self) -> Result<connect::Settings, Error> {
        let uplink = self.uplink;
        for secret in uplink.template.secrets() {
            if !uplink.secrets.join(&secret.name).join(&secret.key).is_file() {
                let connect::SecretKey { name, key } = secret;
                return Err(Error::Secret { name, key });
            }
        }
        let tables = names(&self.sql, PUBLICATION).await?;
        let lost = snapshot::lost(&self.sql, &tables).await?;
        if !lost.is_empty() {
            return Err(Error::Lost(lost));
        }
        if slot::status(&self.sql, &self.slot)
            .await?
            .is_some_and(|slot| slot.active)
        {
            return Err(Error::SlotActive(self.slot.clone()));
        }
        if slot::prepare(&self.sql, &self.slot).await? == Need::Snapshot {
            self.snapshot = Some(tables);
        }
        let folder = |path: &std::path::Path| path.display().to_string();
        let place = uplink.postgres.place();
        let variables = Variables {
            cluster: uplink.cluster.clone(),
            site: uplink.site,
            bootstrap_servers: uplink.kafka.bootstrap_servers().to_owned(),
            slot: self.slot.clone(),
            publication: PUBLICATION.to_owned(),
            installation: installation::read(&self.sql).await?,
            snapshot: self.snapshot.clone(),
            generated: snapshot::generated(&self.sql).await?,
            postgres: folder(&uplink.postgres_folder),
            tls: tls::settings(&uplink.postgres.login()?.tls, &place),
            place: folder(&place),
            secrets: folder(&uplink.secrets),
        };
        Ok(connect::settings(&uplink.template, &variables)?)
    }

    async fn work(&mut self, worker: &mut Worker, settings: &connect::Settings) -> Result<(), Error> {
        let by = Instant::now() + STARTED_WITHIN;
        while !self.rest.answers().await {
            if let Some(how) = worker.ended() {
                return Err(Error::Ended(how));
            }
            if Instant::now() > by {
                return Err(Error::Ended(format!(
                    "no answer within {} s of its start",
                    STARTED_WITHIN.as_secs()
                )));
            }
            self.state.alive();
            self.uplink.look(self.state).await;
            time::sleep(LOOK_EVERY / 4).await;
        }
        let started = self.rest.start(settings).await;
        started.map_err(|error| error.map(|said| self.hide(said)))?;
        self.heard = Instant::now();
        let mut tick = time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        let mut fresh = true;
        loop {
            tick.tick().await;
            self.state.alive();
            if let Some(how) = worker.ended() {
                return Err(Error::Ended(how));
            }
            if !self.look_at_connect().await? {
                continue;
            }
            self.finish_snapshot().await?;
            self.measure().await?;
            if self.snapshot.is_none() {
                self.send_again(std::mem::take(&mut fresh)).await?;
            }
            if self
                .uplink
                .requests
                .waiting()
                .iter()
                .any(|request| !self.asked.contains(request))
            {
                return Ok(());
            }
        }
    }

    /// Whether the connector works; what has failed is restarted after a while.
    async fn look_at_connect(&mut self) -> Result<bool, Error> {
        let mut seen = self.state.edit().connect.clone().unwrap_or_default();
        match self.rest.status(&mut seen).await {
            Ok(()) => self.heard = Instant::now(),
            // Right after its start the connector is not there yet; and a worker that collects garbage is silent for a while.
            Err(error) if self.heard.elapsed() > SILENT_FOR => return Err(error.into()),
            Err(_) => return Ok(false),
        }
        for said in seen.tasks.iter_mut().filter_map(|task| task.error.as_mut()) {
            *said = self.hide(said);
        }
        let failed = |state: &str| state == "FAILED";
        let failure = seen.tasks.iter().find(|task| failed(&task.state));
        let failure = failure.map(|task| task.error.clone().unwrap_or_default());
        let failure = failure
            .or_else(|| failed(&seen.connector).then(|| "the connector failed; the worker's log says why".to_owned()));
        let running = seen.connector == "RUNNING"
            && !seen.tasks.is_empty()
            && seen.tasks.iter().all(|task| task.state == "RUNNING");
        {
            let mut status = self.state.edit();
            let connect = status.connect.get_or_insert_default();
            (connect.connector, connect.version, connect.tasks) = (seen.connector, seen.version, seen.tasks);
            self.uplink.requests.tell(connect);
        }
        let Some(failure) = failure else {
            self.restart_at = None;
            return Ok(running);
        };
        let lost = slot::status(&self.sql, &self.slot)
            .await?
            .is_none_or(|slot| slot.wal_status == "lost");
        // A task that is started again goes on with the rows it was sending once more. Where it cannot read their table it fails again
        // (`IncrementalSnapshotContext.currentDataCollectionId()` is null), and with it everything else waits; a new worker knows nothing of them.
        let sends_again = self.resnapshot.as_ref().is_some_and(Resnapshot::runs);
        if lost || self.snapshot.is_some() || sends_again {
            // Lost, or with a snapshot, the next session begins with a new slot and snapshot.
            return Err(Error::Failed(failure));
        }
        self.state
            .explain(ConnectorPhase::Failing, format!("Debezium: {failure}"));
        let uplink = self.uplink;
        let at = *self
            .restart_at
            .get_or_insert_with(|| Instant::now() + uplink.pause_after_failure());
        if Instant::now() >= at {
            self.restart_at = None;
            self.state.edit().connect.get_or_insert_default().restarts += 1;
            self.rest.restart_failed().await?;
        }
        Ok(false)
    }

    fn hide(&self, said: &str) -> String {
        hide(said, &self.uplink.template, &self.uplink.secrets)
    }

    /// Marks the snapshot as sent once Kafka has its last row.
    async fn finish_snapshot(&mut self) -> Result<(), Error> {
        if let Some(tables) = &self.snapshot {
            self.state.phase(ConnectorPhase::Snapshotting);
            let active = slot::status(&self.sql, &self.slot)
                .await?
                .is_some_and(|slot| slot.active);
            let sent = match self.rest.offset().await? {
                Offset::Streaming => true,
                Offset::Snapshotting => false,
                // Nothing was sent because there is nothing: rows that come now are in the stream.
                Offset::None if active && snapshot::are_empty(&self.sql, tables).await? => {
                    self.empty_since.get_or_insert_with(Instant::now).elapsed() >= EMPTY_FOR
                }
                Offset::None => {
                    self.empty_since = None;
                    false
                }
            };
            if !sent || !active {
                return Ok(());
            }
            slot::complete(&self.sql, &self.slot).await?;
            self.snapshot = None;
        }
        self.state.phase(ConnectorPhase::Streaming);
        self.uplink.requests.done(|request| self.asked.contains(request));
        Ok(())
    }

    /// Has rows sent once more that are asked for, with a worker that is `fresh` also those that were asked for before.
    async fn send_again(&mut self, fresh: bool) -> Result<(), Error> {
        let asked = self.uplink.resnapshots.take();
        let mut failed = None;
        if fresh || asked.is_some() || self.resnapshot.as_ref().is_some_and(Resnapshot::is_due) {
            let (_, end) = self.ends;
            let notifications = Notifications::of(&self.uplink.launch.folder);
            self.resnapshot = Resnapshot::begin(&self.sql, &self.topic, end, notifications, asked.as_ref()).await?;
        } else if let Some(resnapshot) = self.resnapshot.as_mut().filter(|resnapshot| resnapshot.runs()) {
            // In this order: what Connect has written down lies before the topic's end.
            let offset = self.rest.incremental().await?;
            let end = self.topic.end().await?.unwrap_or_default();
            failed = resnapshot.look(&self.sql, offset, end).await?;
        } else {
            return Ok(());
        }
        let now = self.resnapshot.as_ref().map(|resnapshot| resnapshot.status().clone());
        let before = std::mem::replace(&mut self.state.edit().resnapshot, now.clone());
        if let Some(now) = now {
            book::announce(before.as_ref(), &now);
        }
        failed.map_or(Ok(()), |why| Err(Error::Failed(why)))
    }

    /// What is measured goes out together: whoever sees a position confirmed sees, too, that records moved before it.
    async fn measure(&mut self) -> Result<(), Error> {
        let slot = slot::status(&self.sql, &self.slot).await?;
        let confirmed = slot
            .as_ref()
            .and_then(|slot| slot.confirmed_flush_lsn)
            .unwrap_or_default();
        let lag = slot::lag_bytes(&self.sql, confirmed).await?;
        let end = self.topic.end().await?;
        let now = now_millis();
        let lag_seconds = self.lag.observe(now, Lsn(confirmed.0 + lag), confirmed);
        let (first, last) = self.ends;
        let end = end.unwrap_or(last);
        if end > last {
            self.state.probe().moved();
        }
        self.ends = (first, end);
        let mut status = self.state.edit();
        status.records_acknowledged += (end - last).max(0).unsigned_abs();
        if self.snapshot.is_some() {
            status.snapshot_rows = (end - first).max(0).unsigned_abs();
        }
        status.slot = slot;
        status.lag_bytes = (confirmed > Lsn(0)).then_some(lag);
        status.lag_seconds = lag_seconds;
        status.measured_at = Some(now);
        Ok(())
    }
}
