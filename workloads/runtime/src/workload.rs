//! What connector and sink have in common: both move records between a site's Postgres and Kafka, in sessions, each from a usable link until
//! the link is cut, something fails, or the process is to stop; and both tell what they do.

use std::{
    fmt::{Debug, Display},
    future::Future,
    pin::Pin,
    process::ExitCode,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::Router;
use serde::Serialize;
use synccluster_protocol::{ClusterName, Site, status::LinkStatus};
use tokio::time;
use tokio_util::sync::CancellationToken;

use crate::{
    config::Common,
    health::{self, Health, Metric, Pulse},
    kafka::{Kafka, Refused, Turned},
    link::{Over, Probe, Verdict},
    postgres::PostgresSecret,
    telemetry,
};

/// Between a failure and the next try.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The same where somebody else's brokers do not take us: only a person changes that, and each try is a handshake of theirs.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// How often it says it is alive while it waits for the link.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// A connector or a sink.
pub trait Workload: Sized + Send + Sync + 'static {
    /// Its document at `/status`.
    type Status: Clone + Serialize + Send;
    /// What it may be doing.
    type Phase: Copy + Debug + PartialEq + Send;
    /// Why a session failed.
    type Error: Display + Send;

    /// Its name in logs.
    const NAME: &'static str;
    /// The phases all have.
    const PHASES: Phases<Self::Phase>;

    /// The document at the start.
    fn status(cluster: ClusterName, site: Site) -> Self::Status;

    /// What all documents have.
    fn parts(status: &mut Self::Status) -> Parts<'_, Self::Phase>;

    /// What a document says as numbers.
    fn metrics(status: &Self::Status) -> Vec<Metric>;

    /// One session. It is dropped when the link is cut or the process is to stop, and everything it holds is closed by that; what it was in
    /// the middle of begins again from what is stored.
    fn session(&self, state: &State<Self>) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Called again and again while the link is not usable; returns after some seconds at most.
    fn wait(&self, _state: &State<Self>) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(SIGN_OF_LIFE)
    }

    /// What it can be asked over HTTP, beside what every workload can.
    fn routes(&self) -> Router {
        Router::new()
    }

    /// What goes on beside the sessions, whatever the link does.
    fn beside(&self, _state: Arc<State<Self>>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async {})
    }
}

/// The phases every workload has.
pub struct Phases<P> {
    /// Connecting.
    pub starting: P,
    /// Doing its work: what failed before is over.
    pub working: P,
    /// Kafka cannot be reached: waiting is its work then.
    pub cut: P,
    /// Something failed and is tried again.
    pub failing: P,
}

/// The parts of a document that every workload has.
pub struct Parts<'a, P> {
    /// What it is doing.
    pub phase: &'a mut P,
    /// Its way to Kafka.
    pub link: &'a mut LinkStatus,
    /// What failed last.
    pub error: &'a mut Option<String>,
}

/// What a workload tells of itself, shared between its sessions and the health endpoints.
pub struct State<W: Workload> {
    status: Mutex<W::Status>,
    labels: String,
    pulse: Pulse,
    probe: Probe,
}

impl<W: Workload> State<W> {
    /// At the start; begins to probe the way to Kafka.
    pub fn new(cluster: ClusterName, site: Site, kafka: &Kafka) -> Self {
        Self {
            labels: format!("cluster=\"{cluster}\",site=\"{site}\""),
            status: Mutex::new(W::status(cluster, site)),
            pulse: Pulse::default(),
            probe: Probe::start(kafka),
        }
    }

    /// The way to Kafka.
    pub fn probe(&self) -> &Probe {
        &self.probe
    }

    /// The document, to change.
    pub fn edit(&self) -> MutexGuard<'_, W::Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The main loop is going round.
    pub fn alive(&self) {
        self.pulse.beat();
    }

    /// Changes what it is doing; says so once.
    pub fn phase(&self, phase: W::Phase) {
        self.alive();
        let mut status = self.edit();
        let parts = W::parts(&mut status);
        if *parts.phase != phase {
            tracing::info!(?phase, "{}", W::NAME);
            *parts.phase = phase;
        }
        if phase == W::PHASES.working {
            *parts.error = None;
        }
    }

    /// Changes what it is doing, and says why.
    pub fn explain(&self, phase: W::Phase, reason: String) {
        self.phase(phase);
        *W::parts(&mut self.edit()).error = Some(reason);
    }
}

impl<W: Workload> Health for State<W> {
    type Status = W::Status;

    fn live(&self) -> Result<(), String> {
        self.pulse.check()
    }

    fn ready(&self) -> Result<(), String> {
        let mut status = self.edit();
        let parts = W::parts(&mut status);
        if *parts.phase == W::PHASES.starting || *parts.phase == W::PHASES.failing {
            let phase = format!("{:?}", parts.phase).to_lowercase();
            return Err(parts.error.clone().unwrap_or(phase));
        }
        Ok(())
    }

    fn status(&self) -> W::Status {
        let mut status = self.edit().clone();
        *W::parts(&mut status).link = self.probe.status();
        status
    }

    fn metrics(&self) -> String {
        let metrics = W::metrics(&self.status());
        metrics.iter().map(|metric| metric.text(&self.labels)).collect()
    }
}

/// Runs sessions until `stop`.
pub async fn supervise<W: Workload>(workload: W, state: Arc<State<W>>, stop: CancellationToken) {
    let beside = tokio::spawn(workload.beside(Arc::clone(&state)));
    while !stop.is_cancelled() {
        let verdict = state.probe().verdict();
        if verdict != Verdict::Usable {
            if verdict == Verdict::Cut {
                state.phase(W::PHASES.cut);
            } else if let Some(problem) = state.probe().problem() {
                // Never dialled yet: nothing else would say why it does not begin.
                state.explain(W::PHASES.failing, problem);
            }
            state.alive();
            tokio::select! {
                () = stop.cancelled() => {}
                () = state.probe().wait_for(Verdict::Usable) => {}
                () = workload.wait(&state) => {}
            }
            continue;
        }
        let (error, pause) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            over = state.probe().over() => match over {
                Over::Cut => {
                    tracing::warn!("the link to Kafka is cut: every connection is closed");
                    continue;
                }
                Over::Turned(Turned::Renewed) => {
                    tracing::info!("the secret of Kafka has changed: going on with what it says now");
                    continue;
                }
                Over::Turned(Turned::Refused(refused)) => (refused.to_string(), ASK_AGAIN_AFTER),
            },
            ended = checked(&workload, &state) => match ended {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => (error.to_string(), RETRY_AFTER),
                Err(refused) => (refused.to_string(), ASK_AGAIN_AFTER),
            },
        };
        tracing::warn!(error, "session ended; trying again");
        state.explain(W::PHASES.failing, error);
        tokio::select! { () = stop.cancelled() => {}, () = state.probe().kafka().renewed() => {}, () = time::sleep(pause) => {} }
    }
    beside.abort();
}

/// A session, if the brokers take us: librdkafka would try for ever and say nothing.
async fn checked<W: Workload>(workload: &W, state: &State<W>) -> Result<Result<(), W::Error>, Refused> {
    state.probe().kafka().check().await?;
    Ok(workload.session(state).await)
}

/// The life of a workload's process, from what it is told to its exit code.
pub async fn run<W: Workload>(common: Common, workload: impl FnOnce(Common, PostgresSecret) -> W) -> ExitCode {
    telemetry::init();
    let (listen, stop) = (common.listen, CancellationToken::new());
    let state = Arc::new(State::new(common.cluster.clone(), common.site, &common.kafka.kafka()));
    // What it lacks is told like everything else that fails, and looked for again.
    let postgres = PostgresSecret::at(&common.postgres_secret);
    let workload = workload(common, postgres);
    let routes = workload.routes();
    let work = tokio::spawn(supervise(workload, Arc::clone(&state), stop.clone()));
    health::run_with(listen, state, routes, work, stop).await
}
