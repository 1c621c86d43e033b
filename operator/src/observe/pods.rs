//! What a pod shows of itself, and why it does not run. Pure: a pod as the API server has it in, a fact out.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodStatus};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use synccluster_protocol::Site;

use crate::names::{COMPONENT_LABEL, Component, SITE_LABEL, TEMPLATE_ANNOTATION};

/// A pod of the cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct PodFact {
    /// Its name.
    pub name: String,
    /// What it is.
    pub component: Component,
    /// Whose it is; absent for Kafka, the gateway and counter nodes.
    pub site: Option<Site>,
    /// Its labels: NetworkPolicies select by them.
    pub labels: BTreeMap<String, String>,
    /// Its address, once it has one.
    pub ip: Option<String>,
    /// Its node's address, once it has one.
    pub node_ip: Option<String>,
    /// Whether its containers are ready.
    pub ready: bool,
    /// Whether it was made from the template that is planned now.
    pub current: bool,
    /// Whether it is going away.
    pub terminating: bool,
    /// Why it does not run.
    pub problem: Option<Problem>,
}

/// Something that does not go away by waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Reason of the condition.
    pub reason: &'static str,
    /// What happened and what to do.
    pub message: String,
}

/// The fact of a pod, if it is one of the components.
pub fn fact(pod: &Pod, templates: &BTreeMap<(Component, Option<Site>), String>, now: Timestamp) -> Option<PodFact> {
    let component = Component::parse(pod.labels().get(COMPONENT_LABEL)?)?;
    let site = match pod.labels().get(SITE_LABEL) {
        Some(label) => Some(label.parse().ok()?),
        None => None,
    };
    let status = pod.status.clone().unwrap_or_default();
    let ready = status
        .conditions
        .iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    // No template is planned for what is kept as it is.
    let current = templates
        .get(&(component, site))
        .is_none_or(|hash| pod.annotations().get(TEMPLATE_ANNOTATION) == Some(hash));
    let terminating = pod.metadata.deletion_timestamp.is_some();
    Some(PodFact {
        problem: if ready || terminating {
            None
        } else {
            problem(&pod.name_any(), &status, now)
        },
        name: pod.name_any(),
        component,
        site,
        labels: pod.labels().clone(),
        ip: status.pod_ip.filter(|ip| !ip.is_empty()),
        node_ip: status.host_ip.filter(|ip| !ip.is_empty()),
        ready,
        current,
        terminating,
    })
}

/// The pod of a site's component that is there to stay.
pub fn of_site(pods: &[PodFact], site: Site, component: Component) -> Option<&PodFact> {
    let mut here = pods.iter().filter(|pod| !pod.terminating);
    here.find(|pod| pod.component == component && pod.site == Some(site))
}

/// For this long a pod may wait for a node before it counts: its volume is made meanwhile.
const SCHEDULING_SECONDS: i64 = 10;

fn problem(pod: &str, status: &PodStatus, now: Timestamp) -> Option<Problem> {
    let unschedulable = status.conditions.iter().flatten().find(|condition| {
        let since = condition
            .last_transition_time
            .as_ref()
            .map_or(i64::MIN, |time| time.0.as_second());
        condition.type_ == "PodScheduled"
            && condition.status == "False"
            && condition.reason.as_deref() == Some("Unschedulable")
            && since <= now.as_second() - SCHEDULING_SECONDS
    });
    if let Some(condition) = unschedulable {
        let why = condition.message.as_deref().unwrap_or("no node fits");
        return Some(Problem {
            reason: "Unschedulable",
            message: format!("no node takes pod {pod}: {why}; make room, or lower what it asks for"),
        });
    }
    let init = status.init_container_statuses.iter().flatten();
    let mut all = init.chain(status.container_statuses.iter().flatten());
    all.find_map(|container| of_container(pod, container))
}

fn of_container(pod: &str, container: &ContainerStatus) -> Option<Problem> {
    let name = &container.name;
    let (now, before) = (container.state.as_ref(), container.last_state.as_ref());
    if name == "schema"
        && let Some(failed) = failure(now).or_else(|| failure(before).filter(|_| !has_succeeded(container)))
    {
        return Some(of_migrations(pod, failed));
    }
    let waiting = now?.waiting.as_ref()?;
    let why = first_lines(waiting.message.as_deref().unwrap_or_default());
    match waiting.reason.as_deref()? {
        "ImagePullBackOff" | "ErrImagePull" | "InvalidImageName" | "ErrImageNeverPull" => Some(Problem {
            reason: "ImageCannotBePulled",
            message: format!(
                "pod {pod} cannot get image {}: {why}; correct the image, or make it available to the nodes",
                container.image
            ),
        }),
        reason @ ("CreateContainerConfigError" | "CreateContainerError" | "RunContainerError") => Some(Problem {
            reason: "ContainerCannotStart",
            message: format!("container {name} of pod {pod} cannot be started ({reason}): {why}"),
        }),
        "CrashLoopBackOff" => {
            let failed = failure(before);
            let killed = failed.filter(|failed| failed.reason.as_deref() == Some("OOMKilled"));
            let why = match (killed, failed) {
                (Some(_), _) => "it used more memory than its limit; raise the limit".to_owned(),
                (None, Some(failed)) => failed
                    .message
                    .as_deref()
                    .map_or_else(|| format!("exit code {}", failed.exit_code), last_lines),
                (None, None) => why,
            };
            let message = format!(
                "container {name} of pod {pod} ends again and again: {why}; see kubectl logs {pod} -c {name} --previous"
            );
            Some(Problem {
                reason: "CrashLooping",
                message,
            })
        }
        _ => None,
    }
}

/// Whether the last attempt of an init container succeeded: the state of one that failed before stays for the life of the pod.
fn has_succeeded(container: &ContainerStatus) -> bool {
    let ended = container.state.as_ref().and_then(|state| state.terminated.as_ref());
    container.ready || ended.is_some_and(|ended| ended.exit_code == 0)
}

/// How the message of init container `schema` begins when it was not let in, and no migration ran.
const NOT_CONNECTED: &str = "cannot connect to the site's Postgres";

fn of_migrations(pod: &str, failed: &ContainerStateTerminated) -> Problem {
    let why = failed
        .message
        .as_deref()
        .map_or_else(|| format!("exit code {}", failed.exit_code), first_lines);
    if why.starts_with(NOT_CONNECTED) {
        return Problem {
            reason: "PostgresNotReached",
            message: format!(
                "pod {pod}: {why}; no migration ran, and it is tried again: see that the pod of that Postgres runs, and its log"
            ),
        };
    }
    Problem {
        reason: "MigrationFailed",
        message: format!("pod {pod}: {why}"),
    }
}

fn failure(state: Option<&ContainerState>) -> Option<&ContainerStateTerminated> {
    state?
        .terminated
        .as_ref()
        .filter(|terminated| terminated.exit_code != 0)
}

const MAX: usize = 500;

/// The beginning of a message, on one line: a workload's own message says first what matters.
fn first_lines(message: &str) -> String {
    one_line(message).chars().take(MAX).collect()
}

/// The end of a log, on one line.
fn last_lines(log: &str) -> String {
    let line = one_line(log);
    let skip = line.chars().count().saturating_sub(MAX);
    line.chars().skip(skip).collect()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
