//! What runs for the cluster. Reading a pod is pure.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};
use kube::{Api, ResourceExt, api::ListParams};
use serde::Serialize;

use super::{Kubernetes, within};
use crate::problem::Problem;

/// On every pod of a cluster.
const CLUSTER_LABEL: &str = "synccluster.dev/cluster";
/// On those of a site.
const SITE_LABEL: &str = "synccluster.dev/site";
/// What a pod is.
const COMPONENT_LABEL: &str = "app.kubernetes.io/component";

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Component {
    /// The pod's name.
    pub name: String,
    /// `postgres`, `connector`, `sink`, `kafka`, `gateway` and so on.
    pub component: String,
    /// The site it belongs to, if it belongs to one.
    pub site: Option<String>,
    /// As kubectl shows it: `Running`, `Pending`, `CrashLoopBackOff`, `Terminating` and so on.
    pub phase: String,
    /// Whether all its containers are ready.
    pub ready: bool,
    /// How often its containers were started again.
    pub restarts: i32,
    /// Since when it is there.
    pub started_at: Option<String>,
    /// Where it runs.
    pub node: Option<String>,
    /// Its containers, those that prepare it first.
    pub containers: Vec<Container>,
    /// What keeps it from being ready, if Kubernetes says so.
    pub message: Option<String>,
}

/// A container of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Whether it runs before the others and ends.
    pub init: bool,
    /// Whether it is ready.
    pub ready: bool,
    /// How often it was started again.
    pub restarts: i32,
    /// `running`, `waiting` or `terminated`.
    pub state: String,
    /// Why it waits or has ended, in a word.
    pub reason: Option<String>,
}

impl Kubernetes {
    /// What runs for the cluster, by name.
    pub async fn components(&self) -> Result<Vec<Component>, Problem> {
        // From the API server's memory: what is seconds old is good enough to look at.
        let params = ListParams::default()
            .labels(&format!("{CLUSTER_LABEL}={}", self.cluster))
            .match_any();
        let listed = within(self.pods().list(&params), "the components cannot be listed").await?;
        let mut components: Vec<Component> = listed.items.iter().map(component).collect();
        components.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(components)
    }

    /// A pod of this cluster; 404 for any other.
    pub(super) async fn pod(&self, name: &str) -> Result<Pod, Problem> {
        let found = if is_name(name) {
            within(self.pods().get_opt(name), "the component cannot be read").await?
        } else {
            None
        };
        found
            .filter(|pod| {
                pod.labels()
                    .get(CLUSTER_LABEL)
                    .is_some_and(|of| of == self.cluster.as_str())
            })
            .ok_or_else(|| {
                let detail = format!(
                    "{} has no component `{name}`; /api/v1/components lists them",
                    self.cluster
                );
                Problem::not_found("unknown-component", "Unknown component", detail)
            })
    }

    pub(super) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

/// Whether a pod could have this name. It becomes part of a path at the API server, where `..` would lead elsewhere.
fn is_name(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let good =
        |part: &str| part.starts_with(letter) && part.ends_with(letter) && part.chars().all(|c| letter(c) || c == '-');
    name.len() <= 253 && name.split('.').all(good)
}

fn component(pod: &Pod) -> Component {
    let status = pod.status.clone().unwrap_or_default();
    let init = status.init_container_statuses.unwrap_or_default();
    let main = status.container_statuses.unwrap_or_default();
    let containers: Vec<Container> = init
        .iter()
        .map(|container| self::container(container, true))
        .chain(main.iter().map(|container| self::container(container, false)))
        .collect();
    // A container that runs first is not ready again once it has ended well.
    let stuck = containers
        .iter()
        .find(|c| c.state != "running" && c.reason.as_deref().is_some_and(|reason| reason != "Completed"));
    let phase = if pod.metadata.deletion_timestamp.is_some() {
        "Terminating".to_owned()
    } else {
        stuck
            .and_then(|container| container.reason.clone())
            .or(status.reason)
            .or(status.phase)
            .unwrap_or_else(|| "Unknown".to_owned())
    };
    let mut unmet = status
        .conditions
        .unwrap_or_default()
        .into_iter()
        .filter(|condition| condition.status != "True");
    let told = init.iter().chain(&main).find_map(waiting_for);
    let label = |name: &str| pod.labels().get(name).cloned();
    Component {
        name: pod.name_any(),
        component: label(COMPONENT_LABEL).unwrap_or_default(),
        site: label(SITE_LABEL),
        phase,
        ready: !main.is_empty() && main.iter().all(|container| container.ready),
        restarts: containers.iter().map(|container| container.restarts).sum(),
        started_at: status.start_time.map(|time| time.0.to_string()),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        message: told
            .or(status.message)
            .or_else(|| unmet.find_map(|condition| condition.message)),
        containers,
    }
}

fn container(status: &ContainerStatus, init: bool) -> Container {
    let (state, reason) = match status.state.as_ref() {
        Some(ContainerState { running: Some(_), .. }) => ("running", None),
        Some(ContainerState {
            terminated: Some(ended),
            ..
        }) => ("terminated", ended.reason.clone()),
        Some(ContainerState {
            waiting: Some(waiting), ..
        }) => ("waiting", waiting.reason.clone()),
        _ => ("waiting", None),
    };
    Container {
        name: status.name.clone(),
        init,
        ready: status.ready,
        restarts: status.restart_count,
        state: state.to_owned(),
        reason,
    }
}

fn waiting_for(status: &ContainerStatus) -> Option<String> {
    let state = status.state.as_ref()?;
    let waiting = state.waiting.as_ref().and_then(|waiting| waiting.message.clone());
    waiting.or_else(|| state.terminated.as_ref().and_then(|ended| ended.message.clone()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: &Value) -> Component {
        let pod = json!({
            "metadata": {"name": "demo-client-2-sink-x", "labels": {
                "synccluster.dev/cluster": "demo", "synccluster.dev/site": "client-2", "app.kubernetes.io/component": "sink"}},
            "spec": {"nodeName": "worker", "containers": []},
            "status": status,
        });
        component(&serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn a_name_that_no_pod_can_have_never_reaches_the_api_server() {
        for name in ["demo-client-2-sink-7d9f-x", "demo-kafka-0", "a.b-c", "0"] {
            assert!(is_name(name), "{name}");
        }
        let long = "a".repeat(254);
        for name in [
            "",
            "..",
            ".",
            "a/../b",
            "../secrets/x",
            "a/log",
            "A",
            "a b",
            "a%2fb",
            "-a",
            "a-",
            "a..b",
            "é",
            &long,
        ] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn a_pod_that_runs_says_what_it_is() {
        let seen = pod(&json!({
            "phase": "Running", "startTime": "2026-01-01T00:00:00Z",
            "initContainerStatuses": [{"name": "migrate", "image": "", "imageID": "", "ready": true, "restartCount": 1,
                "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}],
            "containerStatuses": [{"name": "sink", "image": "", "imageID": "", "ready": true, "restartCount": 2,
                "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}],
        }));
        assert_eq!(
            (seen.component.as_str(), seen.site.as_deref()),
            ("sink", Some("client-2"))
        );
        assert_eq!((seen.phase.as_str(), seen.ready, seen.restarts), ("Running", true, 3));
        assert_eq!(
            (seen.started_at.as_deref(), seen.node.as_deref()),
            (Some("2026-01-01T00:00:00Z"), Some("worker"))
        );
        let names: Vec<_> = seen
            .containers
            .iter()
            .map(|c| (c.name.as_str(), c.init, c.state.as_str()))
            .collect();
        assert_eq!(names, [("migrate", true, "terminated"), ("sink", false, "running")]);
        assert_eq!(seen.message, None);
    }

    #[test]
    fn a_pod_that_is_stuck_says_why() {
        let seen = pod(&json!({
            "phase": "Running",
            "containerStatuses": [{"name": "sink", "image": "", "imageID": "", "ready": false, "restartCount": 9,
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}}}],
        }));
        assert_eq!((seen.phase.as_str(), seen.ready), ("CrashLoopBackOff", false));
        assert_eq!(seen.message.as_deref(), Some("back-off 5m0s"));
        let seen = pod(&json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}]}));
        assert_eq!((seen.phase.as_str(), seen.ready), ("Pending", false));
        assert_eq!(seen.message.as_deref(), Some("0/1 nodes are available"));
    }
}
