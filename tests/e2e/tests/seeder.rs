//! The seeder writes at every site, cut or not, and says of each write what became of it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use synccluster_e2e::{Cluster, PATIENCE, START, Web, eventually, stays, with_cluster_of};
use synccluster_operator::api::Partition;
use synccluster_operator::names::{self, ACCESS_LABEL};
use synccluster_protocol::Site;

const RUNS: &str = "/api/v1/runs";
/// What a blocked dial takes, several times.
const LONG_ENOUGH: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
async fn what_it_was_acknowledged_survives_a_cut() -> Result<()> {
    with_cluster_of("seeder", 2, &json!({ "seeder": {} }), async |cluster| {
        let editor = cluster.seeder(Some("token")).await?;
        it_serves_those_with_a_token(cluster, &editor).await?;
        only_pods_with_the_label_reach_it(cluster).await?;
        let load = done(&editor, &json!({ "load": { "rows": 300 } })).await?;
        ensure!(load["acknowledged"] == 900, "three tables: {load}");
        cluster.converged().await?;

        let cut: Partition = serde_json::from_value(json!({ "clients": [2] }))?;
        cluster.cut(&cut).await?;
        cluster.enforced().await?;
        let preset = json!({ "preset": { "name": "dual-writes", "rate": 40, "duration": "8s" } });
        let writes = done(&editor, &preset).await?;
        ensure!(
            writes["sites"]["client-2"].as_u64() > Some(0),
            "a cut site takes writes: {writes}"
        );
        let report = eventually(PATIENCE, async || verify(&editor, &writes).await).await?;
        ensure!(
            report["ok"] == false,
            "what a cut client wrote cannot be elsewhere: {report}"
        );

        cluster.heal().await?;
        cluster.converged().await?;
        for run in [&load, &writes] {
            eventually(PATIENCE, async || {
                let report = verify(&editor, run).await?;
                ensure!(
                    report["ok"] == true && report["acknowledged"] == run["acknowledged"],
                    "{report}"
                );
                Ok(())
            })
            .await?;
        }
        let lost = cluster.sql(Site::Server, "select count(*) from sync.conflicts").await?;
        ensure!(lost != ["0"], "the preset makes conflicts, and there is none");
        Ok(())
    })
    .await
}

async fn it_serves_those_with_a_token(cluster: &Cluster, editor: &Web<'_>) -> Result<()> {
    let tables = eventually(START, async || editor.get("/api/v1/tables").await).await?;
    ensure!(tables.as_array().map(Vec::len) == Some(3), "{tables}");
    let viewer = cluster.seeder(Some("viewer-token")).await?;
    viewer.get(RUNS).await?;
    let (status, _) = viewer.send(Method::POST, RUNS, Some(&json!({ "load": {} }))).await?;
    ensure!(status == StatusCode::FORBIDDEN, "a viewer began a run: {status}");
    let (status, _) = cluster.seeder(None).await?.send(Method::GET, RUNS, None).await?;
    ensure!(status == StatusCode::UNAUTHORIZED, "without a token: {status}");
    Ok(())
}

async fn only_pods_with_the_label_reach_it(cluster: &Cluster) -> Result<()> {
    let host = names::seeder(&cluster.name);
    let insider = cluster.visitor("insider", &json!({ ACCESS_LABEL: host })).await?;
    let outsider = cluster.visitor("outsider", &json!({ "app": "outsider" })).await?;
    eventually(PATIENCE, async || {
        ensure!(
            insider.reaches(&host, 80).await?,
            "a pod with the label does not reach {host}"
        );
        Ok(())
    })
    .await?;
    let is_right = |reaches: bool| {
        ensure!(!reaches, "a pod without the label reaches {host}");
        Ok(())
    };
    stays(LONG_ENOUGH, async || outsider.reaches(&host, 80).await, is_right).await
}

/// Begins a run and waits until it is done.
async fn done(editor: &Web<'_>, order: &Value) -> Result<Value> {
    let (status, run) = editor.send(Method::POST, RUNS, Some(order)).await?;
    ensure!(status == StatusCode::ACCEPTED, "{order}: {status}: {run}");
    let path = format!("{RUNS}/{}", run["id"].as_str().context("a run without a name")?);
    eventually(PATIENCE, async || {
        let progress = editor.get(&path).await?;
        ensure!(progress["phase"] == "done", "{progress}");
        Ok(progress)
    })
    .await
}

async fn verify(editor: &Web<'_>, run: &Value) -> Result<Value> {
    let path = format!("{RUNS}/{}/verify", run["id"].as_str().context("a run without a name")?);
    let (status, report) = editor.send(Method::POST, &path, Some(&json!({ "wait": "2s" }))).await?;
    ensure!(status == StatusCode::OK, "{status}: {report}");
    Ok(report)
}
