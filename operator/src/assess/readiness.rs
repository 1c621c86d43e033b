//! Ready, Reconciling, Stalled, with the meaning kstatus gives them. They speak of the sites, Kafka and the counter nodes; Ready's message mentions a gateway that
//! is not there, and no more: it must not hide that the sites are fine.

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;
use synccluster_protocol::Site;
use synccluster_protocol::status::Dial;

use super::{Verdict, analytics, gateway, list};
use crate::names::{self, Component, UNDER_WAY_ANNOTATION};
use crate::observe::{Observed, PodFact, Problem};
use crate::rollout::Rollout;
use crate::validate::{Migrations, ValidatedCluster};

/// The three conditions, and how many clients are ready.
pub struct Readiness {
    pub ready: Verdict,
    pub reconciling: Verdict,
    pub stalled: Verdict,
    pub ready_clients: i32,
}

/// Whether everything runs, and if not, whether waiting helps.
pub fn assess(cluster: &ValidatedCluster, observed: &Observed, gateway: &Verdict, now: Timestamp) -> Readiness {
    let rollout = observed.outcome.rollout.as_ref();
    // A database that waits for its turn runs as it is meant to for now.
    let waits = |pod: &PodFact| {
        let site = pod.site.filter(|_| pod.component == Component::Postgres);
        site.is_some_and(|site| rollout.is_some_and(|rollout| rollout.waiting.contains(&site)))
    };
    let runs = |pod: &&PodFact| pod.ready && !pod.terminating && (pod.current || waits(pod));
    let has = |site: Site, component: Component| {
        observed
            .pods
            .iter()
            .filter(runs)
            .any(|pod| pod.site == Some(site) && pod.component == component)
    };
    let parts = [Component::Postgres, Component::Connector, Component::Sink];
    let missing = cluster
        .sites()
        .flat_map(|site| parts.map(|part| (site, part)))
        .filter(|&(site, part)| part != Component::Postgres || cluster.external_postgres(site).is_none())
        .filter(|&(site, part)| !has(site, part));
    let mut waiting: Vec<String> = missing
        .map(|(site, part)| match part {
            Component::Postgres => names::site(&cluster.name, site),
            _ => names::of_site(&cluster.name, site, part.as_str()),
        })
        .collect();
    let brokers = observed
        .pods
        .iter()
        .filter(runs)
        .filter(|pod| pod.component == Component::Kafka)
        .count();
    match &cluster.kafka.external {
        None if brokers < usize::from(cluster.kafka.brokers) => waiting.insert(0, names::kafka(&cluster.name)),
        Some(external) if observed.kafka != Dial::Open => {
            waiting.insert(
                0,
                format!("Kafka at {} to answer the operator", external.bootstrap_servers),
            );
        }
        _ => {}
    }
    let pods: Vec<&PodFact> = observed.pods.iter().filter(runs).collect();
    let nodes = cluster.counters().map(|node| names::counter_pod(&cluster.name, node));
    waiting.extend(nodes.filter(|name| pods.iter().all(|pod| pod.name != *name)));
    let clients = cluster
        .sites()
        .filter(|site| *site != Site::Server && parts.iter().all(|&part| has(*site, part)))
        .count();
    let ready_clients = i32::try_from(clients).unwrap_or(i32::MAX);

    let problems = problems(cluster, observed, now);
    let changing = rollout.map(|rollout| changing(cluster, rollout));
    let Some(first) = problems.first() else {
        let (ready, reconciling) = settling(cluster, observed, gateway, waiting, changing);
        return Readiness {
            ready,
            reconciling,
            stalled: Verdict::no("NoProblem", "nothing stands in the way"),
            ready_clients,
        };
    };
    let mut message = problems
        .iter()
        .take(3)
        .map(|problem| problem.message.as_str())
        .collect::<Vec<_>>()
        .join("; also: ");
    if problems.len() > 3 {
        message = format!("{message}; and {} more, see status.sites", problems.len() - 3);
    }
    if let Some(changing) = changing {
        message = format!("{message}; {changing}");
    }
    // What is in the way may concern one site only; Ready speaks of all.
    Readiness {
        ready: Verdict::no(first.reason, message.clone()),
        reconciling: Verdict::no(first.reason, "waiting for somebody to act, see condition Stalled"),
        stalled: Verdict::yes(first.reason, message),
        ready_clients,
    }
}

/// Ready and Reconciling where nothing stands in the way.
fn settling(
    cluster: &ValidatedCluster,
    observed: &Observed,
    gateway: &Verdict,
    waiting: Vec<String>,
    changing: Option<String>,
) -> (Verdict, Verdict) {
    let awaited = (!waiting.is_empty()).then(|| format!("waiting for {}", list(waiting)));
    let (reason, message) = match (changing, awaited) {
        (None, None) => {
            let clients = several(cluster.clients.into(), "client");
            let message = match cluster.counter.nodes.into() {
                0 => format!("Kafka, the server and {clients} run"),
                nodes => format!(
                    "Kafka, the server, {clients} and {} run",
                    several(nodes, "counter node")
                ),
            };
            let message = format!("{message}{}{}", besides(gateway), aside(cluster, observed));
            return (
                Verdict::yes("Running", message),
                Verdict::no("Settled", "sites and Kafka are as planned"),
            );
        }
        (None, Some(awaited)) => ("Starting", awaited),
        (Some(changing), None) => ("RollingOut", changing),
        (Some(changing), Some(awaited)) => ("RollingOut", format!("{changing}; {awaited}")),
    };
    (Verdict::no(reason, message.clone()), Verdict::yes(reason, message))
}

/// What is said while databases change: who waits for whom, and how to get on where that does not become ready.
fn changing(cluster: &ValidatedCluster, rollout: &Rollout) -> String {
    let named = |sites: &BTreeSet<Site>| {
        let names = sites.iter().rev().map(|site| names::site(&cluster.name, *site));
        list(names.collect())
    };
    let (under_way, waiting) = (named(&rollout.under_way), named(&rollout.waiting));
    if waiting.is_empty() {
        return format!("databases change one at a time: {under_way} now, the last");
    }
    format!(
        "databases change one at a time: {under_way} now, and until it is ready {waiting} stay as they are. A change that \
         keeps it from being ready can be corrected or taken back in spec.postgres; if something else does, the others go \
         on without it after kubectl -n {} annotate statefulset {} {UNDER_WAY_ANNOTATION}-",
        cluster.namespace,
        under_way.replace(',', " ")
    )
}

/// What Ready says of the gateway.
fn besides(gateway: &Verdict) -> String {
    match (gateway.status, gateway.reason) {
        ("True", _) => ", and the gateway".to_owned(),
        (_, "NoGateway") => String::new(),
        _ => format!("; the gateway is not ready: {}", gateway.message),
    }
}

/// What sites do not need: Ready does not wait for it, and says what keeps it from running.
const ASIDE: [(Component, &str); 4] = [
    (Component::Seeder, "the seeder"),
    (Component::Console, "the console"),
    (Component::Superset, "Superset"),
    (Component::Notebooks, "JupyterLab"),
];

/// What Ready says of those of them that are wanted and do not run.
fn aside(cluster: &ValidatedCluster, observed: &Observed) -> String {
    let wanted = [
        cluster.seeder.is_some(),
        cluster.console.is_some(),
        cluster.superset.is_some(),
        cluster.notebooks.is_some(),
    ];
    let mut said = String::new();
    for ((component, name), _) in ASIDE.into_iter().zip(wanted).filter(|(_, wanted)| *wanted) {
        let mut pods = observed.pods.iter().filter(|pod| pod.component == component);
        match pods.find(|pod| !pod.terminating) {
            Some(pod) if pod.ready => {}
            Some(PodFact {
                problem: Some(problem), ..
            }) => {
                said = format!("{said}; {name} is not ready: {}", problem.message);
            }
            _ => said = format!("{said}; {name} starts"),
        }
    }
    said
}

fn problems(cluster: &ValidatedCluster, observed: &Observed, now: Timestamp) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(external) = &cluster.kafka.external {
        let of_secret = external.problem(&cluster.namespace, now);
        let refused = observed.kafka_refused.clone().map(|refused| ("KafkaRefused", refused));
        problems.extend(
            of_secret
                .or(refused)
                .map(|(reason, message)| Problem { reason, message }),
        );
    }
    problems.extend(observed.server.as_ref().and_then(|server| server.problem.clone()));
    if let Migrations::Missing { config_map } = &cluster.migrations {
        problems.push(Problem {
            reason: "MigrationsNotFound",
            message: format!(
                "ConfigMap {config_map} does not exist in namespace {}: create it with files such as V1__create_todos.sql, or correct \
                 spec.schema.migrations.configMap.name; new connectors wait for it, those that run go on",
                cluster.namespace
            ),
        });
    }
    let refused = observed.outcome.refused.iter();
    let refused =
        refused.filter(|refused| !gateway::concerns(cluster, refused) && !analytics::concerns(cluster, refused));
    problems.extend(refused.map(|refused| Problem {
        reason: "ObjectRefused",
        message: format!("{} {} was refused: {}", refused.kind, refused.name, refused.message),
    }));
    let pods = observed.pods.iter().filter(|pod| {
        let aside = ASIDE.iter().any(|(component, _)| *component == pod.component);
        pod.component != Component::Gateway && !aside && !analytics::is_part(pod)
    });
    problems.extend(pods.filter_map(|pod| pod.problem.clone()));
    problems
}

/// So many of them, in words.
fn several(count: i64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
