//! Writers at every site that count what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use synccluster_protocol::Site;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, Error};
use tokio_util::sync::CancellationToken;

use crate::{Cluster, PATIENCE, eventually};

/// Between two writes of a site.
const PACE: Duration = Duration::from_millis(40);
/// A connection through a pod that was killed may hang.
const LIMIT: Duration = Duration::from_secs(5);

/// Writers at work.
pub struct Load {
    stop: CancellationToken,
    writers: BTreeMap<Site, Writer>,
}

struct Writer {
    acknowledged: Arc<AtomicU64>,
    task: JoinHandle<Result<Written>>,
}

/// What was written.
#[derive(Default)]
pub struct Written {
    /// The database said that it is committed.
    pub acknowledged: BTreeSet<String>,
    /// The database was killed before it said anything: committed or not.
    pub doubtful: BTreeSet<String>,
}

impl Load {
    /// One writer at each site.
    pub async fn start(cluster: &Cluster) -> Result<Self> {
        let stop = CancellationToken::new();
        let start = |site: Site| {
            let acknowledged = Arc::new(AtomicU64::new(0));
            let task = tokio::spawn(write(cluster.clone(), site, Arc::clone(&acknowledged), stop.clone()));
            (site, Writer { acknowledged, task })
        };
        let writers = cluster.sites().await?.into_iter().map(start).collect();
        Ok(Self { stop, writers })
    }

    /// Waits until every site has acknowledged so many more writes.
    pub async fn goes_on(&self, more: u64) -> Result<()> {
        let counts = || {
            self.writers
                .iter()
                .map(|(site, writer)| (*site, writer.acknowledged.load(Ordering::Relaxed)))
        };
        let before: BTreeMap<Site, u64> = counts().collect();
        eventually(PATIENCE, async || {
            for (site, count) in counts() {
                let wanted = before.get(&site).copied().unwrap_or_default() + more;
                ensure!(count >= wanted, "{site} has acknowledged {count} writes, not {wanted}");
            }
            Ok(())
        })
        .await
    }

    /// Ends it.
    pub async fn stop(self) -> Result<Written> {
        self.stop.cancel();
        let mut all = Written::default();
        for (site, writer) in self.writers {
            let written = writer.task.await?.with_context(|| format!("the writer at {site}"))?;
            all.acknowledged.extend(written.acknowledged);
            all.doubtful.extend(written.doubtful);
        }
        Ok(all)
    }
}

async fn write(cluster: Cluster, site: Site, acknowledged: Arc<AtomicU64>, stop: CancellationToken) -> Result<Written> {
    let (mut written, mut connection) = (Written::default(), None::<Client>);
    for n in 0_u64.. {
        if stop.is_cancelled() {
            break;
        }
        sleep(PACE).await;
        let app = match connection.take() {
            Some(app) => app,
            None => match timeout(LIMIT, cluster.app(site)).await {
                Ok(Ok(app)) => app,
                _ => continue,
            },
        };
        // A mark is never used again, whatever became of its write.
        let mark = format!("load {site} {n}");
        let name = site.to_string();
        let insert = "insert into notes (mark, site) values ($1, $2)";
        match timeout(LIMIT, app.execute(insert, &[&mark, &name])).await {
            Ok(Ok(_)) => {
                written.acknowledged.insert(mark);
                acknowledged.fetch_add(1, Ordering::Relaxed);
                connection = Some(app);
            }
            Ok(Err(error)) if is_refusal(&error) => return Err(error.into()),
            _ => {
                written.doubtful.insert(mark);
            }
        }
    }
    Ok(written)
}

/// The database answered and did not take the write; class 57 is its shutdown.
fn is_refusal(error: &Error) -> bool {
    error.code().is_some_and(|code| !code.code().starts_with("57"))
}

impl Written {
    /// Every site has every acknowledged write once, and nothing else but writes of which nobody knows.
    pub async fn is_everywhere(&self, cluster: &Cluster) -> Result<()> {
        eventually(PATIENCE, async || {
            let everywhere = cluster
                .everywhere("select mark from notes where mark like 'load %'")
                .await?;
            for (site, marks) in everywhere {
                let distinct: BTreeSet<&String> = marks.iter().collect();
                assert_eq!(distinct.len(), marks.len(), "rows are doubled at {site}");
                let invented: Vec<_> = distinct
                    .iter()
                    .filter(|m| !self.acknowledged.contains(**m) && !self.doubtful.contains(**m))
                    .collect();
                assert!(invented.is_empty(), "nobody wrote what {site} has: {invented:?}");
                let missing: Vec<_> = self
                    .acknowledged
                    .iter()
                    .filter(|mark| !distinct.contains(mark))
                    .take(10)
                    .collect();
                ensure!(
                    missing.is_empty(),
                    "{site} has {} rows of {} and lacks {missing:?}",
                    marks.len(),
                    self.acknowledged.len()
                );
            }
            Ok(())
        })
        .await?;
        ensure!(
            self.acknowledged.len() > 500,
            "only {} writes: no load at all",
            self.acknowledged.len()
        );
        assert_eq!(
            cluster.sql(Site::Server, "select count(*) from sync.conflicts").await?,
            ["0"],
            "nobody wrote another's row"
        );
        Ok(())
    }
}
