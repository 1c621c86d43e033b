//! Somebody who asks some counter nodes all the time where to go, and all of them who leads: none of them is silent for long, no term has two
//! leaders, and nobody answers for a term that is over.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Result, ensure};
use futures::future::join_all;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::Cluster;
use crate::counters::Said;

/// Whoever is there answers sooner.
const ANSWER: Duration = Duration::from_secs(1);
/// A look at all nodes takes a part of a second.
const PACE: Duration = Duration::from_millis(200);
/// Who asks.
const CLIENT: &str = "ann";

/// Goes on until it is stopped.
pub struct Watch {
    stop: CancellationToken,
    task: JoinHandle<Result<()>>,
}

impl Watch {
    /// Each of these nodes is to send a client somewhere at least so often. They are to be given in order.
    pub fn start(cluster: &Cluster, asked: Vec<u16>, limit: Duration) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(watch(cluster.clone(), asked, limit, stop.clone()));
        Self { stop, task }
    }

    /// What it saw, if that was wrong.
    pub async fn stop(self) -> Result<()> {
        self.stop.cancel();
        self.task.await?
    }
}

async fn watch(cluster: Cluster, asked: Vec<u16>, limit: Duration, stop: CancellationToken) -> Result<()> {
    let mut terms = Terms::default();
    let nodes = cluster.nodes().await?;
    let mut silences: BTreeMap<u16, Silence> = asked.iter().map(|node| (*node, Silence::default())).collect();
    let mut before = Instant::now();
    while !stop.is_cancelled() {
        let leading = join_all(nodes.clone().map(|node| timeout(ANSWER, cluster.leader_at(node))));
        let sending = join_all(
            asked
                .iter()
                .map(|node| timeout(ANSWER, cluster.assigned(*node, CLIENT))),
        );
        let assigning = join_all(
            nodes
                .clone()
                .map(|node| timeout(ANSWER, cluster.assigned_by(node, CLIENT))),
        );
        // A leader gives up what it writes to the API server a little later: where that is slow, nobody can be elected in time.
        let writing = cluster.namespace.is_in_time();
        let (leading, sending, assigning, writes_in_time) = tokio::join!(leading, sending, assigning, writing);
        let elapsed = before.elapsed();
        before += elapsed;
        // A look takes no longer: the rest is this program's own lateness.
        let passed = elapsed.min(ANSWER + PACE);
        // One that was killed answers nothing.
        for leader in leading.iter().flatten().flatten().flatten() {
            terms.has_leader(*leader)?;
        }
        let answers: BTreeSet<u16> = nodes
            .clone()
            .zip(&leading)
            .filter_map(|(node, said)| matches!(said, Ok(Ok(_))).then_some(node))
            .collect();
        let by = |(node, said): (u16, Option<Said>)| Some((node, said?.term));
        let assigning = nodes
            .clone()
            .zip(assigning)
            .filter_map(|(node, said)| Some((node, said.ok()?.ok()?)));
        let sent = sending.iter().flatten().flatten().map(|said| said.term);
        terms.after_a_look(assigning.filter_map(by), sent)?;
        for ((node, silence), assigned) in silences.iter_mut().zip(sending) {
            let seen = match (writes_in_time && !answers.is_empty(), answers.contains(node)) {
                (false, _) => Seen::Nothing,
                (true, false) => Seen::Others,
                (true, true) => Seen::All,
            };
            let silent = silence.after_a_look(passed, seen, matches!(assigned, Ok(Ok(_))));
            ensure!(
                silent.counted <= limit && silent.counted + silent.unseen <= limit * 3,
                "counter-{node} has assigned nobody for {silent:?}, and now says {assigned:?}"
            );
        }
        sleep(PACE).await;
    }
    Ok(())
}

/// What else answered in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// No node said how it is, or the API server took no write, which all questions pass: what is late is the machine. It counts for nobody; how long
    /// that may last is up to what else the test waits for.
    Nothing,
    /// The API server, and nodes, but not this one.
    Others,
    /// The API server, and this node: it said how it is, by the same way and as soon.
    All,
}

/// How long a node has sent nobody anywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Silence {
    /// While it said how it is.
    counted: Duration,
    /// While others did: then it is the way to the node that is slow, or the node as a whole, and not who assigns.
    unseen: Duration,
}

impl Silence {
    /// So long after the look before: what else answered in time, and whether it sent a client somewhere. Returns how long it had been silent up to
    /// this answer, which ends the silence.
    fn after_a_look(&mut self, passed: Duration, seen: Seen, sent: bool) -> Self {
        if sent || seen == Seen::All {
            self.counted += passed;
            self.unseen = Duration::ZERO;
        } else if seen == Seen::Others {
            self.unseen += passed;
        }
        let silent = *self;
        if sent {
            *self = Self::default();
        }
        silent
    }
}

/// What was seen of terms.
#[derive(Default)]
struct Terms {
    leaders: BTreeMap<u64, u16>,
    /// The highest in which anybody has been sent anywhere.
    highest: u64,
}

impl Terms {
    fn has_leader(&mut self, Said { node, term }: Said) -> Result<()> {
        let first = *self.leaders.entry(term).or_insert(node);
        ensure!(first == node, "term {term} has two leaders: {first} and {node}");
        Ok(())
    }

    /// Who sent a client somewhere by its own word and in which term, and the terms of what others passed on. All was asked after what was seen
    /// before had been answered.
    fn after_a_look(
        &mut self,
        assigning: impl Iterator<Item = (u16, u64)>,
        passed_on: impl Iterator<Item = u64>,
    ) -> Result<()> {
        let mut all: Vec<u64> = passed_on.collect();
        for (node, term) in assigning {
            self.has_leader(Said { node, term })?;
            all.push(term);
        }
        for term in &all {
            let highest = self.highest;
            ensure!(
                *term >= highest,
                "a client is sent in term {term}, after one was in term {highest}"
            );
        }
        self.highest = all.into_iter().fold(self.highest, u64::max);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(terms: &mut Terms, assigning: &[(u16, u64)], passed_on: &[u64]) -> Result<(), String> {
        let seen = terms.after_a_look(assigning.iter().copied(), passed_on.iter().copied());
        seen.map_err(|error| error.to_string())
    }

    #[test]
    fn a_silence_counts_while_everything_else_answers() {
        const SECOND: Duration = Duration::from_secs(1);
        let mut silence = Silence::default();
        let mut look = |seen, sent| {
            let silent = silence.after_a_look(SECOND, seen, sent);
            (silent.counted.as_secs(), silent.unseen.as_secs())
        };
        assert_eq!(look(Seen::All, false), (1, 0));
        assert_eq!(look(Seen::Others, false), (1, 1), "nothing comes from there");
        assert_eq!(look(Seen::Others, false), (1, 2));
        assert_eq!(look(Seen::Nothing, false), (1, 2), "nothing comes from anywhere");
        assert_eq!(look(Seen::All, false), (2, 0));
        assert_eq!(look(Seen::All, true), (3, 0), "up to this answer it was silent");
        assert_eq!(look(Seen::Others, true), (1, 0));
        assert_eq!(look(Seen::Others, false), (0, 1));
    }

    #[test]
    fn a_term_has_one_leader_and_none_comes_back() {
        let mut terms = Terms::default();
        assert_eq!(look(&mut terms, &[(0, 3)], &[3, 3]), Ok(()));
        assert_eq!(look(&mut terms, &[], &[]), Ok(()));
        // While it changes, both may be asked in one look.
        assert_eq!(look(&mut terms, &[(0, 3), (2, 4)], &[4, 3]), Ok(()));
        assert!(
            look(&mut terms, &[(0, 3)], &[])
                .unwrap_err()
                .contains("after one was in term 4")
        );
        assert!(
            look(&mut terms, &[], &[3])
                .unwrap_err()
                .contains("after one was in term 4")
        );
        assert!(
            look(&mut terms, &[(1, 4)], &[])
                .unwrap_err()
                .contains("two leaders: 2 and 1")
        );
        assert!(terms.has_leader(Said { node: 1, term: 3 }).is_err());
    }
}
