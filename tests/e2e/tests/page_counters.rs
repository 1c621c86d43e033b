//! The Counters view in a real browser, on examples/todo.yaml with three counter nodes: `tests/page` does it, against a gateway that runs.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize as _;
use serde_json::{Value, json};
use synccluster_e2e::{Cluster, Forward, START, with_namespace};
use tokio::process::Command;

const EXAMPLE: &str = include_str!("../../../examples/todo.yaml");

#[tokio::test(flavor = "multi_thread")]
async fn a_person_likes_on_the_page_and_sees_the_windows_move() -> Result<()> {
    with_namespace("page-counters", async |namespace| {
        let cluster = Cluster {
            namespace: namespace.clone(),
            name: "demo".parse()?,
        };
        apply_the_example(&cluster).await?;
        cluster.ready().await?;
        cluster.says(START, "GatewayReady", "True", "Running").await?;
        browse(&cluster).await
    })
    .await
}

/// Its node port is left out: `make demo` may have it.
async fn apply_the_example(cluster: &Cluster) -> Result<()> {
    let documents = serde_yaml::Deserializer::from_str(EXAMPLE).map(Value::deserialize);
    for mut document in documents.collect::<Result<Vec<_>, _>>()? {
        let name = document["metadata"]["name"]
            .as_str()
            .context("a document without a name")?
            .to_owned();
        if document["kind"] == "ConfigMap" {
            cluster.namespace.config_map(&name, &document["data"]).await?;
        } else {
            document["spec"]["gateway"] = json!({});
            document["spec"]["counter"]["nodes"] = json!(3);
            cluster.namespace.apply(&name, &document["spec"]).await?;
        }
    }
    Ok(())
}

async fn browse(cluster: &Cluster) -> Result<()> {
    let (editor, viewer) = (
        cluster.web(Some("token")).await?,
        cluster.web(Some("viewer-token")).await?,
    );
    let forward = Forward::to_gateway_of(cluster).await?;
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../page");
    let screenshots = screenshots()?;
    let status = Command::new("node")
        .args(["--test", "--test-reporter=spec", "counters.test.mjs"])
        .current_dir(&tests)
        .env("GATEWAY_URL", forward.url())
        .env("GATEWAY_TOKEN", editor.token().unwrap_or_default())
        .env("GATEWAY_VIEWER_TOKEN", viewer.token().unwrap_or_default())
        .env("SCREENSHOTS", &screenshots)
        .kill_on_drop(true)
        .status()
        .await
        .with_context(|| format!("running node in {}", tests.display()))?;
    ensure!(
        status.success(),
        "the Counters view failed; its pictures are in {}",
        screenshots.display()
    );
    Ok(())
}

/// Where CI finds the pictures: `target/screenshots`.
fn screenshots() -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/screenshots");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}
