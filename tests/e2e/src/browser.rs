//! The page in a real browser: examples/todo.yaml on the cluster, and a test of `tests/page` against its gateway.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize as _;
use serde_json::{Value, json};
use synccluster_harness::repository;
use tokio::process::Command;

use crate::{Cluster, Forward, START, with_namespace};

const EXAMPLE: &str = include_str!("../../../examples/todo.yaml");

/// Runs a test with examples/todo.yaml and its gateway.
pub async fn with_the_example(purpose: &str, test: impl AsyncFnOnce(&Cluster) -> Result<()>) -> Result<()> {
    with_namespace(purpose, async |namespace| {
        let cluster = Cluster {
            namespace: namespace.clone(),
            name: "demo".parse()?,
        };
        cluster.run_the_example().await?;
        Box::pin(test(&cluster)).await
    })
    .await
}

impl Cluster {
    /// Applies examples/todo.yaml, and waits until it and its gateway run. Its node port is left out: `make demo` may have it.
    async fn run_the_example(&self) -> Result<()> {
        let documents = serde_yaml::Deserializer::from_str(EXAMPLE).map(Value::deserialize);
        for mut document in documents.collect::<Result<Vec<_>, _>>()? {
            let name = document["metadata"]["name"]
                .as_str()
                .context("a document without a name")?
                .to_owned();
            if document["kind"] == "ConfigMap" {
                self.namespace.config_map(&name, &document["data"]).await?;
            } else {
                document["spec"]["gateway"] = json!({});
                self.namespace.apply(&name, &document["spec"]).await?;
            }
        }
        self.ready().await?;
        self.says(START, "GatewayReady", "True", "Running").await.map(drop)
    }

    /// Runs a test of `tests/page`, such as `tour.test.mjs`.
    pub async fn browse(&self, test: &str) -> Result<()> {
        let (editor, viewer) = (self.web(Some("token")).await?, self.web(Some("viewer-token")).await?);
        let forward = Forward::to_gateway_of(self).await?;
        let tests = repository("tests/page")?;
        let screenshots = screenshots()?;
        let restart = format!(
            "kubectl ${{KUBECONTEXT:+--context \"$KUBECONTEXT\"}} --namespace {} delete pod --selector app.kubernetes.io/component=gateway --wait",
            self.namespace.name
        );
        let status = Command::new("node")
            .args(["--test", "--test-reporter=spec", test])
            .current_dir(&tests)
            .env("GATEWAY_URL", forward.url())
            .env("GATEWAY_TOKEN", editor.token().unwrap_or_default())
            .env("GATEWAY_VIEWER_TOKEN", viewer.token().unwrap_or_default())
            .env("RESTART_COMMAND", restart)
            .env("SCREENSHOTS", &screenshots)
            .kill_on_drop(true)
            .status()
            .await
            .with_context(|| format!("running node in {}", tests.display()))?;
        ensure!(
            status.success(),
            "{test} failed; its pictures are in {}",
            screenshots.display()
        );
        Ok(())
    }
}

/// Where CI finds the pictures: `target/screenshots`.
fn screenshots() -> Result<PathBuf> {
    let folder = repository("target/screenshots")?;
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}
