//! Likes on their way to a node, and on to the next where that takes none.

use std::{
    sync::{MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::time;

use super::{
    Counters,
    lines::Post,
    named::Named,
    node::{ANSWER, Answer, Unreachable},
    nodes,
    roster::Roster,
};

/// How long a node may take where another can be asked: one that hangs is dead for its leader after 1.5 s.
const HANG: Duration = Duration::from_secs(3);
/// A like waits so long for news of the nodes,
const NEWS: Duration = Duration::from_millis(300);
/// and so long where nothing is known of them yet.
const FIRST_NEWS: Duration = Duration::from_secs(2);

impl Counters {
    /// Likes or unlikes, at the node of whoever they are, or at the next one that takes them; whatever the outcome, after some ten seconds.
    ///
    /// What may have been counted goes on to another node only where each like has a request. The node that was silent may have written it
    /// all the same, or write it when it wakes up. Then two logs count one request, as they do when a client sends it again by itself; nodes
    /// find that when they compare their logs, and the one with the higher ordinal takes its own back. None forgets a request before every
    /// node knows it, however long it sleeps. So such a like counts once, whatever dies on the way.
    pub async fn like(&self, post: &Post<'_>) -> Result<Answer, Unreachable> {
        let begun = Instant::now();
        self.look().await;
        let named = Named::read(&post.body);
        // Nobody's likes go anywhere.
        let client = named.client.unwrap_or_else(|| rand::random::<u64>().to_string());
        let order = self.roster().order(&client, Instant::now());
        let mut places: Vec<_> = order
            .into_iter()
            .map(|place| (Some(place.ordinal), place.address))
            .collect();
        if places.is_empty() {
            places.push((None, self.clients.clone()));
        }
        let (mut refused, mut silent) = (None, None);
        let mut nobody = Unreachable::Connect(self.clients.to_string(), "there was no time left".to_owned());
        let last = places.len() - 1;
        for (index, (ordinal, address)) in places.into_iter().enumerate() {
            let left = ANSWER.saturating_sub(begun.elapsed());
            if left.is_zero() {
                break;
            }
            let limit = if named.all && index < last {
                left.min(HANG)
            } else {
                left
            };
            let error = match self.lines.post(&address, post, limit).await {
                Ok(answer) if goes_on(&answer, named.all) => {
                    // Its own node's words, should nobody take it.
                    refused.get_or_insert(answer);
                    continue;
                }
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            tracing::debug!(%error, "a like goes to another counter node");
            if let Some(ordinal) = ordinal {
                self.roster().avoid(ordinal, Instant::now());
            }
            match error {
                Unreachable::Connect(..) => nobody = error,
                Unreachable::Answer(..) if named.all => silent = Some(error),
                Unreachable::Answer(..) => return Err(error),
            }
        }
        // Not before this: where somebody was silent, `nothing was counted` may be wrong.
        match (silent, refused) {
            (Some(error), _) => Err(error),
            (None, Some(answer)) => Ok(answer),
            (None, None) => Err(nobody),
        }
    }

    fn roster(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns which nodes there are, if that was long ago. One like asks, and meanwhile the others go by what is known; where nothing is, they
    /// wait.
    async fn look(&self) {
        if !self.roster().is_due(Instant::now()) {
            return;
        }
        let is_known = self.roster().is_known();
        let _asks = match self.asking.try_lock() {
            Ok(asks) => asks,
            Err(_) if is_known => return,
            Err(_) => self.asking.lock().await,
        };
        if !self.roster().is_due(Instant::now()) {
            return;
        }
        let patience = if is_known { NEWS } else { FIRST_NEWS };
        let found = time::timeout(patience, nodes::known(&self.leader)).await;
        let (mut roster, now) = (self.roster(), Instant::now());
        match found {
            Ok(Ok(nodes)) => roster.learn(&nodes, now),
            Ok(Err(why)) => {
                tracing::debug!(why, "which counter nodes there are could not be asked");
                roster.asked(now);
            }
            Err(_) => roster.asked(now),
        }
    }
}

/// Whether the next node may take what this one refuses, and nothing was counted, or it may be counted twice. One that is busy is left alone:
/// likes that go elsewhere for a moment leave gaps here and there.
fn goes_on(answer: &Answer, named: bool) -> bool {
    let problem = answer.problem().unwrap_or_default();
    match problem.rsplit(':').next().unwrap_or_default() {
        "stopping" | "volume-full" | "log-full" | "too-many-requests" | "too-many-clients" => true,
        "log-broken" => named,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;

    #[test]
    fn what_a_node_has_no_room_for_or_no_time_left_goes_on_and_nothing_else_does() {
        let goes = |status: u16, kind: &str, named| {
            let answer = Answer {
                status: StatusCode::from_u16(status).unwrap(),
                content_type: None,
                body: format!(r#"{{"type":"urn:synccluster:problem:{kind}"}}"#).into(),
            };
            goes_on(&answer, named)
        };
        for (status, kind) in [(503, "stopping"), (507, "volume-full"), (507, "log-full")] {
            assert!(goes(status, kind, false), "{kind}");
        }
        assert!(goes(503, "log-broken", true) && !goes(503, "log-broken", false));
        for (status, kind) in [
            (503, "busy"),
            (507, "too-many-ids"),
            (422, "bad-like"),
            (413, "too-large"),
        ] {
            assert!(!goes(status, kind, true), "{kind}");
        }
        assert!(!goes(200, "stopping", true), "it is counted");
    }
}
