//! Parts that are somebody else's: what runs them, and what a SyncCluster says of them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use synccluster_operator::api::{REMOVE_EXTERNAL_ANNOTATION, SyncCluster};
use synccluster_operator::names::{COMPONENT_LABEL, OPERATOR, SITE_LABEL, cluster_selector};

use crate::{Cluster, Namespace, PATIENCE, answered, eventually};

/// User and group of Postgres in its image.
pub const POSTGRES_USER: u32 = 999;
/// The same of Kafka.
pub const KAFKA_USER: u32 = 1000;

impl Namespace {
    /// A Secret with these keys.
    pub async fn secret(&self, name: &str, keys: &Value) -> Result<()> {
        self.labelled::<Secret>("Secret", name, &json!({ "stringData": keys }))
            .await
    }

    /// The image the operator was told to take for a part: theirs runs the same.
    pub async fn image(&self, part: &str) -> Result<String> {
        // Not its pod: another program may just have killed that.
        let all: Api<Deployment> = Api::all(self.client.clone());
        let operator = ListParams::default().labels(&format!("app.kubernetes.io/name={OPERATOR}"));
        let deployments = answered(|| all.list(&operator)).await?.items.into_iter();
        let arguments = deployments
            .filter_map(|deployment| deployment.spec?.template.spec?.containers.into_iter().next()?.args)
            .flatten();
        let option = format!("--{part}-image=");
        let mut images = arguments.filter_map(|argument| argument.strip_prefix(&option).map(str::to_owned));
        images
            .next()
            .with_context(|| format!("the operator was not told {option}"))
    }

    /// A pod with one container, and a Service of the same name for its ports. The folder /theirs holds these files, /data is its own.
    pub async fn server(&self, name: &str, user: u32, ports: &[u16], files: &Value, container: &Value) -> Result<()> {
        let files_name = format!("{name}-files");
        self.secret(&files_name, files).await?;
        let port = |port: &u16| json!({ "name": format!("at-{port}"), "port": port });
        let ports: Vec<Value> = ports.iter().map(port).collect();
        self.labelled::<Service>(
            "Service",
            name,
            &json!({ "spec": { "selector": { "app": name }, "ports": ports } }),
        )
        .await?;
        let mut whole = json!({
            "name": name,
            "command": ["bash", "/theirs/start.sh"],
            "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
            "volumeMounts": [{ "name": "data", "mountPath": "/data" }, { "name": "theirs", "mountPath": "/theirs" }],
        });
        if let (Some(whole), Some(more)) = (whole.as_object_mut(), container.as_object()) {
            whole.extend(more.clone());
        }
        let security = json!({
            "runAsNonRoot": true, "runAsUser": user, "runAsGroup": user, "fsGroup": user, "seccompProfile": { "type": "RuntimeDefault" },
        });
        let volumes = json!([
            { "name": "data", "emptyDir": {} },
            { "name": "theirs", "secret": { "secretName": files_name, "defaultMode": 0o440 } },
        ]);
        let spec = json!({
            "containers": [whole], "securityContext": security, "volumes": volumes, "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 1,
        });
        self.labelled::<Pod>("Pod", name, &json!({ "spec": spec })).await
    }

    /// Where its Service is found.
    pub fn host(&self, name: &str) -> String {
        format!("{name}.{}.svc", self.name)
    }

    /// What a pod of somebody else prints, by the same way as of ours.
    pub fn shell(&self) -> Result<Cluster> {
        Ok(Cluster {
            namespace: self.clone(),
            name: "theirs".parse()?,
        })
    }

    async fn labelled<K>(&self, kind: &str, name: &str, rest: &Value) -> Result<()>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
    {
        let mut body =
            json!({ "apiVersion": "v1", "kind": kind, "metadata": { "name": name, "labels": { "app": name } } });
        if let (Some(body), Some(rest)) = (body.as_object_mut(), rest.as_object()) {
            body.extend(rest.clone());
        }
        self.put::<K>(name, &body).await
    }
}

impl Cluster {
    /// Its pods: which part they are and who, and how often their containers were started anew. Those that are going away have been replaced.
    pub async fn lives(&self) -> Result<BTreeMap<String, i32>> {
        let life = |pod: Pod| {
            let label = |label: &str| pod.labels().get(label).map_or("", String::as_str);
            let part = format!("{}/{}", label(COMPONENT_LABEL), label(SITE_LABEL));
            let name = format!("{part} {} {}", pod.name_any(), pod.uid().unwrap_or_default());
            let containers = pod.status.and_then(|status| status.container_statuses);
            let restarts = containers.iter().flatten().map(|container| container.restart_count);
            (name, restarts.sum())
        };
        let pods = self.pods().await?.into_iter();
        let stay = pods.filter(|pod| pod.metadata.deletion_timestamp.is_none());
        Ok(stay.map(life).collect())
    }

    /// An error unless all these pods are still there, no container of theirs was started anew, and none takes their place. Others may have come:
    /// Ready does not speak of a gateway, and where a machine is slow that comes later.
    pub async fn live_on(&self, before: &BTreeMap<String, i32>) -> Result<()> {
        let part = |life: &String| life.split(' ').next().unwrap_or_default().to_owned();
        let parts: BTreeSet<String> = before.keys().map(part).collect();
        let mut now = self.lives().await?;
        now.retain(|life, _| parts.contains(&part(life)));
        ensure!(*before == now, "{before:?} became {now:?}");
        Ok(())
    }

    /// Has kubelet bring what Secrets say now to the pods. By itself it looks about once a minute; when a pod is changed it looks at once.
    pub async fn hurry_secrets(&self) -> Result<()> {
        let pods: Api<Pod> = self.namespace.api();
        let mark =
            Patch::Merge(json!({ "metadata": { "annotations": { "e2e/mark": rand::random::<u32>().to_string() } } }));
        let as_asked = PatchParams::default();
        for pod in self.pods().await? {
            let name = pod.name_any();
            match answered(|| pods.patch(&name, &as_asked, &mark)).await {
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                patched => drop(patched?),
            }
        }
        Ok(())
    }

    async fn pods(&self) -> Result<Vec<Pod>> {
        let ours = ListParams::default().labels(&cluster_selector(&self.name));
        let pods = self.namespace.api::<Pod>();
        Ok(answered(|| pods.list(&ours)).await?.items)
    }

    /// Asks for what was made in an external part to be taken out, at the end.
    pub async fn ask_for_removal(&self, part: &str) -> Result<()> {
        self.annotate(REMOVE_EXTERNAL_ANNOTATION, part).await
    }

    /// Deletes it and waits until it is gone; returns the note of the event with this reason.
    pub async fn goes_and_says(&self, reason: &str) -> Result<String> {
        self.delete(&DeleteParams::default()).await?;
        let api: Api<SyncCluster> = self.namespace.api();
        let events: Api<Event> = self.namespace.api();
        eventually(PATIENCE, async || {
            let left = api.get_opt(self.name.as_str()).await?;
            let there = events.list(&ListParams::default()).await?.items;
            let notes: Vec<_> = there.iter().map(|event| (&event.reason, &event.note)).collect();
            ensure!(left.is_none(), "the SyncCluster is still there: {notes:?}");
            let said = there.iter().find(|event| event.reason.as_deref() == Some(reason));
            said.and_then(|event| event.note.clone())
                .with_context(|| format!("no event {reason}: {notes:?}"))
        })
        .await
    }
}
