//! Engine Debezium: a connector like ours to everybody who looks at it, until the other takes its place.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt as _;
use serde_json::json;
use synccluster_e2e::reach::clients;
use synccluster_e2e::{Cluster, Load, PATIENCE, eventually, with_cluster_of};
use synccluster_operator::api::{Established, Link, RESNAPSHOT_ANNOTATION};
use synccluster_operator::names::Component;
use synccluster_protocol::Site;

const SERVER: Site = Site::Server;
const ONE: Site = Site::Client(1);
const RESET: &str = "synccluster.dev/connector-reset";
/// When the snapshot of client-1 was complete.
const COMPLETED: &str = "select completed_at from sync.snapshots where slot = 'shop_client_1'";
/// A worker is Java, on a machine that does other things as well.
const WORKER: Duration = Duration::from_mins(5);
/// What is wrong is said within seconds, where the machine and the API server are not busy with something else.
const SOON: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn debezium_sends_is_cut_is_asked_and_is_followed_by_the_other_engine() -> Result<()> {
    let engine = json!({ "connector": { "engine": "Debezium" } });
    with_cluster_of("debezium", 1, &engine, async |cluster| {
        cluster.mark("at first").await?;
        cluster.converged().await?;
        a_template_that_is_wrong_stops_nothing(cluster).await?;
        a_secret_that_is_not_there_stops_nothing(cluster).await?;
        a_cut_closes_what_the_worker_holds(cluster).await?;
        every_row_is_sent_once_more(cluster).await?;
        a_reset_is_kept_until_it_is_done(cluster).await?;
        the_native_engine_follows_under_load(cluster).await
    })
    .await
}

async fn a_template_that_is_wrong_stops_nothing(cluster: &Cluster) -> Result<()> {
    let settings = json!({ "connector.properties": "max.batch.size=${batch}" });
    cluster.namespace.config_map("settings", &settings).await?;
    let templates = json!({ "connector": { "templates": { "configMap": { "name": "settings" } } } });
    cluster.patch(&templates).await?;
    let said = cluster
        .says(PATIENCE, "ConnectorsRun", "False", "TemplateRefused")
        .await?;
    ensure!(
        said.contains("line 1: there is no variable ${batch}: use one of ${cluster}"),
        "{said}"
    );
    cluster.mark("with a wrong template").await?;
    cluster.converged().await
}

/// Waits until the template is refused in these words.
async fn refused(cluster: &Cluster, why: &str) -> Result<()> {
    eventually(SOON, async || {
        let said = cluster.says(SOON, "ConnectorsRun", "False", "TemplateRefused").await?;
        ensure!(said.contains(why), "{said}");
        Ok(())
    })
    .await
}

/// Connect refuses a batch that is no number, and so a reference that it did not follow.
async fn a_secret_that_is_not_there_stops_nothing(cluster: &Cluster) -> Result<()> {
    let before = cluster.lives().await?;
    let settings = json!({ "connector.properties": "max.batch.size=${secret:tuning/batch}" });
    cluster.namespace.config_map("settings", &settings).await?;
    refused(cluster, "Secret tuning does not exist: create it with the key batch").await?;
    cluster.namespace.secret("tuning", &json!({ "bach": "64" })).await?;
    refused(cluster, "Secret tuning has no key batch: add it").await?;
    cluster.mark("without the Secret").await?;
    cluster.converged().await?;
    cluster.live_on(&before).await?;

    cluster.namespace.secret("tuning", &json!({ "batch": "64" })).await?;
    eventually(WORKER, async || {
        let after = cluster.lives().await?;
        let connectors = after.keys().filter(|life| life.contains("-connector-"));
        let old = connectors.filter(|life| before.contains_key(*life)).count();
        ensure!(old == 0, "{old} connectors have the settings of before");
        Ok(())
    })
    .await?;
    cluster.says(WORKER, "ConnectorsRun", "True", "Running").await?;
    cluster.mark("with the Secret").await?;
    cluster.converged().await
}

async fn a_cut_closes_what_the_worker_holds(cluster: &Cluster) -> Result<()> {
    let to_lose = cluster.is_connected(Component::Connector, ONE, 1);
    to_lose.await.context("before the cut")?;
    cluster.cut(&clients([1], Link::Both)).await?;
    cluster.enforced().await?;
    assert_eq!(cluster.connections(Component::Connector, ONE).await?, 0);
    // A worker that does not answer in time for once has said nothing.
    eventually(PATIENCE, async || {
        let status = cluster.get().await?.status.unwrap_or_default();
        let of_one = status.sites.into_iter().find(|site| site.name == "client-1");
        let cut = of_one.context("no status of client-1")?.connectivity;
        ensure!(cut.established == Established::Closed, "{}", cut.evidence);
        Ok(())
    })
    .await?;
    cluster.mark("while cut").await?;
    cluster.heal().await?;
    cluster.says(WORKER, "ConnectorsRun", "True", "Running").await?;
    cluster.converged().await
}

/// Asks client-1 by an annotation, and waits until that is gone.
async fn is_done(cluster: &Cluster, annotation: &str) -> Result<()> {
    cluster.annotate(annotation, "client-1").await?;
    eventually(WORKER, async || {
        let resource = cluster.get().await?;
        let status = resource.status.clone().unwrap_or_default();
        ensure!(
            !resource.annotations().contains_key(annotation),
            "{:?} {:?}",
            status.connector_requests,
            status.resnapshot
        );
        Ok(())
    })
    .await
}

async fn every_row_is_sent_once_more(cluster: &Cluster) -> Result<()> {
    is_done(cluster, RESNAPSHOT_ANNOTATION).await?;
    // The annotation goes before the status says so, and a worker that does not answer in time for once has said nothing.
    eventually(PATIENCE, async || {
        let status = cluster.get().await?.status.unwrap_or_default();
        let of_one = status.sites.into_iter().find(|site| site.name == "client-1");
        let snapshot = of_one.and_then(|site| site.snapshot);
        let snapshot = snapshot.context("no snapshot in the status")?;
        ensure!(snapshot.rows > 0 && snapshot.done_at.is_some(), "{snapshot:?}");
        Ok(())
    })
    .await?;
    cluster.converged().await
}

async fn a_reset_is_kept_until_it_is_done(cluster: &Cluster) -> Result<()> {
    let before = cluster.sql(ONE, COMPLETED).await?;
    is_done(cluster, RESET).await?;
    let slot = "select slot_name from pg_replication_slots where temporary = false";
    cluster.shows(ONE, slot, &["shop_client_1"]).await?;
    eventually(PATIENCE, async || {
        let after = cluster.sql(ONE, COMPLETED).await?;
        ensure!(
            after.len() == 1 && after != before,
            "{before:?} is followed by {after:?}"
        );
        Ok(())
    })
    .await?;
    // A worker that does not answer in time for once has said nothing.
    eventually(PATIENCE, async || {
        let status = cluster.get().await?.status.unwrap_or_default();
        let of_one = status.sites.into_iter().find(|site| site.name == "client-1");
        let said = of_one.and_then(|site| site.uplink?.connector);
        let said = said.context("nothing said of Connect")?;
        let tasks: Vec<&str> = said.tasks.iter().map(|task| task.state.as_str()).collect();
        ensure!(said.state == "RUNNING" && tasks == ["RUNNING"], "{said:?}");
        Ok(())
    })
    .await?;
    cluster.converged().await
}

async fn the_native_engine_follows_under_load(cluster: &Cluster) -> Result<()> {
    let load = Load::start(cluster).await?;
    load.goes_on(150).await?;
    let native = json!({ "connector": { "engine": "Native", "templates": null } });
    cluster.patch(&native).await?;
    cluster.says(WORKER, "ConnectorsRun", "True", "Running").await?;
    load.goes_on(150).await?;
    let written = load.stop().await?;
    written.is_everywhere(cluster).await?;
    cluster.converged().await?;
    cluster
        .shows(SERVER, "select count(*) from sync.parked", &["0"])
        .await?;
    eventually(PATIENCE, async || {
        let sites = cluster.get().await?.status.unwrap_or_default().sites;
        let mut uplinks = sites.iter().map(|site| site.uplink.as_ref());
        ensure!(
            uplinks.all(|uplink| uplink.is_some_and(|uplink| uplink.connector.is_none())),
            "{sites:?}"
        );
        Ok(())
    })
    .await
}
