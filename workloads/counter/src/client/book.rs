//! What a client knows: its likes that no node has acknowledged yet, and the totals. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{crdt::Id, serve::Total};

/// What a node says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Told {
    Ack(Ack),
    Error(Failure),
    Total(Total),
}

#[derive(Debug, Deserialize)]
struct Ack {
    request: Option<String>,
    id: String,
    total: i64,
    node: u16,
    #[serde(default)]
    duplicate: bool,
}

#[derive(Debug, Deserialize)]
struct Failure {
    request: Option<String>,
    status: u16,
    detail: String,
}

/// What is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum News {
    /// A node was found.
    Connected {
        /// Which.
        node: u16,
        /// Where.
        address: String,
        /// Who leads says so in this term.
        term: u64,
    },
    /// There is none just now.
    Disconnected {
        /// Why.
        reason: String,
    },
    /// A like counts.
    Ack {
        /// Its request.
        request: String,
        /// Of what.
        id: String,
        /// 1, or -1.
        n: i32,
        /// What the id has now.
        total: i64,
        /// Who acknowledged it.
        node: u16,
        /// It had been counted before; the answer to that was lost.
        duplicate: bool,
    },
    /// A like does not count, and is not sent again.
    Refused {
        /// Its request.
        request: String,
        /// Of what.
        id: String,
        /// Why.
        reason: String,
    },
    /// A like waits: the node does not take it now.
    Waits {
        /// Its request.
        request: String,
        /// Why.
        reason: String,
    },
    /// What an id has.
    Total(Total),
    /// What was asked for.
    Totals(Vec<Total>),
    /// A word to the one who types.
    Note(String),
}

#[derive(Clone, Debug)]
struct Like {
    id: Id,
    n: i32,
    /// Sent, and answered that it is not taken now.
    waits: bool,
}

/// A client's memory.
#[derive(Debug)]
pub struct Book {
    by: String,
    client: String,
    last: u64,
    unanswered: BTreeMap<u64, Like>,
    /// What each id has.
    pub totals: BTreeMap<String, Total>,
    /// Likes that count.
    pub acknowledged: u64,
    /// Likes that do not, and are not sent again.
    pub refused: u64,
}

impl Book {
    /// Of this person; `client` is a name nobody else has, nor had.
    pub fn new(by: String, client: String) -> Self {
        Self {
            by,
            client,
            last: 0,
            unanswered: BTreeMap::new(),
            totals: BTreeMap::new(),
            acknowledged: 0,
            refused: 0,
        }
    }

    /// A like (1) or an unlike (-1); what is to be sent. Its request is its name for good, whichever node it is sent to.
    pub fn like(&mut self, id: Id, n: i32) -> String {
        self.last += 1;
        let like = Like { id, n, waits: false };
        let text = self.text(self.last, &like);
        self.unanswered.insert(self.last, like);
        text
    }

    /// How many are not answered yet.
    pub fn unanswered(&self) -> usize {
        self.unanswered.len()
    }

    /// Everything that is not answered yet, to be sent to another node.
    pub fn again(&mut self) -> Vec<String> {
        self.unanswered.values_mut().for_each(|like| like.waits = false);
        self.unanswered
            .iter()
            .map(|(number, like)| self.text(*number, like))
            .collect()
    }

    /// What the node did not take before.
    pub fn waiting(&mut self) -> Vec<String> {
        let waiting: Vec<_> = self.unanswered.iter().filter(|(_, like)| like.waits).collect();
        let texts = waiting
            .into_iter()
            .map(|(number, like)| self.text(*number, like))
            .collect();
        self.unanswered.values_mut().for_each(|like| like.waits = false);
        texts
    }

    /// A node says something; what is to be shown of it.
    pub fn told(&mut self, text: &str) -> Option<News> {
        match serde_json::from_str(text).ok()? {
            Told::Ack(ack) => {
                let request = ack.request?;
                let like = self.unanswered.remove(&self.number(&request)?)?;
                self.acknowledged += 1;
                Some(News::Ack {
                    request,
                    id: ack.id,
                    n: like.n,
                    total: ack.total,
                    node: ack.node,
                    duplicate: ack.duplicate,
                })
            }
            Told::Error(failure) => {
                let Some(request) = failure.request else {
                    return Some(News::Note(failure.detail));
                };
                let number = self.number(&request)?;
                if (400..500).contains(&failure.status) {
                    let like = self.unanswered.remove(&number)?;
                    self.refused += 1;
                    return Some(News::Refused {
                        request,
                        id: like.id.to_string(),
                        reason: failure.detail,
                    });
                }
                self.unanswered.get_mut(&number)?.waits = true;
                Some(News::Waits {
                    request,
                    reason: failure.detail,
                })
            }
            Told::Total(total) => {
                let before = self.totals.insert(total.id.clone(), total.clone());
                (before.as_ref() != Some(&total)).then_some(News::Total(total))
            }
        }
    }

    fn number(&self, request: &str) -> Option<u64> {
        let (client, number) = request.rsplit_once('/')?;
        number.parse().ok().filter(|_| client == self.client)
    }

    fn text(&self, number: u64, like: &Like) -> String {
        let what = if like.n > 0 { "like" } else { "unlike" };
        let request = format!("{}/{number}", self.client);
        json!({what: {"id": like.id, "by": self.by, "request": request}}).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book() -> Book {
        Book::new("ann".to_owned(), "ann-1".to_owned())
    }

    fn id(text: &str) -> Id {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_not_acknowledged_is_sent_again_with_the_same_request() {
        let mut book = book();
        let (first, second) = (book.like(id("tea"), 1), book.like(id("tea"), -1));
        assert_eq!(first, r#"{"like":{"id":"tea","by":"ann","request":"ann-1/1"}}"#);
        assert_eq!(second, r#"{"unlike":{"id":"tea","by":"ann","request":"ann-1/2"}}"#);
        let ack = r#"{"ack":{"request":"ann-1/1","id":"tea","total":3,"position":7,"node":2}}"#;
        assert!(matches!(
            book.told(ack),
            Some(News::Ack {
                n: 1,
                total: 3,
                node: 2,
                ..
            })
        ));
        assert_eq!(book.told(ack), None);
        assert_eq!(
            (book.again(), book.unanswered(), book.acknowledged),
            (vec![second], 1, 1)
        );
    }

    #[test]
    fn what_a_node_does_not_take_now_waits_and_what_is_wrong_is_given_up() {
        let mut book = book();
        let (first, _) = (book.like(id("tea"), 1), book.like(id("tea"), 1));
        let full = r#"{"error":{"request":"ann-1/1","status":507,"detail":"make room","title":"Volume full"}}"#;
        assert!(matches!(book.told(full), Some(News::Waits { reason, .. }) if reason == "make room"));
        assert_eq!((book.waiting(), book.waiting()), (vec![first], vec![]));
        let wrong = r#"{"error":{"request":"ann-1/2","status":422,"detail":"no like"}}"#;
        assert!(matches!(book.told(wrong), Some(News::Refused { .. })));
        assert_eq!((book.unanswered(), book.refused), (1, 1));
    }

    #[test]
    fn totals_are_news_when_they_change_and_what_is_not_understood_is_left() {
        let mut book = book();
        let total = r#"{"total":{"id":"tea","total":3,"nodes":{"0":1,"2":2}}}"#;
        assert!(matches!(book.told(total), Some(News::Total(total)) if total.nodes.len() == 2));
        assert_eq!(book.told(total), None);
        for strange in [
            "",
            "7",
            "{}",
            r#"{"news":{}}"#,
            r#"{"ack":{"id":"tea","total":1,"node":0}}"#,
        ] {
            assert_eq!(book.told(strange), None);
        }
    }
}
