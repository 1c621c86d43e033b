//! Somebody who likes from a terminal in the cluster: the counters' terminal client in a pod, on a terminal of tmux's.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use synccluster_harness::Tmux;
use synccluster_operator::names;
use tokio::time::{Instant, sleep};

use crate::namespace::context;
use crate::web::Visitor;
use crate::{Cluster, Namespace, PATIENCE, eventually};

/// Between two looks at the screen.
const LOOK: Duration = Duration::from_millis(50);
/// What a look takes at most: the rest is this program's own lateness.
const A_LOOK: Duration = Duration::from_millis(600);
/// A client that has noticed that its node is gone has another within so long. It notices after 1.5 s at the latest.
const ANOTHER: Duration = Duration::from_secs(3);

/// A person at a terminal.
pub struct Terminal {
    tmux: Tmux,
    name: &'static str,
    namespace: Namespace,
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
        let exec = format!("kubectl {context}--namespace {} exec", cluster.namespace.name);
        let (pod, leaders) = (visitor.name(), leaders.join(","));
        // A kubelet that is not reached for once is asked again; the client begins once.
        let line = format!(
            "until {exec} {pod} -- true; do sleep 1; done; \
             {exec} --stdin --tty {pod} -- synccluster-counter client --leader {leaders} --name {name}"
        );
        let terminal = Self {
            tmux: Tmux::new(),
            name,
            namespace: cluster.namespace.clone(),
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

    /// Waits until it is at another node than this one, which was killed or cut off, and sees how long it was at that and at none: from the first such
    /// screen to the last one. Screens come by way of the API server: while that is late, so are they, and the time does not count.
    pub async fn moves(&self, from: u16, limit: Duration) -> Result<()> {
        let begun = Instant::now();
        let (mut at_old, mut at_none) = (Duration::ZERO, None);
        let mut before = begun;
        loop {
            let asked = Instant::now();
            let (at, is_in_time) = tokio::join!(self.node(), self.namespace.is_in_time());
            let passed = (asked - before).min(A_LOOK);
            before = asked;
            let counted = if is_in_time { passed } else { Duration::ZERO };
            match at {
                Ok(node) if node != from => return Ok(()),
                Ok(_) => {
                    at_none = None;
                    at_old += counted;
                    ensure!(at_old <= limit, "still at counter-{from} after {at_old:?}");
                }
                Err(error) => {
                    let so_far = at_none.map_or(Duration::ZERO, |so_far| so_far + counted);
                    at_none = Some(so_far);
                    ensure!(so_far <= ANOTHER, "at no node for {so_far:?}: {error}");
                }
            }
            ensure!(
                begun.elapsed() <= PATIENCE,
                "at no other node than counter-{from}, and the API server is late all the while"
            );
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
