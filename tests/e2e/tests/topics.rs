//! Topics are as the spec says while everything runs; a cut client keeps what it has still to read; rows are sent once more when somebody asks.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use synccluster_e2e::reach::clients;
use synccluster_e2e::{Cluster, PATIENCE, eventually, with_cluster};
use synccluster_operator::api::{
    FORCE_TOPICS_ANNOTATION, Link, RESNAPSHOT_ANNOTATION, SyncCluster, SyncClusterStatus, TopicState, TopicStatus,
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

async fn annotate(cluster: &Cluster, annotation: &str, value: &str) -> Result<()> {
    let patch = Patch::Merge(json!({ "metadata": { "annotations": { annotation: value } } }));
    let api = cluster.namespace.api::<SyncCluster>();
    api.patch(cluster.name.as_str(), &PatchParams::default(), &patch)
        .await?;
    Ok(())
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
    topic.state == TopicState::AsWanted && topic.settings.get(setting).is_some_and(|found| found == value)
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
    cluster
        .exec(&pod, Component::Kafka.as_str(), &["bash", "-c", &command])
        .await
}

/// The identities of all pods and how often their containers were started.
async fn pods(cluster: &Cluster) -> Result<Vec<(Option<String>, i32)>> {
    let list = cluster.namespace.api::<Pod>().list(&ListParams::default()).await?;
    let restarts = |pod: &Pod| {
        let containers = pod
            .status
            .iter()
            .flat_map(|status| status.container_statuses.iter().flatten());
        containers.map(|container| container.restart_count).sum()
    };
    Ok(list.items.iter().map(|pod| (pod.uid(), restarts(pod))).collect())
}

async fn policies_change_while_everything_runs(cluster: &Cluster) -> Result<()> {
    let before = pods(cluster).await?;
    set(
        cluster,
        json!({ "cleanupPolicy": "compact,delete", "retention": "24h", "segment": "1h" }),
    )
    .await?;
    topic(cluster, |topic| has(topic, "retention.ms", "86400000")).await?;
    let described = kafka_configs(cluster, "--describe").await?;
    ensure!(
        described.contains("retention.ms=86400000") && described.contains("segment.ms=3600000"),
        "{described}"
    );
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
    ensure!(pods(cluster).await? == before, "something was restarted");
    Ok(())
}

async fn a_cut_client_keeps_what_it_has_still_to_read(cluster: &Cluster) -> Result<()> {
    cluster.cut(&clients([1], Link::Both)).await?;
    cluster.enforced().await?;
    let write = "insert into notes (mark, site) select 'missed', 'server' from generate_series(1, 100)";
    cluster.sql(SERVER, write).await?;
    set(
        cluster,
        json!({ "cleanupPolicy": "compact,delete", "retention": "1s", "segment": null }),
    )
    .await?;
    let message = says(cluster, "False", "WouldLoseEvents").await?;
    ensure!(message.contains("client-1"), "{message}");
    topic(cluster, |topic| {
        topic.state == TopicState::Refused && topic.settings["retention.ms"] == "86400000"
    })
    .await?;
    let generation = cluster.get().await?.metadata.generation.context("no generation")?;
    annotate(cluster, FORCE_TOPICS_ANNOTATION, &generation.to_string()).await?;
    topic(cluster, |topic| has(topic, "retention.ms", "1000")).await?;
    set(cluster, json!({ "cleanupPolicy": "compact", "retention": null })).await?;
    topic(cluster, |topic| has(topic, "cleanup.policy", "compact")).await?;
    cluster.heal().await?;
    cluster
        .shows(ONE, "select count(*) from notes where mark = 'missed'", &["100"])
        .await?;
    cluster.converged().await
}

async fn rows_are_sent_once_more(cluster: &Cluster) -> Result<()> {
    annotate(cluster, RESNAPSHOT_ANNOTATION, "server/public.notes").await?;
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
    annotate(cluster, RESNAPSHOT_ANNOTATION, "client-7").await?;
    eventually(PATIENCE, async || {
        let said = status(cluster).await?.resnapshot.context("nothing is said yet")?;
        ensure!(said.message.contains("spec.clients is 1"), "{said:?}");
        Ok(())
    })
    .await?;
    cluster.converged().await
}
