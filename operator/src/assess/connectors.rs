//! ConnectorsRun, and how far it is with what people ask of connectors.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use synccluster_protocol::Site;
use synccluster_protocol::status::{ConnectStatus, ConnectorPhase, RequestKind};

use super::{Verdict, list, number, whole_second};
use crate::api::{ConnectorRequest, ConnectorRequestState, ConnectorState, SyncClusterStatus, TaskState};
use crate::observe::Observed;
use crate::plan::hash;
use crate::validate::ValidatedCluster;
use crate::validate::connector::{Engine, Request};

/// Whether every site's connector does its work, as far as it is told to: one that is cut or asked to wait does.
pub(super) fn run(cluster: &ValidatedCluster, observed: &Observed) -> Verdict {
    if let Engine::Debezium(debezium) = &cluster.engine
        && let Err(wrong) = &debezium.templates
    {
        return Verdict::no(
            "TemplateRefused",
            format!("{wrong}; connectors that run go on as they are"),
        );
    }
    let said = |phase: ConnectorPhase| {
        let connectors = observed.connectors.iter();
        connectors.filter(move |(_, connector)| connector.phase == phase)
    };
    let failing: Vec<String> = said(ConnectorPhase::Failing)
        .map(|(site, connector)| {
            format!(
                "{site}: {}",
                connector.error.as_deref().unwrap_or("it does not say why")
            )
        })
        .collect();
    if !failing.is_empty() {
        return Verdict::no(
            "ConnectorFailing",
            format!("{}; it is tried again", failing.join("; also: ")),
        );
    }
    let names = |sites: Vec<Site>| list(sites.iter().map(ToString::to_string).collect());
    let unseen: Vec<Site> = cluster
        .sites()
        .filter(|site| !observed.connectors.contains_key(site))
        .collect();
    if !unseen.is_empty() {
        return Verdict::unknown(
            "CannotSee",
            format!("the connector of {} could not be asked", names(unseen)),
        );
    }
    let starting: Vec<Site> = said(ConnectorPhase::Starting).map(|(site, _)| *site).collect();
    if !starting.is_empty() {
        return Verdict::no("Starting", format!("the connector of {} starts", names(starting)));
    }
    let paused: Vec<Site> = said(ConnectorPhase::Paused).map(|(site, _)| *site).collect();
    if !paused.is_empty() {
        let message = format!(
            "{} waits because somebody asked it to, and keeps its WAL: annotate the SyncCluster with synccluster.dev/connector-resume",
            names(paused)
        );
        return Verdict::no("Paused", message);
    }
    Verdict::yes("Running", "every connector does its work")
}

/// What Kafka Connect says of a site's connector.
pub fn state(connect: &ConnectStatus) -> ConnectorState {
    let task = |task: &synccluster_protocol::status::ConnectTask| TaskState {
        id: task.id.into(),
        state: task.state.clone(),
        error: task.error.clone(),
    };
    ConnectorState {
        state: connect.connector.clone(),
        version: connect.version.clone(),
        tasks: connect.tasks.iter().map(task).collect(),
        restarts: number(connect.restarts),
    }
}

/// The word for it in annotations and in the status.
pub fn word(what: RequestKind) -> &'static str {
    match what {
        RequestKind::Restart => "restart",
        RequestKind::Pause => "pause",
        RequestKind::Resume => "resume",
        RequestKind::Reset => "reset",
    }
}

/// One entry an annotation. A request keeps the name it got when it was first seen, until it is done: the same annotation written again later
/// is another request.
pub fn requests(
    cluster: &ValidatedCluster,
    observed: &Observed,
    previous: &SyncClusterStatus,
    now: Timestamp,
) -> Vec<ConnectorRequest> {
    let asked = cluster.connector_requests.iter();
    asked
        .map(|asked| {
            let what = word(asked.what).to_owned();
            let mut before = previous.connector_requests.iter();
            let before = before.find(|before| before.what == what && before.requested == asked.written);
            let (id, since) = match before {
                Some(before) => (before.id.clone(), before.since.clone()),
                None => (
                    hash(&(&cluster.uid, &what, now.as_microsecond())),
                    Some(Time(whole_second(now))),
                ),
            };
            let (state, message) = progress(cluster, observed, asked, &id);
            ConnectorRequest {
                what,
                requested: asked.written.clone(),
                id,
                since,
                state,
                message,
            }
        })
        .collect()
}

fn progress(
    cluster: &ValidatedCluster,
    observed: &Observed,
    asked: &Request,
    id: &str,
) -> (ConnectorRequestState, String) {
    let sites = match (&asked.sites, &cluster.engine) {
        (Err(why), _) => return (ConnectorRequestState::Refused, why.clone()),
        (_, Engine::Native) => {
            let why = "spec.connector.engine is Native: only connectors of engine Debezium can be asked; to restart the native one, delete its pod, and to \
                       send every row once more annotate with synccluster.dev/resnapshot";
            return (ConnectorRequestState::Refused, why.to_owned());
        }
        (Ok(sites), Engine::Debezium(_)) => sites,
    };
    let left: Vec<String> = sites
        .iter()
        .filter(|site| !is_done(observed, **site, asked.what, id))
        .map(|site| {
            let phase = observed
                .connectors
                .get(site)
                .map(|connector| format!("{:?}", connector.phase));
            format!("{site} ({})", phase.unwrap_or_else(|| "could not be asked".to_owned()))
        })
        .collect();
    if left.is_empty() {
        (
            ConnectorRequestState::Done,
            "every connector that was asked has done it".to_owned(),
        )
    } else {
        (
            ConnectorRequestState::Waiting,
            format!("not done yet by {}", left.join(", ")),
        )
    }
}

/// Whether the connector of a site has done this.
pub fn is_done(observed: &Observed, site: Site, what: RequestKind, id: &str) -> bool {
    let connect = observed
        .connectors
        .get(&site)
        .and_then(|connector| connector.connect.as_ref());
    connect.is_some_and(|connect| connect.done.iter().any(|done| done.what == what && done.id == id))
}
