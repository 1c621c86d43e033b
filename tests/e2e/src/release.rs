//! The operator as Helm installs it: the one of the whole cluster, and one for a namespace alone.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::json;
use synccluster_harness::repository;
use synccluster_operator::names::OPERATOR;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use crate::always::always;
use crate::namespace::{config, context};
use crate::{Namespace, PATIENCE, START, answered, dump, eventually};

/// Helm itself gives up sooner.
const HELM: Duration = Duration::from_mins(7);

/// The operator of the whole cluster.
pub struct Usual {
    client: Client,
    namespace: String,
    name: String,
    release: String,
}

/// Runs a test while the operator of the whole cluster is away, which would look after the same SyncClusters. It comes back however that ends.
pub async fn without_the_usual_operator(test: impl AsyncFnOnce(&Usual) -> Result<()>) -> Result<()> {
    let usual = Usual::find(Client::try_from(config().await?)?).await?;
    let away = async {
        usual.scale(0).await?;
        test(&usual).await
    };
    always(Box::pin(away), async |_| usual.scale(1).await).await
}

impl Usual {
    async fn find(client: Client) -> Result<Self> {
        let (all, operators) = (Api::<Deployment>::all(client.clone()), operators());
        let found = answered(|| all.list(&operators)).await?.items;
        let [deployment] = found.as_slice() else {
            let places: Vec<_> = found.iter().filter_map(ResourceExt::namespace).collect();
            bail!(
                "one operator was expected, and there are some in {places:?}: uninstall what a test has left, or `make install`"
            );
        };
        let release = deployment.labels().get("app.kubernetes.io/instance");
        Ok(Self {
            client,
            namespace: deployment.namespace().context("a Deployment without a namespace")?,
            name: deployment.name_any(),
            release: release.context("the operator was not installed by its chart")?.clone(),
        })
    }

    /// Where it lives.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Its Deployment and its account.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// So many pods of it, ready, and no other.
    async fn scale(&self, replicas: i32) -> Result<()> {
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), &self.namespace);
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let patch = Patch::Merge(json!({ "spec": { "replicas": replicas } }));
        let as_asked = PatchParams::default();
        let done = async {
            answered(|| deployments.patch_scale(&self.name, &as_asked, &patch)).await?;
            eventually(START, async || {
                let now = deployments.get(&self.name).await?;
                let status = now.status.unwrap_or_default();
                let ready = status.available_replicas.unwrap_or_default();
                let there = pods.list(&operators()).await?.items.len();
                ensure!(
                    status.observed_generation >= now.metadata.generation
                        && ready == replicas
                        && i32::try_from(there)? == replicas,
                    "{there} pods, {ready} of them ready, instead of {replicas}"
                );
                Ok(())
            })
            .await
        };
        done.await.with_context(|| {
            let (namespace, name) = (&self.namespace, &self.name);
            format!(
                "scaling the operator; it comes back by: kubectl -n {namespace} scale deployment {name} --replicas=1"
            )
        })
    }

    /// Installs it once more, into this namespace and for that alone, otherwise as it is, and runs a test. It is uninstalled however that ends.
    pub async fn alone_in(&self, namespace: &Namespace, test: impl AsyncFnOnce() -> Result<()>) -> Result<()> {
        let get = ["get", "values", &self.release, "--output", "yaml"];
        let values = eventually(PATIENCE, async || helm(&self.namespace, &get, "").await).await?;
        let alone = format!("watchNamespace={},gatewayAdmissionPolicy=true", namespace.name);
        let chart = repository("charts/synccluster")?;
        let install = [
            "install",
            &self.release,
            &chart.display().to_string(),
            "--values",
            "-",
            "--set",
            &alone,
            "--wait",
            "--timeout",
            "6m",
        ];
        let installed = async {
            helm(&namespace.name, &install, &values).await?;
            helm(&namespace.name, &["test", &self.release, "--timeout", "4m"], "").await?;
            test().await
        };
        always(Box::pin(installed), async |failed| {
            if failed.is_some() {
                dump::pods(namespace, &operators()).await;
            }
            let uninstall = ["uninstall", &self.release, "--ignore-not-found", "--wait"];
            eventually(HELM, async || helm(&namespace.name, &uninstall, "").await.map(drop)).await
        })
        .await
    }
}

/// Deployments and pods of operators.
fn operators() -> ListParams {
    ListParams::default().labels(&format!("app.kubernetes.io/name={OPERATOR}"))
}

/// What Helm prints that is asked for something in a namespace, and reads this.
async fn helm(namespace: &str, arguments: &[&str], input: &str) -> Result<String> {
    let mut command = Command::new("helm");
    if let Some(context) = context() {
        command.args(["--kube-context", &context]);
    }
    command
        .args(["--namespace", namespace])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let run = async {
        let mut process = command.spawn().context("is Helm there? kind/tools.sh builds it")?;
        let mut stdin = process.stdin.take().context("no stdin")?;
        let written = stdin.write_all(input.as_bytes()).await;
        // Helm reads to the end.
        drop(stdin);
        let ended = process.wait_with_output().await?;
        let complained = String::from_utf8_lossy(&ended.stderr);
        ensure!(ended.status.success(), "{}: {}", ended.status, complained.trim());
        written?;
        Ok(String::from_utf8(ended.stdout)?)
    };
    let ran = timeout(HELM, run).await;
    let ran = ran
        .with_context(|| format!("no end within {HELM:?}"))
        .and_then(|ran| ran);
    ran.with_context(|| format!("helm {}", arguments.join(" ")))
}
