//! Nodes that are full to their limits have room in the memory that the operator gives their pods: a flood of names ends in refusals.

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use hyper::Method;
use serde_json::{Value, json};
use synccluster_harness::{Kafka, eventually};
use synccluster_integration::counter::{Nodes, bytes_of};
use synccluster_operator::plan::{Kind, plan};

use crate::{likes::PATIENCE, operator::counting};

const NODE: &str = env!("CARGO_BIN_EXE_counter_node");
const NODES: usize = 2;
/// Likes of one request.
const BATCH: usize = 500;

/// A pod as the operator plans it.
struct Pod {
    /// Its limit.
    megabytes: f64,
    ids: usize,
    clients: usize,
    /// What its node is told of limits and memory.
    environment: Vec<(String, String)>,
}

impl Pod {
    fn planned() -> Result<Self> {
        let objects = plan(&counting("demo", &json!({ "nodes": NODES }))?);
        let mut sets = objects.apply.iter().filter(|object| object.kind == Kind::StatefulSet);
        let set = sets.find(|set| set.name == "demo-counter").context("no StatefulSet")?;
        let container = &set.body["spec"]["template"]["spec"]["containers"][0];
        let limit = container["resources"]["limits"]["memory"].as_str();
        let limit = limit
            .and_then(|limit| limit.strip_suffix("Mi"))
            .context("no limit in Mi")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let told = container["env"].as_array().context("no environment")?.iter();
        let told = told.map(|variable| (text(&variable["name"]), text(&variable["value"])));
        let about = ["COUNTER_MAX_", "COUNTER_REMEMBER_", "MALLOC_"];
        let environment: Vec<_> = told
            .filter(|(name, _)| about.iter().any(|begin| name.starts_with(begin)))
            .collect();
        let number = |name: &str| -> Result<usize> {
            let found = environment.iter().find(|(found, _)| found == name);
            Ok(found.with_context(|| format!("no {name}"))?.1.parse()?)
        };
        Ok(Self {
            megabytes: limit.parse()?,
            ids: number("COUNTER_MAX_IDS")?,
            clients: number("COUNTER_MAX_CLIENTS")?,
            environment,
        })
    }

    fn has_room(&self, nodes: &Nodes, node: usize) -> Result<()> {
        let peak = nodes.peak_mb(node)?;
        println!("node {node}: {peak:.0} MB of {:.0}", self.megabytes);
        ensure!(peak < self.megabytes, "node {node}: {peak} MB of {}", self.megabytes);
        Ok(())
    }
}

/// So many bytes for each id, and for each client.
#[derive(Clone, Copy)]
struct Lengths {
    id: usize,
    client: usize,
}

impl Lengths {
    fn like(self, node: usize, number: usize, ids: usize) -> Value {
        let (id, client) = (number % ids, self.client - 1);
        json!({
            "id": format!("{id:0>width$}", width = self.id), "by": "a test", "request": format!("{node}{number:0>client$}/1"),
        })
    }
}

/// All clients a node takes, each with an id, until there is no id that it does not have.
async fn fill(nodes: &Nodes, node: usize, pod: &Pod, lengths: Lengths) -> Result<()> {
    for first in (0..pod.clients).step_by(BATCH) {
        let batch = first..pod.clients.min(first + BATCH);
        let likes: Vec<_> = batch.map(|number| lengths.like(node, number, pod.ids)).collect();
        nodes.like(node, &likes.into()).await?;
    }
    Ok(())
}

/// How many likes a node's worker has counted.
async fn counted(nodes: &Nodes, node: usize) -> Result<usize> {
    let metrics = nodes.metrics(node).await?;
    let mut lines = metrics.lines();
    let line = lines.find(|line| line.starts_with("synccluster_counter_windows_likes_total"));
    let value = line.and_then(|line| line.split_whitespace().last());
    Ok(value.context("no such metric")?.parse()?)
}

async fn full_nodes_have_room(lengths: Lengths) -> Result<()> {
    let pod = Pod::planned()?;
    let kafka = Kafka::start().await?;
    let environment: Vec<_> = pod
        .environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let bootstrap = kafka.bootstrap();
    let flags = ["--bootstrap-servers", bootstrap.as_str()];
    let mut nodes = Nodes::start_in(NODE, NODES, &flags, &environment).await?;
    try_join_all((0..NODES).map(|node| fill(&nodes, node, &pod, lengths))).await?;

    // Known to all, on every disk, in Kafka, and counted.
    let names = pod.ids * lengths.id + pod.clients * lengths.client;
    eventually(PATIENCE, async || {
        let mut likes = 0;
        for node in 0..NODES {
            let status = nodes.status(node).await?;
            let end = u64::try_from(pod.clients)?;
            ensure!(status.published == Some(end), "node {node}: {:?}", status.published);
            ensure!(
                status.peers.iter().all(|peer| peer.known == Some(end)),
                "{:?}",
                status.peers
            );
            let snapshot = bytes_of(&nodes.nodes[node].data, "snapshot")?;
            ensure!(
                snapshot >= u64::try_from(NODES * names)?,
                "node {node}: {snapshot} bytes"
            );
            likes += counted(&nodes, node).await?;
        }
        ensure!(likes >= NODES * pod.clients, "{likes} are counted");
        Ok(())
    })
    .await?;
    for node in 0..NODES {
        let another = json!({ "id": "one more", "by": "a test" });
        let answer = nodes.ask(node, Method::POST, "/likes", Some(&another)).await?;
        answer.problem(507, "too-many-ids")?;
        let mut another = lengths.like(node, 0, pod.ids);
        another["request"] = "one-more/1".into();
        let answer = nodes.ask(node, Method::POST, "/likes", Some(&another)).await?;
        answer.problem(507, "too-many-clients")?;
        pod.has_room(&nodes, node)?;
    }

    // What is on disk is taken in at once.
    nodes.kill(0).await?;
    nodes.run(0).await?;
    eventually(PATIENCE, async || {
        let status = nodes.status(0).await?;
        ensure!(status.ids == u64::try_from(pod.ids)?, "{} ids", status.ids);
        Ok(())
    })
    .await?;
    pod.has_room(&nodes, 0)
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_of_the_longest_ids_and_clients_as_are_allowed_fit_into_a_pod() -> Result<()> {
    full_nodes_have_room(Lengths { id: 256, client: 126 }).await
}
