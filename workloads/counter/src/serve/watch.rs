//! What one client watches, and which of it has changed since it was told.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use serde::Deserialize;
use tokio::sync::broadcast::{self, error::RecvError};

use super::totals::Total;
use crate::{
    crdt::{Id, State},
    node::Node,
};

/// Ids a client may name.
pub const MOST: usize = 1000;
/// Totals that are told at once; the rest follows with the next round.
const ROUND: usize = 500;

/// `["id", …]` or `"*"`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Wanted {
    /// These.
    Some(Vec<Id>),
    /// `"*"`.
    All(Star),
}

/// The text `*`.
#[derive(Clone, Copy, Debug, Deserialize)]
pub enum Star {
    /// Everything.
    #[serde(rename = "*")]
    Star,
}

#[derive(Default)]
enum Watched {
    #[default]
    Nothing,
    Some(HashSet<Id>),
    All,
}

/// Through all ids: at the beginning, and after a change was missed.
#[derive(PartialEq)]
enum Walk {
    Over,
    Begins,
    After(Id),
}

impl Walk {
    fn after(&self) -> Option<&str> {
        match self {
            Self::After(id) => Some(id.as_str()),
            Self::Over | Self::Begins => None,
        }
    }
}

/// A client's interest.
pub struct Watch {
    changes: broadcast::Receiver<Arc<[Id]>>,
    watched: Watched,
    changed: BTreeSet<Id>,
    walk: Walk,
}

impl Watch {
    /// Nothing yet.
    pub fn new(node: &Node) -> Self {
        Self {
            changes: node.changes(),
            watched: Watched::default(),
            changed: BTreeSet::new(),
            walk: Walk::Over,
        }
    }

    /// From now on this instead of what was before; all of it is told once at the beginning.
    pub fn set(&mut self, wanted: Wanted) {
        self.changes = self.changes.resubscribe();
        match wanted {
            Wanted::Some(ids) => {
                (self.changed, self.walk) = (ids.iter().cloned().collect(), Walk::Over);
                self.watched = Watched::Some(ids.into_iter().collect());
            }
            Wanted::All(Star::Star) => {
                (self.changed, self.walk) = (BTreeSet::new(), Walk::Begins);
                self.watched = Watched::All;
            }
        }
    }

    /// Returns when something has changed.
    pub async fn next(&mut self) {
        if matches!(self.watched, Watched::Nothing) {
            return std::future::pending().await;
        }
        match self.changes.recv().await {
            Ok(ids) => self.note(&ids),
            Err(RecvError::Lagged(_)) => self.missed(),
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }

    /// Whether there is something to tell.
    pub fn is_due(&self) -> bool {
        !self.changed.is_empty() || self.walk != Walk::Over
    }

    /// What is to be told now.
    pub fn take(&mut self, state: &State) -> Vec<Total> {
        let mut ids = Vec::new();
        while ids.len() < ROUND
            && let Some(id) = self.changed.pop_first()
        {
            ids.push(id);
        }
        if ids.len() < ROUND && self.walk != Walk::Over {
            let limit = ROUND - ids.len();
            let page = state.page("", self.walk.after(), limit);
            let next = page.last().filter(|_| page.len() == limit);
            self.walk = next.map_or(Walk::Over, |last| Walk::After(last.clone()));
            ids.extend(page);
        }
        ids.iter().map(|id| Total::of(state, id.as_str())).collect()
    }

    fn note(&mut self, ids: &[Id]) {
        match &self.watched {
            Watched::Nothing => {}
            Watched::All => self.changed.extend(ids.iter().cloned()),
            Watched::Some(watched) => self
                .changed
                .extend(ids.iter().filter(|id| watched.contains(*id)).cloned()),
        }
    }

    fn missed(&mut self) {
        match &self.watched {
            Watched::Nothing => {}
            Watched::All => self.walk = Walk::Begins,
            Watched::Some(watched) => self.changed.extend(watched.iter().cloned()),
        }
    }
}
