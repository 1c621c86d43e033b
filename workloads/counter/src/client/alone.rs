//! What a client does whose node is alone: it asks for another, and stays where there is none that is better off. Pure.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use crate::{crdt::Ordinal, leader::Assignment};

/// Between the first question and the second one at most; then twice as long each time. The first one is asked within this.
const FIRST: Duration = Duration::from_secs(1);
/// But no longer than this.
const LONGEST: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
struct Told {
    alone: bool,
}

/// Whether the node is alone, if that is what it says.
pub fn read(text: &str) -> Option<bool> {
    serde_json::from_str(text).ok().map(|Told { alone }| alone)
}

/// The same for a person.
pub fn words(node: Ordinal, is_alone: bool) -> String {
    if is_alone {
        format!("node {node} hears no majority of the nodes: likes count there, and another node is asked for")
    } else {
        format!("node {node} hears a majority of the nodes again")
    }
}

/// Whether a client leaves its node, which is alone, for the one a leader names. A leader that is alone itself knows of nothing better: clients would
/// go to and fro between nodes that are all cut from one another.
pub fn leaves(own: Ordinal, assignment: &Assignment) -> bool {
    assignment.node != own && !assignment.alone
}

/// When it asks. That goes on from one node to the next: who comes from one that is alone to another that is does not ask more often.
#[derive(Debug, Default)]
pub struct Asking {
    /// When it asked last, and how long it waits after that at most.
    last: Option<(Instant, Duration)>,
}

impl Asking {
    /// When it asks. `random` is from 0 to 1: all clients of a node are told at the same moment that it is alone, and are not to ask at the same moment.
    pub fn due(&self, now: Instant, random: f64) -> Instant {
        let soonest = now + FIRST.mul_f64(random);
        self.last.map_or(soonest, |(asked, wait)| {
            soonest.max(asked + wait.mul_f64(0.5 + random / 2.0))
        })
    }

    /// It asks.
    pub fn asks(&mut self, now: Instant) {
        let wait = match self.last {
            Some((asked, wait)) if now < asked + wait + LONGEST => (wait * 2).min(LONGEST),
            // For the first time, or long after it had a node that was not alone.
            _ => FIRST,
        };
        self.last = Some((now, wait));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_says_of_itself_is_told_from_everything_else() {
        assert_eq!(read(r#"{"alone":true}"#), Some(true));
        assert_eq!(read(r#"{"alone":false}"#), Some(false));
        for other in [
            "",
            "7",
            r#"{"alone":7}"#,
            r#"{"ack":{"id":"alone","total":1,"node":0}}"#,
            r#"{"total":{"id":"tea","total":3,"nodes":{}}}"#,
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn a_client_leaves_a_node_that_is_alone_for_another_by_the_word_of_a_leader_that_is_not() {
        let there = |node, alone| Assignment {
            alone,
            ..Assignment::new(Ordinal(node), "there:5002".to_owned(), 7)
        };
        assert!(leaves(Ordinal(0), &there(1, false)));
        assert!(!leaves(Ordinal(0), &there(1, true)), "all are cut from one another");
        assert!(!leaves(Ordinal(0), &there(0, false)), "it is there");
    }

    #[test]
    fn a_client_asks_soon_and_then_ever_more_rarely_until_its_node_was_not_alone_for_long() {
        let begin = Instant::now();
        let millis = |now: Instant| (now - begin).as_millis();
        let asks = |random| {
            let (mut asking, mut now, mut asked) = (Asking::default(), begin, Vec::new());
            for _ in 0..8 {
                now = asking.due(now, random);
                asking.asks(now);
                asked.push(millis(now));
            }
            (asking, asked)
        };
        assert_eq!(asks(0.0).1, [0, 500, 1500, 3500, 7500, 15_500, 30_500, 45_500]);
        let (mut asking, asked) = asks(1.0);
        assert_eq!(asked, [1000, 2000, 4000, 8000, 16_000, 32_000, 62_000, 92_000]);
        // At another node that is alone, or the same one that is again.
        let again = begin + Duration::from_secs(93);
        assert_eq!(millis(asking.due(again, 1.0)), 122_000);
        let later = begin + Duration::from_secs(200);
        assert_eq!(asking.due(later, 0.0), later);
        assert_eq!(asking.due(later, 1.0), later + FIRST, "not all at once then either");
        asking.asks(later);
        assert_eq!(asking.due(later, 1.0), later + FIRST);
    }
}
