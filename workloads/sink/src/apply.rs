//! Applies source transactions to the target: one transaction of the target, with the progress in it.

use std::collections::{BTreeMap, BTreeSet};

use synccluster_protocol::{
    Site,
    event::{Installation, TableName},
};

use crate::{
    event::{self, Event},
    judge::{self, Failure},
    park, predecessors,
    rounds::{self, Group},
    settle,
    stand::{Course, Stand},
    target::Target,
};

/// Records applied in one go, and their bytes: as rows and parameters they are many times what they are as records.
const PIECE: (usize, usize) = (500, 1 << 20);

/// Events of tables with deferrable constraints that are kept until the commit, and the bytes of their records. Of more, swaps that are
/// further apart are settled as they come, which leaves the same rows and a conflict in the books.
const UNCHECKED: (usize, usize) = (2000, 4 << 20);

/// Why nothing was applied; all of it is tried again.
pub type Error = tokio_postgres::Error;

/// An open transaction of the target, with what one topic brings; rolled back unless it is committed.
pub struct Transaction<'a> {
    target: &'a mut Target,
    topic: &'a str,
    source: Site,
    course: Course,
    /// Applied, and to be asked about before the commit.
    unchecked: Vec<Event>,
}

impl<'a> Transaction<'a> {
    /// Begins one for what comes from `source`, whose topic stands there.
    pub async fn begin(target: &'a mut Target, topic: &'a str, source: Site, stand: Stand) -> Result<Self, Error> {
        target.set_origin(source).await?;
        target.execute_batch("begin").await?;
        Ok(Self {
            target,
            topic,
            source,
            course: Course::begin(source, stand),
            unchecked: Vec::new(),
        })
    }

    /// The records that follow are from this one. Before any is applied: what was here before is noted.
    pub async fn follow(&mut self, installation: Installation) -> Result<(), Error> {
        let left = self.course.stand();
        let stand = if left == Stand::default() {
            // Nothing of the topic was ever applied.
            Stand { installation, ..left }
        } else {
            predecessors::follow(self.target, self.topic, self.source, left, installation).await?
        };
        self.course.follow(stand);
        Ok(())
    }

    /// Applies records, each with the offset behind the last one of its transaction; what cannot be applied is parked.
    pub async fn apply<'r>(&mut self, records: impl Iterator<Item = (i64, &'r str)> + Send) -> Result<(), Error> {
        let mut events = Vec::new();
        let mut bytes = 0;
        for (next, raw) in records {
            match event::parse(raw) {
                Ok(Some(mut event)) => {
                    self.course.place(&mut event, next);
                    events.push(event);
                }
                Ok(None) => self.course.ended(raw, next),
                Err(error) => park::park(self.target, self.topic, "", &[raw], &error.to_string()).await?,
            }
            bytes += raw.len();
            if events.len() >= PIECE.0 || bytes >= PIECE.1 {
                self.piece(std::mem::take(&mut events)).await?;
                bytes = 0;
            }
        }
        self.piece(events).await
    }

    async fn piece(&mut self, events: Vec<Event>) -> Result<(), Error> {
        let events = self.wanted(events).await?;
        apply_events(self.target, self.topic, &events).await?;
        for event in events {
            if settle::may_collide_silently(self.target, &event).await? {
                self.unchecked.push(event);
            }
        }
        let bytes: usize = self.unchecked.iter().map(|event| event.raw.len()).sum();
        if self.unchecked.len() > UNCHECKED.0 || bytes > UNCHECKED.1 {
            self.check().await?;
        }
        Ok(())
    }

    /// Passes by what is about tables that take part here no more.
    async fn wanted(&mut self, events: Vec<Event>) -> Result<Vec<Event>, Error> {
        let (passed, wanted): (Vec<Event>, Vec<Event>) = events
            .into_iter()
            .partition(|event| self.target.is_withdrawn(&event.table));
        let tables: BTreeSet<&TableName> = passed.iter().map(|event| &event.table).collect();
        for table in tables {
            park::skipped(self.target, self.topic, table, None).await?;
        }
        Ok(wanted)
    }

    async fn check(&mut self) -> Result<(), Error> {
        let events = std::mem::take(&mut self.unchecked);
        check(self.target, self.topic, &events).await
    }

    /// Stores that the topic was applied up to before `next_offset`, and commits; returns where it stands.
    pub async fn commit(mut self, next_offset: i64) -> Result<Stand, Error> {
        self.check().await?;
        let course = self.course.stand();
        let stand = Stand {
            offset: next_offset,
            reached: course.reached.max(next_offset),
            ..course
        };
        self.target.stand(self.topic, stand).await?;
        self.target.commit().await?;
        Ok(stand)
    }
}

/// Applies events inside a transaction; what cannot be applied is parked.
async fn apply_events(target: &mut Target, topic: &str, events: &[Event]) -> Result<(), Error> {
    let mut keys: BTreeMap<TableName, Vec<String>> = BTreeMap::new();
    for event in events {
        if !keys.contains_key(&event.table) {
            let table = target.table(&event.table).await?;
            keys.insert(
                event.table.clone(),
                table.map(|table| table.key.clone()).unwrap_or_default(),
            );
        }
    }
    for round in rounds::divide(events, &keys) {
        let mut groups = Vec::with_capacity(round.len());
        for (group, indexes) in &round {
            let of_group: Vec<&Event> = indexes.iter().filter_map(|&index| events.get(index)).collect();
            match judge::table(target, group).await? {
                Ok(_) => groups.push((group, of_group)),
                Err(reason) => {
                    let raw: Vec<&str> = of_group.iter().map(|event| event.raw.as_str()).collect();
                    park::park(target, topic, &group.table.to_string(), &raw, &reason).await?;
                }
            }
        }
        if let Err(reason) = try_round(target, topic, &groups).await? {
            tracing::debug!(reason, "applying one by one");
            // In their order: what frees a unique value comes before what takes it.
            let mut indexes: Vec<usize> = groups
                .iter()
                .filter_map(|(group, _)| round.get(group))
                .flatten()
                .copied()
                .collect();
            indexes.sort_unstable();
            for event in indexes.iter().filter_map(|&index| events.get(index)) {
                if let Err(reason) = try_event(target, topic, event).await? {
                    park::park(target, topic, &event.table.to_string(), &[&event.raw], &reason).await?;
                }
            }
        }
    }
    Ok(())
}

async fn try_round(
    target: &mut Target,
    topic: &str,
    groups: &[(&Group, Vec<&Event>)],
) -> Result<Result<(), String>, Error> {
    target.execute_batch("savepoint round").await?;
    for (group, events) in groups {
        if let Err(failure) = judge::group(target, topic, group, events).await {
            return undo(target, "round", failure).await.map(Err);
        }
    }
    target.execute_batch("release savepoint round").await.map(Ok)
}

/// Tries one event, and clears its way where another row stands in it. `Err` inside: why it has to be parked.
pub async fn try_event(target: &mut Target, topic: &str, event: &Event) -> Result<Result<(), String>, Error> {
    target.execute_batch("savepoint event").await?;
    let reason = match judge::group(target, topic, &Group::of(event), &[event]).await {
        Ok(()) => return target.execute_batch("release savepoint event").await.map(Ok),
        Err(Failure::Collision(reason)) => reason,
        Err(failure) => return undo(target, "event", failure).await.map(Err),
    };
    target.execute_batch("rollback to savepoint event").await?;
    match settle::collision(target, topic, event, &reason).await {
        Ok(()) => target.execute_batch("release savepoint event").await.map(Ok),
        Err(failure) => undo(target, "event", failure).await.map(Err),
    }
}

/// Settles what the session did not notice: rows that collide on a constraint that is deferrable.
pub async fn check(target: &mut Target, topic: &str, events: &[Event]) -> Result<(), Error> {
    if events.is_empty() {
        return Ok(());
    }
    target.execute_batch("savepoint checked").await?;
    match settle::deferred(target, topic, events).await {
        Ok(()) => target.execute_batch("release savepoint checked").await,
        Err(failure) => {
            let reason = undo(target, "checked", failure).await?;
            tracing::warn!(
                topic,
                reason,
                "cannot tell which rows collide on a deferrable constraint"
            );
            Ok(())
        }
    }
}

/// Undoes what was done since a savepoint; returns the reason, unless the whole transaction has to be tried again.
async fn undo(target: &mut Target, savepoint: &str, failure: Failure) -> Result<String, Error> {
    match failure {
        Failure::Batch(error) => Err(error),
        Failure::Event(reason) | Failure::Collision(reason) => {
            let back = format!("rollback to savepoint {savepoint}; release savepoint {savepoint}");
            target.execute_batch(&back).await.map(|()| reason)
        }
    }
}
