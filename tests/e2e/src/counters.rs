//! Counter nodes as their clients see them, and what is in Kafka of their likes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use synccluster_operator::names::{self, Component};

use crate::http::Question;
use crate::{Cluster, PATIENCE, eventually};

/// Port that says which node a client goes to.
const LEADER: u16 = 5001;
/// Port for clients.
const CLIENTS: u16 = 5002;
/// Port of `/status`.
const HTTP: u16 = 8080;

/// After so long without a record a consumer has them all, on a machine that has time.
const SILENCE: Duration = Duration::from_secs(10);
/// The same on any machine.
const LONGEST: Duration = Duration::from_secs(40);
/// The consumer is a Java, and may have to read several times.
const COUNTED: Duration = Duration::from_mins(6);

/// Whom a node takes for the leader, or sends a client to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Said {
    /// Which node.
    pub node: u16,
    /// In which term.
    pub term: u64,
}

/// A like in topic `<cluster>.likes`.
#[derive(Debug, Deserialize)]
struct Published {
    id: String,
    n: i64,
    at: i64,
    node: u16,
    position: u64,
}

/// A window in a topic of aggregations.
#[derive(Debug, Deserialize)]
struct Window {
    id: String,
    #[serde(rename = "window_start")]
    start: i64,
    #[serde(rename = "window_end")]
    end: i64,
    count: i64,
    late: i64,
    #[serde(rename = "final")]
    is_final: bool,
}

/// Of all windows, what not every like shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Closed {
    /// When the last one began that is final, in milliseconds since the Unix epoch; none if none is.
    pub last: Option<i64>,
    /// How many likes came after theirs was.
    pub late: i64,
}

/// Window, as start and length, and id.
type Slot = (i64, i64, String);

impl Cluster {
    /// The ordinals of the counter nodes.
    pub async fn nodes(&self) -> Result<std::ops::Range<u16>> {
        Ok(0..u16::try_from(self.get().await?.spec.counter.nodes)?)
    }

    async fn ask_node(&self, node: u16, port: u16, path: &str, likes: Option<&Value>) -> Result<(StatusCode, Value)> {
        let question = Question {
            method: if likes.is_some() { Method::POST } else { Method::GET },
            path,
            token: None,
            body: likes,
        };
        self.ask(&names::counter_pod(&self.name, node), port, question).await
    }

    /// Posts likes at a node until it answers; what it answers if it has counted them. They count once: the requests are the same.
    pub async fn surely_like(&self, node: u16, likes: &Value) -> Result<Value> {
        eventually(PATIENCE, async || self.like(node, likes).await).await
    }

    /// Posts likes at a node; what it answers if it has counted them.
    pub async fn like(&self, node: u16, likes: &Value) -> Result<Value> {
        let (status, answer) = self.ask_node(node, CLIENTS, "/likes", Some(likes)).await?;
        ensure!(status == StatusCode::OK, "counter-{node}: {status}: {answer}");
        Ok(answer)
    }

    /// What a node says of these ids.
    pub async fn totals(&self, node: u16, ids: &[&str]) -> Result<BTreeMap<String, i64>> {
        let path = format!("/totals?ids={}", ids.join(","));
        let (status, answer) = self.ask_node(node, CLIENTS, &path, None).await?;
        ensure!(status == StatusCode::OK, "counter-{node}: {status}: {answer}");
        let totals = answer["totals"].as_array().context("no totals")?;
        let total = |entry: &Value| Some((entry["id"].as_str()?.to_owned(), entry["total"].as_i64()?));
        totals.iter().map(|entry| total(entry).context("not a total")).collect()
    }

    /// Waits until every node says exactly this.
    pub async fn all_nodes_say(&self, expected: &BTreeMap<String, i64>) -> Result<()> {
        let ids: Vec<&str> = expected.keys().map(String::as_str).collect();
        let nodes = self.nodes().await?;
        eventually(PATIENCE, async || {
            for node in nodes.clone() {
                let totals = self.totals(node, &ids).await?;
                ensure!(
                    totals == *expected,
                    "counter-{node} says {totals:?} instead of {expected:?}"
                );
            }
            Ok(())
        })
        .await
    }

    /// Where a node sends a client.
    pub async fn assigned(&self, node: u16, client: &str) -> Result<Said> {
        let (status, answer) = self
            .ask_node(node, LEADER, &format!("/assign?client={client}"), None)
            .await?;
        ensure!(status == StatusCode::OK, "counter-{node}: {status}: {answer}");
        Ok(serde_json::from_value(answer)?)
    }

    /// The address to which a node sends a client of the cluster.
    pub async fn assigned_address(&self, node: u16, client: &str) -> Result<String> {
        let path = format!("/assign?client={client}");
        let (status, answer) = self.ask_node(node, LEADER, &path, None).await?;
        ensure!(status == StatusCode::OK, "counter-{node}: {status}: {answer}");
        Ok(answer["address"].as_str().context("no address")?.to_owned())
    }

    /// Where a node sends a client by its own word, as a node is answered that asks for somebody: none unless it leads.
    pub async fn assigned_by(&self, node: u16, client: &str) -> Result<Option<Said>> {
        let path = format!("/assign?client={client}");
        let question = Question {
            method: Method::GET,
            path: &path,
            token: None,
            body: None,
        };
        let pod = names::counter_pod(&self.name, node);
        let answer = self
            .ask_with(&pod, LEADER, question, Some(("counter-forwarded", "1")))
            .await?;
        match answer {
            (StatusCode::OK, said) => Ok(Some(serde_json::from_value(said)?)),
            (StatusCode::SERVICE_UNAVAILABLE, _) => Ok(None),
            (status, answer) => anyhow::bail!("counter-{node}: {status}: {answer}"),
        }
    }

    /// Whom a node takes for the leader.
    pub async fn leader_at(&self, node: u16) -> Result<Option<Said>> {
        let (status, answer) = self.ask_node(node, HTTP, "/status", None).await?;
        ensure!(status == StatusCode::OK, "counter-{node}: {status}: {answer}");
        Ok(serde_json::from_value(answer["leader"].clone())?)
    }

    /// Waits until all nodes agree who leads.
    pub async fn leader(&self) -> Result<Said> {
        let nodes = self.nodes().await?;
        eventually(PATIENCE, async || {
            let mut said = BTreeSet::new();
            for node in nodes.clone() {
                said.insert(self.leader_at(node).await?);
            }
            let mut said = said.into_iter();
            match (said.next(), said.next()) {
                (Some(Some(leader)), None) => Ok(leader),
                (one, other) => anyhow::bail!("not one leader: {one:?}, {other:?}"),
            }
        })
        .await
    }

    /// Everything in the topics of likes and windows, by a consumer that reads what is committed, and ends when it has got nothing for so long.
    async fn counted(&self, silence: Duration) -> Result<(Vec<Published>, Vec<Window>)> {
        let kafka = format!("{}-0", names::kafka(&self.name));
        let topics = format!("{}[.](likes|aggregations-.*)", self.name);
        // The broker's settings are in the environment: a heap of its size, and a log that goes where the records do. The time without a record
        // after which it ends begins before it has found its topics.
        let read = format!(
            "export KAFKA_HEAP_OPTS=\"-Xmx96m -XX:TieredStopAtLevel=1\" KAFKA_LOG4J_OPTS=-Dlog4j2.configurationFile=/opt/kafka/config/tools-log4j2.properties EXTRA_ARGS=; \
             exec /opt/kafka/bin/kafka-console-consumer.sh --bootstrap-server localhost:9092 --include '{topics}' --from-beginning \
             --isolation-level read_committed --timeout-ms {}",
            silence.as_millis()
        );
        let printed = self
            .exec_within(PATIENCE, &kafka, Component::Kafka.as_str(), &["bash", "-c", &read])
            .await?;
        let (mut likes, mut windows) = (Vec::new(), Vec::new());
        for line in printed.lines().filter(|line| line.starts_with('{')) {
            if line.contains("\"window_start\"") {
                windows.push(serde_json::from_str(line).with_context(|| line.to_owned())?);
            } else {
                likes.push(serde_json::from_str(line).with_context(|| line.to_owned())?);
            }
        }
        Ok((likes, windows))
    }

    /// Waits until Kafka has exactly these likes, each position of a log once, and windows of these lengths (in milliseconds) that are what
    /// counting the likes again gives, whose count stays once they are final.
    pub async fn counted_exactly(&self, expected: &BTreeMap<String, i64>, lengths: &[i64]) -> Result<Closed> {
        let mut silence = SILENCE;
        eventually(COUNTED, async || {
            let (likes, windows) = self.counted(silence).await?;
            // If something is missing, the consumer may have been slow.
            silence = LONGEST.min(silence * 2);
            let positions: BTreeSet<(u16, u64)> = likes.iter().map(|like| (like.node, like.position)).collect();
            assert_eq!(positions.len(), likes.len(), "an entry of a log is in the topic twice");
            let mut totals = BTreeMap::<String, i64>::new();
            let mut recount = BTreeMap::<Slot, i64>::new();
            for like in &likes {
                *totals.entry(like.id.clone()).or_default() += like.n;
                for length in lengths {
                    let start = like.at - like.at.rem_euclid(*length);
                    *recount.entry((start, *length, like.id.clone())).or_default() += like.n;
                }
            }
            ensure!(
                totals == *expected,
                "the topic of the likes has {totals:?} instead of {expected:?}"
            );
            let last = last_of_each(windows)?;
            let said: BTreeMap<&Slot, i64> = last
                .iter()
                .map(|(slot, window)| (slot, window.count + window.late))
                .collect();
            let wrong: Vec<_> = recount
                .iter()
                .filter(|(slot, count)| said.get(slot) != Some(*count))
                .map(|(slot, count)| (slot, count, said.get(slot)))
                .take(5)
                .collect();
            ensure!(
                wrong.is_empty(),
                "windows that are not what a recount gives (slot, recount, topic): {wrong:?}"
            );
            let invented: Vec<_> = said
                .iter()
                .filter(|(slot, _)| !recount.contains_key(**slot))
                .take(5)
                .collect();
            ensure!(invented.is_empty(), "windows of no likes: {invented:?}");
            let finals = last.values().filter(|window| window.is_final);
            Ok(Closed {
                last: finals.map(|window| window.start).max(),
                late: last.values().map(|window| window.late).sum(),
            })
        })
        .await
    }
}

/// The last one for a key counts. A key's records are in order: once one is final the later ones are too, with the same count. What is late may
/// become less again: a like that counted twice is taken back.
fn last_of_each(windows: Vec<Window>) -> Result<BTreeMap<Slot, Window>> {
    let mut last = BTreeMap::<Slot, Window>::new();
    for window in windows {
        let slot = (window.start, window.end - window.start, window.id.clone());
        if let Some(before) = last.get(&slot).filter(|before| before.is_final) {
            ensure!(
                window.is_final && window.count == before.count,
                "a window that was final has become another: {before:?}, then {window:?}"
            );
        } else {
            ensure!(
                window.is_final || window.late == 0,
                "likes are late for a window that is open: {window:?}"
            );
        }
        last.insert(slot, window);
    }
    Ok(last)
}
