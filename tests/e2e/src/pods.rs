//! Pods: running commands in them, killing them, and what else a cluster has in its namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Api, AttachParams, DeleteParams, ListParams, Preconditions};
use kube::core::{ObjectMeta, PartialObjectMeta};
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use synccluster_operator::names::{self, COMPONENT_LABEL, Component, SITE_LABEL};
use synccluster_protocol::Site;
use tokio::io::AsyncReadExt as _;
use tokio::time::{sleep, timeout};

use crate::{Cluster, PATIENCE, START, answered, eventually};

/// A command in a pod that was killed may never end. Those that begin a Java take their time on a machine that is slow.
pub(crate) const EXEC: Duration = Duration::from_mins(1);
/// What the API server says where it has not reached the kubelet: the command has not begun.
const NOT_REACHED: &str = "error dialing backend";
/// Before a command is begun once more.
const PAUSE: Duration = Duration::from_millis(300);
/// `st` of an established connection in /proc/net/tcp.
const ESTABLISHED: &str = "01";
/// Kafka's port there: 9092.
const KAFKA_PORT: &str = ":2384";

impl Cluster {
    /// What a command in a container prints.
    pub async fn exec(&self, pod: &str, container: &str, command: &[&str]) -> Result<String> {
        self.exec_within(EXEC, pod, container, command).await
    }

    /// The same of one that takes its time.
    pub(crate) async fn exec_within(
        &self,
        limit: Duration,
        pod: &str,
        container: &str,
        command: &[&str],
    ) -> Result<String> {
        let run = async {
            loop {
                match self.once(pod, container, command).await {
                    Err(error) if error.to_string().contains(NOT_REACHED) => sleep(PAUSE).await,
                    ran => return ran,
                }
            }
        };
        let ran = timeout(limit, run)
            .await
            .with_context(|| format!("no end within {limit:?}"))
            .and_then(|ran| ran);
        ran.with_context(|| format!("{} in {pod}", command.join(" ")))
    }

    async fn once(&self, pod: &str, container: &str, command: &[&str]) -> Result<String> {
        let params = AttachParams::default()
            .stdin(false)
            .stdout(true)
            .stderr(true)
            .container(container);
        let pods = self.namespace.api::<Pod>();
        let mut process = answered(|| pods.exec(pod, command.iter().copied(), &params)).await?;
        let status = process.take_status().context("no status")?;
        let (mut stdout, mut stderr) = (
            process.stdout().context("no stdout")?,
            process.stderr().context("no stderr")?,
        );
        let (mut said, mut complained) = (String::new(), String::new());
        tokio::try_join!(stdout.read_to_string(&mut said), stderr.read_to_string(&mut complained))?;
        let status = status.await.context("the connection ended before the command")?;
        ensure!(
            status.status.as_deref() == Some("Success"),
            "{}: {}",
            status.message.unwrap_or_default(),
            complained.trim()
        );
        Ok(said)
    }

    /// The one pod of a component that is not going away.
    pub async fn pod(&self, component: Component, site: Option<Site>) -> Result<Pod> {
        let mut selector = format!("{},{COMPONENT_LABEL}={component}", names::cluster_selector(&self.name));
        if let Some(site) = site {
            selector = format!("{selector},{SITE_LABEL}={site}");
        }
        one(&self.namespace.api(), &selector).await
    }

    /// The node of Kubernetes that this pod runs on.
    pub async fn node_of(&self, component: Component, site: Option<Site>) -> Result<String> {
        let pod = eventually(PATIENCE, async || self.pod(component, site).await).await?;
        let name = pod.name_any();
        let node = pod.spec.and_then(|spec| spec.node_name);
        node.with_context(|| format!("{name} is on no node"))
    }

    /// Deletes a pod without notice, and waits until another one is ready.
    pub async fn kill(&self, component: Component, site: Option<Site>) -> Result<()> {
        let pods = self.namespace.api();
        let killed = eventually(PATIENCE, async || self.pod(component, site).await).await?;
        delete_now(&pods, &killed).await?;
        self.gives_way(&killed, component, site).await
    }

    /// Waits until another pod is ready in this one's place.
    pub async fn gives_way(&self, before: &Pod, component: Component, site: Option<Site>) -> Result<()> {
        eventually(START, async || replaced(before, &self.pod(component, site).await?)).await
    }

    /// Deletes a pod of a StatefulSet without notice, by its name; does not wait. Returns the one that was there.
    pub async fn kill_named(&self, pod: &str) -> Result<Pod> {
        let pods: Api<Pod> = self.namespace.api();
        let killed = eventually(PATIENCE, async || Ok(pods.get(pod).await?)).await?;
        delete_now(&pods, &killed).await?;
        Ok(killed)
    }

    /// Waits until another pod of its name is ready. Ready may still be said of before.
    pub async fn is_back(&self, killed: &Pod) -> Result<()> {
        let (pods, name) = (self.namespace.api::<Pod>(), killed.name_any());
        eventually(START, async || replaced(killed, &pods.get(&name).await?)).await
    }

    /// Deletes the operator's pod without notice, and waits until another one is ready. Another program may do so at the same moment.
    pub async fn kill_operator(&self) -> Result<()> {
        let selector = format!("app.kubernetes.io/name={}", names::OPERATOR);
        let all: Api<Pod> = Api::all(self.namespace.client.clone());
        let (pods, killed) = eventually(PATIENCE, async || {
            let found = one(&all, &selector).await?;
            let home = found.namespace().unwrap_or_default();
            let pods: Api<Pod> = Api::namespaced(self.namespace.client.clone(), &home);
            delete_now(&pods, &found).await?;
            Ok((pods, found))
        })
        .await?;
        eventually(START, async || replaced(&killed, &one(&pods, &selector).await?)).await
    }

    /// Waits until a site's workload has more than so many connections to Kafka: now and then it makes them anew.
    pub async fn is_connected(&self, component: Component, site: Site, more_than: usize) -> Result<()> {
        eventually(PATIENCE, async || {
            let connections = self.connections(component, site).await?;
            ensure!(
                connections > more_than,
                "the {component} of {site} has {connections} connections to Kafka"
            );
            Ok(())
        })
        .await
    }

    /// Connections to Kafka that a site's workload has, as the kernel of its pod sees them.
    pub async fn connections(&self, component: Component, site: Site) -> Result<usize> {
        let tables = eventually(PATIENCE, async || {
            let pod = self.pod(component, Some(site)).await?.name_any();
            let read = ["sh", "-c", "cat /proc/net/tcp; cat /proc/net/tcp6 2>/dev/null || true"];
            let tables = self.exec(&pod, component.as_str(), &read).await?;
            ensure!(
                tables.contains("rem_address"),
                "no table of connections in {pod}: {tables}"
            );
            Ok(tables)
        })
        .await?;
        let to_kafka = tables.lines().filter(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            matches!(columns[..], [_, _, remote, state, ..] if remote.ends_with(KAFKA_PORT) && state == ESTABLISHED)
        });
        Ok(to_kafka.count())
    }

    /// Everything in the namespace with the cluster's label.
    pub async fn owned(&self) -> Result<Owned> {
        let (stateful_sets, deployments, pods, services) = tokio::try_join!(
            self.list::<StatefulSet>("StatefulSet"),
            self.list::<Deployment>("Deployment"),
            self.list::<Pod>("Pod"),
            self.list::<Service>("Service"),
        )?;
        let (config_maps, policies, volumes, secrets) = tokio::try_join!(
            self.list::<ConfigMap>("ConfigMap"),
            self.list::<NetworkPolicy>("NetworkPolicy"),
            self.list::<PersistentVolumeClaim>("PersistentVolumeClaim"),
            self.list::<Secret>("Secret"),
        )?;
        let kinds = [
            stateful_sets,
            deployments,
            pods,
            services,
            config_maps,
            policies,
            volumes,
            secrets,
        ];
        let (mut all, mut going) = (BTreeMap::new(), BTreeSet::new());
        for (name, object) in kinds.into_iter().flatten() {
            if object.deletion_timestamp.is_some() {
                going.insert(name.clone());
            }
            all.insert(name, object.uid.unwrap_or_default());
        }
        Ok(Owned { all, going })
    }

    /// The same when nothing of it is on its way out any more.
    pub async fn settled(&self) -> Result<Owned> {
        eventually(START, async || {
            let owned = self.owned().await?;
            ensure!(owned.going.is_empty(), "on their way out are {:?}", owned.going);
            Ok(owned)
        })
        .await
    }

    async fn list<K>(&self, kind: &str) -> Result<Vec<(String, ObjectMeta)>>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let params = ListParams::default().labels(&names::cluster_selector(&self.name));
        let api = self.namespace.api::<K>();
        let found = answered(|| api.list_metadata(&params)).await?;
        let named = |object: PartialObjectMeta<K>| (format!("{kind}/{}", object.name_any()), object.metadata);
        Ok(found.items.into_iter().map(named).collect())
    }
}

/// Objects of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    /// `kind/name`, and the UID by which one made anew is told from the one before.
    all: BTreeMap<String, String>,
    /// Which of them are on their way out.
    going: BTreeSet<String>,
}

impl Owned {
    /// Kinds and names.
    pub fn names(&self) -> BTreeSet<&str> {
        self.all.keys().map(String::as_str).collect()
    }

    /// All but this one.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.all.remove(name);
        self.going.remove(name);
        self
    }

    /// Those of some kinds.
    #[must_use]
    pub fn of(mut self, kinds: &[&str]) -> Self {
        let wanted = |name: &str| kinds.iter().any(|kind| name.split('/').next() == Some(kind));
        self.all.retain(|name, _| wanted(name));
        self.going.retain(|name| wanted(name));
        self
    }
}

async fn one(pods: &Api<Pod>, selector: &str) -> Result<Pod> {
    let selected = ListParams::default().labels(selector);
    let mut live: Vec<Pod> = answered(|| pods.list(&selected)).await?.items;
    live.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    match (live.pop(), live.len()) {
        (Some(pod), 0) => Ok(pod),
        (Some(_), more) => bail!("{} pods with {selector}", more + 1),
        (None, _) => bail!("no pod with {selector}"),
    }
}

async fn delete_now(pods: &Api<Pod>, pod: &Pod) -> Result<()> {
    let only_it = Preconditions {
        uid: pod.uid(),
        ..Preconditions::default()
    };
    let (name, at_once) = (
        pod.name_any(),
        DeleteParams::default().grace_period(0).preconditions(only_it),
    );
    match answered(|| pods.delete(&name, &at_once)).await {
        // It went by itself, or at the first asking, and another may have its name by now.
        Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => Ok(()),
        deleted => deleted.map(drop).map_err(Into::into),
    }
}

fn replaced(killed: &Pod, now: &Pod) -> Result<()> {
    ensure!(killed.uid() != now.uid(), "{} still runs", killed.name_any());
    ensure!(is_ready(now), "{} is not ready", now.name_any());
    Ok(())
}

pub(crate) fn is_ready(pod: &Pod) -> bool {
    let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
