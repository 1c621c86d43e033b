//! The thread that writes to Kafka and waits for it.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::AtomicBool, mpsc},
};

use tokio::sync::oneshot;

use super::{left, owner::Owner, record, session::Error};
use crate::{
    crdt::{Entry, Ordinal, Origin, Position},
    windows::Settings,
};

/// Entries to publish, none to store the position again, and who waits for it.
pub type Order = (Arc<[Entry]>, oneshot::Sender<Result<(), Error>>);

/// Writes one node's log.
pub struct Writer {
    owner: Owner,
    origin: Origin,
    incarnation: String,
    published: Position,
}

impl Writer {
    /// Fences whoever published this log before, and finds how far that came. What `others` left open is ended first.
    pub fn open(
        settings: &Arc<Settings>,
        origin: Origin,
        stop: &Arc<AtomicBool>,
        others: &BTreeSet<Ordinal>,
    ) -> Result<Self, Error> {
        let owner = Owner::take(Arc::clone(settings), origin.ordinal, Arc::clone(stop))?;
        left::end(settings, others, stop)?;
        owner.settle()?;
        let incarnation = origin.incarnation.to_string();
        let published = match owner.recover()? {
            Some((of, published)) if of == incarnation => published,
            // The first of this life. Stored at once, so that what becomes of the first likes can be looked for.
            _ => {
                owner.transaction(&incarnation, Position(0), |_| Ok(()))?;
                Position(0)
            }
        };
        Ok(Self {
            owner,
            origin,
            incarnation,
            published,
        })
    }

    /// The last position that is in the topic.
    pub fn published(&self) -> Position {
        self.published
    }

    /// Publishes until nobody has orders any more, or one fails.
    pub fn run(mut self, orders: &mpsc::Receiver<Order>) {
        for (entries, done) in orders {
            let result = self.publish(&entries);
            let failed = result.is_err();
            // Dropped where the session is over.
            drop(done.send(result));
            if failed {
                return;
            }
        }
    }

    fn publish(&mut self, entries: &[Entry]) -> Result<(), Error> {
        let published = entries.last().map_or(self.published, |last| last.position);
        if let Some(first) = entries.first().filter(|first| first.position != self.published.next()) {
            return Err(Error::Gap(self.published, first.position));
        }
        self.owner.transaction(&self.incarnation, published, |open| {
            let mut value = Vec::new();
            entries.iter().try_for_each(|entry| {
                let key = record::write(entry, self.origin, &mut value);
                open.send(None, key.as_bytes(), &value)
            })
        })?;
        self.published = published;
        Ok(())
    }
}
