//! All runs: those that go on here, and those whose journals are there.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use synccluster_protocol::Site;
use synccluster_runtime::clock::now_millis;
use tokio::{task::JoinSet, time};
use tokio_util::task::TaskTracker;

use crate::{
    deltas::Writing,
    journal::{self, Begin, End, Folder, Order, Record, Turn, Writer},
    load::{Before, Loader},
    prepare,
    recall::recall,
    run::{Control, Phase, Progress, Run},
    sites::Sites,
    verify,
};

/// How soon a run hears what it is told from another process.
const HEARS: Duration = Duration::from_millis(200);

/// Why something cannot be done with runs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// One at a time.
    #[error("run {0} is going on, and two would disturb each other: wait for it, or stop it (`stop {0}`)")]
    Busy(String),
    /// One at a time, and that one has no name yet.
    #[error("another run is being prepared, and two would disturb each other: try again in a moment")]
    Preparing,
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
    tasks: TaskTracker,
}

impl Runs {
    /// With these sites, and the journals of this folder.
    pub fn new(sites: Sites, journals: Folder) -> Self {
        Self {
            sites,
            journals,
            known: Mutex::default(),
            tasks: TaskTracker::new(),
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Arc<Run>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One run at a time, in this process or another that has the same journals: two would make the same rows, and spoil each other's measures.
    fn enter(&self) -> Result<Turn, Error> {
        if let Some(turn) = self.journals.turn()? {
            return Ok(turn);
        }
        let mut runs = self.journals.runs()?.into_iter();
        let open = runs.rfind(|run| self.journals.is_open(run));
        Err(open.map_or(Error::Preparing, Error::Busy))
    }

    /// Begins a run.
    pub async fn begin(&self, order: Order) -> Result<Arc<Run>, Error> {
        let turn = self.enter()?;
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
                    turn,
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
                self.spawn(turn, Arc::clone(&run), write, writer);
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
                let turn = self.enter()?;
                // Before others can see that it goes on: from then on it hears them.
                self.journals.untell(id);
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
                    turn,
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

    fn spawn<W, F>(&self, turn: Turn, run: Arc<Run>, work: W, writer: Writer)
    where
        W: FnOnce(Arc<Run>, Writer) -> F,
        F: Future<Output = Result<(End, Writer), String>> + Send + 'static,
    {
        let working = work(Arc::clone(&run), writer);
        let (journals, id) = (self.journals.clone(), run.edit().id.clone());
        self.tasks.spawn(async move {
            let mut hearing = JoinSet::new();
            let (folder, name, told) = (journals.clone(), id.clone(), Arc::clone(&run));
            hearing.spawn(async move { hear(&folder, &name, &told).await });
            let worked = working.await;
            hearing.shutdown().await;
            let took = run.stop_clock();
            let (ended, writer) = match worked {
                Ok((end, mut writer)) => {
                    let written = writer
                        .append(&Record::Took {
                            millis: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                        })
                        .and_then(|()| writer.append(&Record::End(end.clone())))
                        .and_then(|()| writer.sync())
                        .map(|()| end);
                    (written, Some(writer))
                }
                Err(reason) => (Ok(End::Failed(reason)), None),
            };
            let (phase, error) = match ended {
                Ok(End::Done) => (Phase::Done, None),
                Ok(End::Stopped) => (Phase::Stopped, None),
                Ok(End::Failed(reason)) => (Phase::Failed, Some(reason)),
                Err(error) => (Phase::Failed, Some(error.to_string())),
            };
            if let Some(error) = &error {
                tracing::warn!(run = id, error, "run failed");
            } else {
                tracing::info!(run = id, ?phase, "run ended");
            }
            journals.untell(&id);
            let length = journals.length(&id);
            // Whoever sees that it has ended may begin another: others see it by the journal that is let go, this process by the phase.
            drop(turn);
            drop(writer);
            run.ended(phase, error, length);
        });
    }

    /// All runs, oldest first.
    pub fn list(&self) -> Result<Vec<Progress>, Error> {
        let all = self.journals.runs()?.into_iter();
        all.filter_map(|id| match self.get(&id) {
            // Its process ended before it had begun, or somebody removes it.
            Err(Error::Journal(journal::Error::NoRun(_))) => None,
            got => Some(got),
        })
        .collect()
    }

    /// One.
    pub fn get(&self, id: &str) -> Result<Progress, Error> {
        let known = self.known().get(id).cloned();
        // One that has ended here may have gone on in another process, or may be doing so.
        let newest =
            |run: &Arc<Run>| run.goes_on() || (run.said_all(self.journals.length(id)) && !self.journals.is_open(id));
        match known.filter(newest) {
            Some(run) => Ok(run.progress()),
            None => Ok(recall(&self.journals, id)?),
        }
    }

    /// Tells a run something, wherever it goes on. In another process it hears it a moment later.
    pub fn tell(&self, id: &str, control: Control) -> Result<Progress, Error> {
        let known = self.known().get(id).cloned();
        if let Some(run) = known.filter(|run| run.goes_on()) {
            run.tell(control);
            // It has heard it; this is for others that look whether it waits.
            if let Err(error) = self.journals.tell(id, control) {
                tracing::warn!(run = id, %error, "other processes do not see what the run was told");
            }
            return Ok(run.progress());
        }
        let progress = self.get(id)?;
        if !progress.phase.goes_on() {
            return Err(Error::Ended(
                format!("run {id} is not going on: it is {:?}", progress.phase).to_lowercase(),
            ));
        }
        self.journals.tell(id, control)?;
        self.get(id)
    }

    /// Removes a run that has ended, with its journal: what it wrote cannot be checked any more.
    pub fn remove(&self, id: &str) -> Result<(), Error> {
        if self.get(id)?.phase.goes_on() {
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

/// Does what a run is told from other processes, until it is to end.
async fn hear(journals: &Folder, id: &str, run: &Run) {
    let mut last = None;
    while !run.stopped() {
        // Each word once: what it was told here since counts.
        if let Some(told) = journals.told(id)
            && last.as_ref() != Some(&told)
        {
            // What was said here it has heard, and since then maybe something else.
            if !told.is_own() {
                run.tell(told.control);
            }
            last = Some(told);
        }
        time::sleep(HEARS).await;
    }
}
