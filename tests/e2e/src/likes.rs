//! People at every counter node who like until they are told to stop, and send a like again until somebody acknowledges it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{Cluster, PATIENCE, eventually};

/// Between two requests of a person.
const PACE: Duration = Duration::from_millis(100);
/// A connection through a pod that was killed may hang.
const LIMIT: Duration = Duration::from_secs(3);
/// Likes of one request.
const BATCH: u64 = 5;
/// What is liked.
const IDS: [&str; 3] = ["tea", "coffee", "cake"];

/// Likes on their way.
pub struct Likes {
    stop: CancellationToken,
    people: BTreeMap<u16, Person>,
}

struct Person {
    acknowledged: Arc<AtomicU64>,
    task: JoinHandle<Result<BTreeMap<String, i64>>>,
}

impl Likes {
    /// One person at each node, called after `purpose`.
    pub async fn start(cluster: &Cluster, purpose: &str) -> Result<Self> {
        let stop = CancellationToken::new();
        let nodes = cluster.nodes().await?;
        let start = |node: u16| {
            let acknowledged = Arc::new(AtomicU64::new(0));
            let name = format!("{purpose}-{node}");
            let (count, stop) = (Arc::clone(&acknowledged), stop.clone());
            let task = tokio::spawn(like(cluster.clone(), node, nodes.end, name, count, stop));
            (node, Person { acknowledged, task })
        };
        let people = nodes.clone().map(start).collect();
        Ok(Self { stop, people })
    }

    /// Waits until everybody's likes were acknowledged so many more times.
    pub async fn go_on(&self, more: u64) -> Result<()> {
        let counts = || {
            let people = self.people.iter();
            people.map(|(node, person)| (*node, person.acknowledged.load(Ordering::Relaxed)))
        };
        let before: BTreeMap<u16, u64> = counts().collect();
        eventually(PATIENCE, async || {
            for (node, count) in counts() {
                let wanted = before.get(&node).copied().unwrap_or_default() + more;
                ensure!(
                    count >= wanted,
                    "{count} requests of the person at counter-{node} are acknowledged, not {wanted}"
                );
            }
            Ok(())
        })
        .await
    }

    /// Ends it: what was acknowledged, which is all that was sent.
    pub async fn stop(self) -> Result<BTreeMap<String, i64>> {
        self.stop.cancel();
        let mut all = BTreeMap::new();
        for (node, person) in self.people {
            let liked = person
                .task
                .await?
                .with_context(|| format!("the person at counter-{node}"))?;
            for (id, n) in liked {
                *all.entry(id).or_default() += n;
            }
        }
        Ok(all)
    }
}

async fn like(
    cluster: Cluster,
    home: u16,
    nodes: u16,
    name: String,
    acknowledged: Arc<AtomicU64>,
    stop: CancellationToken,
) -> Result<BTreeMap<String, i64>> {
    let mut counted = BTreeMap::new();
    for batch in 0_u64.. {
        if stop.is_cancelled() {
            break;
        }
        let likes: Vec<(u64, &str)> = (batch * BATCH..(batch + 1) * BATCH)
            .zip(IDS.into_iter().cycle())
            .collect();
        let body: Value = likes
            .iter()
            .map(|(n, id)| json!({ "id": id, "by": name, "n": 1 + n % 3, "request": format!("{name}/{n}") }))
            .collect();
        until_acknowledged(&cluster, home, nodes, &body).await?;
        for (n, id) in likes {
            *counted.entry(id.to_owned()).or_default() += i64::try_from(1 + n % 3)?;
        }
        acknowledged.fetch_add(1, Ordering::Relaxed);
        sleep(PACE).await;
    }
    Ok(counted)
}

/// At the own node; while it does not answer, at the next one: the same requests, which count once.
async fn until_acknowledged(cluster: &Cluster, home: u16, nodes: u16, likes: &Value) -> Result<()> {
    let (mut node, begun) = (home, Instant::now());
    loop {
        let answer = timeout(LIMIT, cluster.like(node, likes)).await;
        let refused = answer.with_context(|| format!("no answer of counter-{node} within {LIMIT:?}"));
        match refused.and_then(|answer| answer) {
            Ok(_) => return Ok(()),
            Err(error) if begun.elapsed() > PATIENCE => return Err(error),
            Err(_) => node = (node + 1) % nodes,
        }
        sleep(PACE).await;
    }
}
