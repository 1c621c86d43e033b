//! All runs: those that go on here, and those whose journals are there.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use synccluster_protocol::Site;
use synccluster_runtime::clock::now_millis;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use crate::{
    deltas::Writing,
    journal::{self, Begin, End, Folder, Order, Record, Writer},
    load::{Before, Loader},
    prepare,
    run::{Control, Phase, Progress, Run},
    sites::Sites,
    verify,
};

/// Why something cannot be done with runs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// One at a time.
    #[error("run {0} is going on, and two would disturb each other: wait for it, or stop it")]
    Busy(String),
    /// Preparing it failed.
    #[error(transparent)]
    Prepare(#[from] prepare::Error),
    /// Its journal.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// It cannot be told that.
    #[error("{0}")]
    Ended(String),
    /// Checking it failed.
    #[error(transparent)]
    Verify(#[from] verify::Error),
}

/// All of them.
pub struct Runs {
    /// The sites.
    pub sites: Sites,
    journals: Folder,
    known: Mutex<HashMap<String, Arc<Run>>>,
    one: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl Runs {
    /// With these sites, and the journals of this folder.
    pub fn new(sites: Sites, journals: Folder) -> Self {
        Self {
            sites,
            journals,
            known: Mutex::default(),
            one: Arc::new(Semaphore::new(1)),
            tasks: TaskTracker::new(),
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Arc<Run>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self) -> Result<OwnedSemaphorePermit, Error> {
        Arc::clone(&self.one).try_acquire_owned().map_err(|_| {
            let going = |run: &Arc<Run>| matches!(run.edit().phase, Phase::Running | Phase::Paused);
            let name = self
                .known()
                .iter()
                .find(|(_, run)| going(run))
                .map(|(id, _)| id.clone());
            Error::Busy(name.unwrap_or_else(|| "being prepared".to_owned()))
        })
    }

    /// Begins a run.
    pub async fn begin(&self, order: Order) -> Result<Arc<Run>, Error> {
        let permit = self.enter()?;
        let at = now_millis();
        let create = |kind: &str, begin: Begin| -> Result<(String, Writer), journal::Error> {
            let (id, mut writer) = self.journals.create(kind)?;
            writer.append(&Record::Begin(begin))?;
            Ok((id, writer))
        };
        match &order {
            Order::Load(load) => {
                let (client, values) = prepare::load(load, &self.sites, &self.journals).await?;
                let (id, writer) = create("load", prepare::begin(&order, &values, at))?;
                let planned = (0..values.tables().count()).map(|place| values.rows(place).count).sum();
                let run = self.start(Progress::new(id, order.clone(), at, Some(planned)));
                let loading = (load.site, client, Arc::new(values), Before::default());
                self.spawn(
                    permit,
                    Arc::clone(&run),
                    async |run, writer| load_all(loading, run, writer).await,
                    writer,
                );
                Ok(run)
            }
            Order::Deltas(deltas) => {
                let (values, known) = prepare::deltas(deltas, &self.sites, &self.journals).await?;
                let (id, writer) = create("deltas", prepare::begin(&order, &values, at))?;
                let run = self.start(Progress::new(id, order.clone(), at, deltas.operations));
                let writing = Writing {
                    order: deltas.clone(),
                    values: Arc::new(values),
                    known,
                    sites: self.sites.clone(),
                    run: Arc::clone(&run),
                };
                let write = async |_: Arc<Run>, writer| {
                    let (end, writer) = writing.write(writer).await.map_err(|error| error.to_string())?;
                    Ok((end, writer))
                };
                self.spawn(permit, Arc::clone(&run), write, writer);
                Ok(run)
            }
        }
    }

    /// Goes on with what was paused; or with a load that was stopped, failed or was interrupted.
    pub async fn resume(&self, id: &str) -> Result<Progress, Error> {
        let progress = self.get(id)?;
        match (&progress.order, progress.phase) {
            (_, Phase::Running | Phase::Paused) => self.tell(id, Control::Go),
            (_, Phase::Done) => Err(Error::Ended(format!("run {id} is done; begin another"))),
            (Order::Deltas(_), _) => {
                let why = "what it had planned next cannot be told apart from what was done since; begin another";
                Err(Error::Ended(format!(
                    "run {id} has ended, and deltas are not resumed: {why}"
                )))
            }
            (Order::Load(load), _) => {
                let permit = self.enter()?;
                let writer = self.journals.append(id)?;
                let Some(Record::Begin(begin)) = self.journals.read(id)?.next()? else {
                    return Err(Error::Ended(format!("run {id} had not begun; begin another")));
                };
                let before = Before::read(self.journals.read(id)?)?;
                let (client, values) = prepare::resume(load, &begin, &self.sites).await?;
                let run = self.start(Progress::new(
                    id.to_owned(),
                    progress.order.clone(),
                    begin.at,
                    progress.planned,
                ));
                let loading = (load.site, client, Arc::new(values), before);
                self.spawn(
                    permit,
                    Arc::clone(&run),
                    async |run, writer| load_all(loading, run, writer).await,
                    writer,
                );
                Ok(run.progress())
            }
        }
    }

    fn start(&self, progress: Progress) -> Arc<Run> {
        let id = progress.id.clone();
        let run = Arc::new(Run::new(progress));
        self.known().insert(id, Arc::clone(&run));
        run
    }

    fn spawn<W, F>(&self, permit: OwnedSemaphorePermit, run: Arc<Run>, work: W, writer: Writer)
    where
        W: FnOnce(Arc<Run>, Writer) -> F,
        F: Future<Output = Result<(End, Writer), String>> + Send + 'static,
    {
        let working = work(Arc::clone(&run), writer);
        self.tasks.spawn(async move {
            let ended = match working.await {
                Ok((end, mut writer)) => writer
                    .append(&Record::Took {
                        millis: u64::try_from(run.elapsed().as_millis()).unwrap_or(u64::MAX),
                    })
                    .and_then(|()| writer.append(&Record::End(end.clone())))
                    .and_then(|()| writer.sync())
                    .map(|()| end),
                Err(reason) => Ok(End::Failed(reason)),
            };
            let (phase, error) = match ended {
                Ok(End::Done) => (Phase::Done, None),
                Ok(End::Stopped) => (Phase::Stopped, None),
                Ok(End::Failed(reason)) => (Phase::Failed, Some(reason)),
                Err(error) => (Phase::Failed, Some(error.to_string())),
            };
            if let Some(error) = &error {
                tracing::warn!(run = run.edit().id, error, "run failed");
            } else {
                tracing::info!(run = run.edit().id, ?phase, "run ended");
            }
            // Whoever sees that it has ended may begin another.
            drop(permit);
            run.ended(phase, error);
        });
    }

    /// All runs, oldest first.
    pub fn list(&self) -> Result<Vec<Progress>, Error> {
        self.journals.runs()?.iter().map(|id| self.get(id)).collect()
    }

    /// One.
    pub fn get(&self, id: &str) -> Result<Progress, Error> {
        if let Some(run) = self.known().get(id).cloned() {
            return Ok(run.progress());
        }
        Ok(recall(&self.journals, id)?)
    }

    /// Tells a run something.
    pub fn tell(&self, id: &str, control: Control) -> Result<Progress, Error> {
        let run = self.known().get(id).cloned();
        let Some(run) = run.filter(|run| matches!(run.edit().phase, Phase::Running | Phase::Paused)) else {
            let progress = self.get(id)?;
            return Err(Error::Ended(
                format!("run {id} is not going on here: it is {:?}", progress.phase).to_lowercase(),
            ));
        };
        run.tell(control);
        Ok(run.progress())
    }

    /// Removes a run that has ended, with its journal: what it wrote cannot be checked any more.
    pub fn remove(&self, id: &str) -> Result<(), Error> {
        if matches!(self.get(id)?.phase, Phase::Running | Phase::Paused) {
            return Err(Error::Ended(format!("run {id} is going on: stop it first")));
        }
        self.journals.remove(id)?;
        self.known().remove(id);
        Ok(())
    }

    /// Checks what a run was acknowledged. What is missing is looked for again for so long.
    pub async fn verify(&self, id: &str, at: &[Site], patience: Duration) -> Result<verify::Report, Error> {
        Ok(verify::verify(&self.sites, at, &self.journals, id, patience).await?)
    }

    /// Stops what goes on and waits for it.
    pub async fn shut_down(&self) {
        for run in self.known().values() {
            run.tell(Control::Stop);
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// What goes on.
    pub fn going_on(&self) -> Vec<Progress> {
        let runs: Vec<Arc<Run>> = self.known().values().cloned().collect();
        runs.iter().map(|run| run.progress()).collect()
    }
}

type Loading = (Site, tokio_postgres::Client, Arc<crate::values::Values>, Before);

async fn load_all(
    (site, client, values, before): Loading,
    run: Arc<Run>,
    mut writer: Writer,
) -> Result<(End, Writer), String> {
    let mut loader = Loader {
        site,
        client: &client,
        values,
        journal: &mut writer,
        run: &run,
    };
    let end = loader.load(before).await.map_err(|error| error.to_string())?;
    Ok((end, writer))
}

/// What a run came to, from its journal.
fn recall(journals: &Folder, id: &str) -> Result<Progress, journal::Error> {
    let mut reader = journals.read(id)?;
    let Some(Record::Begin(begin)) = reader.next()? else {
        return Err(journal::Error::NoRun(id.to_owned()));
    };
    let order: Order = serde_json::from_str(&begin.order).map_err(|_| journal::Error::NoRun(id.to_owned()))?;
    let planned = match &order {
        Order::Load(_) => Some(begin.rows.iter().map(|(_, count)| count).sum()),
        Order::Deltas(deltas) => deltas.operations,
    };
    let mut progress = Progress::new(id.to_owned(), order, begin.at, planned);
    let mut phase = if journals.is_open(id) {
        Phase::Running
    } else {
        Phase::Interrupted
    };
    let mut took = Duration::ZERO;
    let mut sent: HashMap<u64, (Site, Vec<u16>)> = HashMap::new();
    let name = |table: u16| begin.tables.get(usize::from(table)).cloned().unwrap_or_default();
    while let Some(record) = reader.next()? {
        match record {
            Record::Chunk {
                number,
                site,
                table,
                rows,
                ..
            } => drop(sent.insert(number, (site, vec![table; rows as usize]))),
            Record::Batch { number, site, writes } => {
                sent.insert(number, (site, writes.iter().map(|write| write.table).collect()));
            }
            Record::Loaded { number } => {
                if let Some((site, tables)) = sent.remove(&number) {
                    let table = tables.first().copied().unwrap_or_default();
                    progress.acknowledge(site, &name(table), tables.len() as u64);
                }
            }
            Record::Acknowledged { number, versions } => {
                let (site, tables) = sent.remove(&number).unwrap_or((Site::Server, Vec::new()));
                for (table, version) in tables.into_iter().zip(versions) {
                    match version {
                        0 => progress.missed += 1,
                        _ => progress.acknowledge(site, &name(table), 1),
                    }
                }
            }
            Record::Undone { number } => drop(sent.remove(&number)),
            Record::Took { millis } => took += Duration::from_millis(millis),
            Record::End(end) => {
                (phase, progress.error) = match end {
                    End::Done => (Phase::Done, None),
                    End::Stopped => (Phase::Stopped, None),
                    End::Failed(reason) => (Phase::Failed, Some(reason)),
                }
            }
            Record::Begin(_) | Record::Numbers { .. } => {}
        }
    }
    progress.unknown = sent.values().map(|(_, tables)| tables.len() as u64).sum();
    progress.phase = phase;
    progress.took(took);
    Ok(progress)
}
