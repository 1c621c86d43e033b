//! Somebody who likes from a terminal in the cluster: the counters' terminal client in a pod, on a terminal of tmux's.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use synccluster_harness::Tmux;
use synccluster_operator::names;
use tokio::time::{Instant, sleep};

use crate::namespace::context;
use crate::web::Visitor;
use crate::{Cluster, PATIENCE, eventually};

/// Between two looks at the screen.
const LOOK: Duration = Duration::from_millis(50);
/// A client that has noticed that its node is gone has another within so long. It notices after 1.5 s at the latest.
const ANOTHER: Duration = Duration::from_secs(3);

/// A person at a terminal.
pub struct Terminal {
    tmux: Tmux,
    name: &'static str,
}

impl Terminal {
    /// Sits down in this pod, which the nodes let in, and waits to be sent to a node.
    pub async fn in_pod(cluster: &Cluster, visitor: &Visitor<'_>, name: &'static str) -> Result<Self> {
        let nodes = names::counter_nodes(&cluster.name);
        let leaders: Vec<_> = cluster
            .nodes()
            .await?
            .map(|node| format!("{}.{nodes}:5001", names::counter_pod(&cluster.name, node)))
            .collect();
        let context = context()
            .map(|context| format!("--context '{context}' "))
            .unwrap_or_default();
        let line = format!(
            "kubectl {context}--namespace {} exec --stdin --tty {} -- synccluster-counter client --leader {} --name {name}",
            cluster.namespace.name,
            visitor.name(),
            leaders.join(",")
        );
        let terminal = Self {
            tmux: Tmux::new(),
            name,
        };
        terminal.tmux.person(name, &line).await?;
        eventually(PATIENCE, async || terminal.node().await.map(drop)).await?;
        Ok(terminal)
    }

    /// The node that the screen's first line names.
    pub async fn node(&self) -> Result<u16> {
        let screen = self.tmux.screen(self.name).await?;
        node_of(&screen).with_context(|| format!("{} is at no node:\n{screen}", self.name))
    }

    /// Types a line.
    pub async fn types(&self, line: &str) -> Result<()> {
        self.tmux.types(self.name, line).await
    }

    /// Waits until it is at another node than this one, which has just been killed, and sees how long it was at none: from the first screen without a
    /// node to the last one, however long a look at the screen takes.
    pub async fn moves(&self, from: u16, limit: Duration) -> Result<()> {
        let begun = Instant::now();
        let mut at_none_since = None;
        loop {
            let (asked, at) = (Instant::now(), self.node().await);
            match at {
                Ok(node) if node != from => {
                    let at_none = at_none_since.map(|since| asked.saturating_duration_since(since));
                    ensure!(at_none.unwrap_or_default() <= ANOTHER, "at no node for {at_none:?}");
                    return Ok(());
                }
                Ok(_) => {
                    at_none_since = None;
                    ensure!(begun.elapsed() <= limit, "still at counter-{from} after {limit:?}");
                }
                Err(error) => {
                    let since = *at_none_since.get_or_insert_with(Instant::now);
                    let at_none = asked.saturating_duration_since(since);
                    ensure!(at_none <= ANOTHER, "at no node for {at_none:?}: {error}");
                }
            }
            sleep(LOOK).await;
        }
    }

    /// Waits until this id has this total on the screen.
    pub async fn sees(&self, id: &str, total: i64) -> Result<()> {
        eventually(PATIENCE, async || {
            let screen = self.tmux.screen(self.name).await?;
            let mut rows = screen.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            let total = total.to_string();
            let found = rows.any(|row| matches!(row[..], [of, seen, ..] if of == id && seen == total));
            ensure!(found, "{} does not see {total} of {id}:\n{screen}", self.name);
            Ok(())
        })
        .await
    }

    /// Ends it, when everything typed was acknowledged: so many likes.
    pub async fn quits(self, acknowledged: i64) -> Result<()> {
        self.types("quit").await?;
        let screen = self.tmux.shows_text(self.name, "exit code 0").await?;
        ensure!(screen.contains(&format!("{acknowledged} acknowledged")), "{screen}");
        Ok(())
    }
}

fn node_of(screen: &str) -> Option<u16> {
    let title = screen.lines().next()?;
    title.split_once(" · node ")?.1.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_says_at_which_node_one_is() {
        assert_eq!(
            node_of("likes of ann · node 2 · shop-counter-2:5002 · term 2\ntea 1"),
            Some(2)
        );
        assert_eq!(node_of("likes of ann · looking for a node: node 2 says nothing"), None);
        assert_eq!(node_of(""), None);
    }
}
