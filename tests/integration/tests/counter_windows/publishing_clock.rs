//! Nodes whose clock is two hours ahead, and the topic of the likes.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rdkafka::{
    Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
};
use serde_json::Value;
use synccluster_counter::{
    crdt::{Add, Ordinal, Remember},
    log,
    mesh::members::Heartbeat,
    node::{self, Node},
    publish::{Nodes, Publisher, Reason, supervise},
    windows::Settings,
};
use synccluster_harness::{Kafka, eventually};
use synccluster_runtime::{clock::now_millis, link::Probe};
use tokio::{
    sync::oneshot,
    task::{JoinHandle, spawn_blocking},
};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::{HOUR, two_hours_ahead},
    likes::{PATIENCE, client, values},
    worker::settings,
};

/// A node by itself, with its log on disk.
struct Alone {
    node: Arc<Node>,
    folder: PathBuf,
}

impl Alone {
    fn start(settings: &Settings) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("synccluster-{}", settings.cluster));
        let node = Node::start(node::Settings {
            cluster: settings.cluster.clone(),
            ordinal: Ordinal(0),
            nodes: vec![Ordinal(0)],
            data: folder.clone(),
            remember: Remember {
                time: Duration::from_mins(10),
                count: 1000,
                idle: Duration::from_hours(24),
                runs: 1000,
            },
            max_ids: 1000,
            log: log::Settings { segment_bytes: 1 << 20 },
            log_bytes: 1 << 24,
            publishes: true,
            heartbeat: Heartbeat::default(),
        })?;
        Ok(Self { node, folder })
    }

    async fn like(&self, count: usize) -> Result<()> {
        let add = |n| -> Result<Add> {
            Ok(Add {
                id: format!("id-{n}").parse()?,
                by: "ann".parse()?,
                n: 1,
                request: None,
            })
        };
        let (answered, answer) = oneshot::channel();
        let adds = (0..count).map(add).collect::<Result<_>>()?;
        self.node
            .like(adds, Box::new(move |answer| drop(answered.send(answer))));
        answer.await??;
        Ok(())
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Publishes its log, as a task.
struct Publishing {
    error: Reason,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Publishing {
    fn start(settings: &Settings, alone: &Alone) -> Self {
        let (of, probe) = (Arc::clone(&alone.node), Probe::start(&settings.kafka));
        let log = alone.node.log().clone();
        let publisher = Publisher::new(Arc::new(settings.clone()), log, probe, move || Nodes::of(&of));
        let (error, stop) = (publisher.error(), CancellationToken::new());
        let running = tokio::spawn(supervise(publisher, stop.clone()));
        Self { error, stop, running }
    }

    async fn stop(self) -> Result<()> {
        self.stop.cancel();
        Ok(self.running.await?)
    }
}

/// Waits until just these positions are in the topic, each once.
async fn wait_for(settings: &Settings, last: u64) -> Result<()> {
    eventually(PATIENCE, async || {
        let of = settings.clone();
        let likes = spawn_blocking(move || values(&of, &of.topics.likes)).await??;
        let positions = likes.iter().flatten().map(|like| like["position"].as_u64());
        let mut positions: Vec<_> = positions.collect::<Option<_>>().context("no position")?;
        positions.sort_unstable();
        ensure!(positions == (1..=last).collect::<Vec<_>>(), "{positions:?}");
        Ok(())
    })
    .await
}

/// From when on the next session looks for what the last transaction wrote.
fn looks_from(settings: &Settings) -> Result<i64> {
    let reader: BaseConsumer = client(settings)
        .set("group.id", format!("{}.counter-0", settings.cluster))
        .create()?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&settings.topics.likes, 0, Offset::Invalid)?;
    let committed = reader.committed_offsets(list, PATIENCE)?;
    let elements = committed.elements();
    let stored: Value = serde_json::from_str(elements.first().context("no offset")?.metadata())?;
    stored["since"].as_i64().context("since")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_of_ours_takes_the_likes_of_a_node_whatever_its_clock_shows() -> Result<()> {
    let kafka = Kafka::shared().await?;
    let settings = settings(&format!("w{}", rand::random::<u32>()), &kafka.bootstrap())?;
    let (settings, _) = two_hours_ahead(&settings);
    let alone = Alone::start(&settings)?;
    for session in 1..=3 {
        let publishing = Publishing::start(&settings, &alone);
        alone.like(10).await?;
        wait_for(&settings, 10 * session).await?;
        ensure!(publishing.error.get().is_none(), "{:?}", publishing.error.get());
        publishing.stop().await?;
        let of = settings.clone();
        let since = spawn_blocking(move || looks_from(&of)).await??;
        let behind = now_millis() - since;
        ensure!(
            (0..HOUR / 60).contains(&behind),
            "{behind} ms behind the broker's clock"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_compares_times_with_its_clock_is_named_with_what_to_do() -> Result<()> {
    let kafka = Kafka::shared().await?;
    let settings = settings(&format!("w{}", rand::random::<u32>()), &kafka.bootstrap())?;
    let admin: AdminClient<DefaultClientContext> = client(&settings).create()?;
    let topic = NewTopic::new(&settings.topics.likes, 4, TopicReplication::Fixed(1));
    for made in admin.create_topics([&topic], &AdminOptions::new()).await? {
        made.map_err(|(topic, code)| anyhow::anyhow!("{topic}: {code}"))?;
    }
    let (settings, ahead) = two_hours_ahead(&settings);
    let alone = Alone::start(&settings)?;
    alone.like(10).await?;
    let publishing = Publishing::start(&settings, &alone);
    eventually(PATIENCE, async || {
        let error = publishing.error.get().context("nothing is said")?;
        let is_clear = error.contains(&settings.topics.likes)
            && error.contains("message.timestamp.after.max.ms")
            && error.contains("set the clock");
        ensure!(is_clear, "{error}");
        Ok(())
    })
    .await?;
    ahead.store(0, Ordering::Relaxed);
    wait_for(&settings, 10).await?;
    eventually(PATIENCE, async || {
        ensure!(publishing.error.get().is_none(), "{:?}", publishing.error.get());
        Ok(())
    })
    .await?;
    publishing.stop().await
}
