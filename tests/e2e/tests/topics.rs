//! Topics are as the spec says while everything runs; a cut client keeps what it has still to read; rows are sent once more when somebody asks.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use synccluster_e2e::reach::clients;
use synccluster_e2e::{Cluster, PATIENCE, eventually, with_cluster};
use synccluster_operator::api::{
    FORCE_TOPICS_ANNOTATION, Link, RESNAPSHOT_ANNOTATION, SyncClusterStatus, TopicState, TopicStatus,
};
use synccluster_operator::names::{self, Component};
use synccluster_protocol::Site;

const SERVER: Site = Site::Server;
const ONE: Site = Site::Client(1);

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_changed_and_guarded_and_rows_sent_once_more() -> Result<()> {
    with_cluster("topics", 1, async |cluster| {
        says(cluster, "True", "AsWanted").await?;
        policies_change_while_everything_runs(cluster).await?;
        a_cut_client_keeps_what_it_has_still_to_read(cluster).await?;
        what_is_forced_is_done(cluster).await?;
        rows_are_sent_once_more(cluster).await
    })
    .await
}

async fn says(cluster: &Cluster, status: &str, reason: &str) -> Result<String> {
    cluster.says(PATIENCE, "TopicsAsWanted", status, reason).await
}

async fn status(cluster: &Cluster) -> Result<SyncClusterStatus> {
    cluster.get().await?.status.context("no status yet")
}

/// Waits until the server's topic is so.
async fn topic(cluster: &Cluster, is: impl Fn(&TopicStatus) -> bool) -> Result<TopicStatus> {
    let name = cluster.name.topic(SERVER);
    eventually(PATIENCE, async || {
        let topics = status(cluster).await?.topics;
        let topic = topics
            .into_iter()
            .find(|topic| topic.name == name)
            .context("no topic yet")?;
        ensure!(is(&topic), "{topic:?}");
        Ok(topic)
    })
    .await
}

fn has(topic: &TopicStatus, setting: &str, value: &str) -> bool {
    topic.state == TopicState::AsWanted && is_set(topic, setting, value)
}

fn is_set(topic: &TopicStatus, setting: &str, value: &str) -> bool {
    topic.settings.get(setting).is_some_and(|found| found == value)
}

async fn set(cluster: &Cluster, topics: Value) -> Result<()> {
    Ok(cluster.patch(&json!({ "kafka": { "topics": topics } })).await?)
}

/// What Kafka's own tool says.
async fn kafka_configs(cluster: &Cluster, arguments: &str) -> Result<String> {
    let command = format!(
        "export KAFKA_HEAP_OPTS=\"-Xmx96m -XX:TieredStopAtLevel=1\" KAFKA_LOG4J_OPTS=-Dlog4j2.configurationFile=/opt/kafka/config/tools-log4j2.properties EXTRA_ARGS=; exec /opt/kafka/bin/kafka-configs.sh --bootstrap-server localhost:9092 \
         --topic {} {arguments}",
        cluster.name.topic(SERVER)
    );
    let pod = format!("{}-0", names::kafka(&cluster.name));
    let run = ["bash", "-c", &command];
    eventually(PATIENCE, async || {
        cluster.exec(&pod, Component::Kafka.as_str(), &run).await
    })
    .await
}

async fn policies_change_while_everything_runs(cluster: &Cluster) -> Result<()> {
    let before = cluster.lives().await?;
    set(
        cluster,
        json!({ "cleanupPolicy": "compact,delete", "retention": "24h", "segment": "1h" }),
    )
    .await?;
    topic(cluster, |topic| has(topic, "retention.ms", "86400000")).await?;
    eventually(PATIENCE, async || {
        let described = kafka_configs(cluster, "--describe").await?;
        ensure!(
            described.contains("retention.ms=86400000") && described.contains("segment.ms=3600000"),
            "{described}"
        );
        Ok(())
    })
    .await?;
    kafka_configs(cluster, "--alter --add-config retention.ms=60000").await?;
    let set_back = topic(cluster, |topic| {
        has(topic, "retention.ms", "86400000")
            && topic
                .change
                .as_deref()
                .is_some_and(|change| change.contains("set back"))
    })
    .await?;
    ensure!(
        set_back
            .change
            .is_some_and(|change| change.contains("retention.ms from 60000 to 86400000"))
    );
    cluster.live_on(&before).await
}

async fn a_cut_client_keeps_what_it_has_still_to_read(cluster: &Cluster) -> Result<()> {
    cluster.cut(&clients([1], Link::Both)).await?;
    cluster.enforced().await?;
    cluster.sql(SERVER, &hundred("missed")).await?;
    set(cluster, short()).await?;
    let message = says(cluster, "False", "WouldLoseEvents").await?;
    ensure!(message.contains("client-1"), "{message}");
    topic(cluster, |topic| {
        topic.state == TopicState::Refused && is_set(topic, "retention.ms", "86400000")
    })
    .await?;
    heals(cluster).await?;
    cluster.shows(ONE, &count("missed"), &["100"]).await?;
    cluster.converged().await
}

/// From then on Kafka may take away what the client has not read, and does so within seconds: what becomes of it is seen when rows are sent once
/// more.
async fn what_is_forced_is_done(cluster: &Cluster) -> Result<()> {
    cluster.cut(&clients([1], Link::Both)).await?;
    cluster.enforced().await?;
    cluster.sql(SERVER, &hundred("forced")).await?;
    set(cluster, short()).await?;
    topic(cluster, |topic| topic.state == TopicState::Refused).await?;
    let generation = cluster.get().await?.metadata.generation.context("no generation")?;
    cluster
        .annotate(FORCE_TOPICS_ANNOTATION, &generation.to_string())
        .await?;
    topic(cluster, |topic| has(topic, "retention.ms", "1000")).await?;
    heals(cluster).await
}

async fn heals(cluster: &Cluster) -> Result<()> {
    set(cluster, json!({ "cleanupPolicy": "compact", "retention": null })).await?;
    topic(cluster, |topic| has(topic, "cleanup.policy", "compact")).await?;
    cluster.heal().await
}

/// A policy that takes away at once what is older than a second.
fn short() -> Value {
    json!({ "cleanupPolicy": "compact,delete", "retention": "1s", "segment": null })
}

fn hundred(mark: &str) -> String {
    format!("insert into notes (mark, site) select '{mark}', 'server' from generate_series(1, 100)")
}

fn count(mark: &str) -> String {
    format!("select count(*) from notes where mark = '{mark}'")
}

async fn rows_are_sent_once_more(cluster: &Cluster) -> Result<()> {
    cluster.annotate(RESNAPSHOT_ANNOTATION, "server/public.notes").await?;
    eventually(PATIENCE, async || {
        let resource = cluster.get().await?;
        let left = resource.metadata.annotations.unwrap_or_default();
        ensure!(
            !left.contains_key(RESNAPSHOT_ANNOTATION),
            "not done: {:?}",
            resource.status.map(|status| status.resnapshot)
        );
        let sites = resource.status.unwrap_or_default().sites;
        let snapshot = sites
            .into_iter()
            .find_map(|site| site.snapshot.filter(|_| site.name == "server"));
        let snapshot = snapshot.context("the server's snapshot is not in the status yet")?;
        ensure!(snapshot.rows >= 100 && snapshot.done_at.is_some(), "{snapshot:?}");
        Ok(())
    })
    .await?;
    cluster.shows(ONE, &count("forced"), &["100"]).await?;
    cluster.annotate(RESNAPSHOT_ANNOTATION, "client-7").await?;
    eventually(PATIENCE, async || {
        let said = status(cluster).await?.resnapshot.context("nothing is said yet")?;
        ensure!(said.message.contains("spec.clients is 1"), "{said:?}");
        Ok(())
    })
    .await?;
    cluster.converged().await
}
