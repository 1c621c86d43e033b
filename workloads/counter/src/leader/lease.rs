//! Who leads, by a Lease of Kubernetes. Pure: time is an argument, and so is what the API server said.
//!
//! A node takes the Lease when it has seen it unchanged for as long as it lasts; since the change came to its eyes after it was made, the
//! holder has not renewed for at least as long. The holder counts from *before* it asked to renew and stops [`MARGIN`] earlier. So
//! the two never overlap, whatever is delayed, and whatever the clocks show, as long as they run equally fast within a quarter.
//!
//! A node that is cut off from the others may still reach the API, and would send everybody to itself. So a holder that hears a majority of the
//! nodes no more gives the Lease back, and a node that hears none leaves a free Lease to others for [`ALONE`].

use std::time::Duration;

use crate::{crdt::Ordinal, mesh::members::Claim};

/// How long a Lease lasts.
pub const LEASE: Duration = Duration::from_secs(2);
/// How much earlier its holder stops to assign.
pub const MARGIN: Duration = Duration::from_millis(500);
/// How often the holder renews.
pub const RENEW: Duration = Duration::from_millis(500);
/// How often the others look.
pub const LOOK: Duration = Duration::from_millis(250);
/// How much longer a Lease has to be free for a node that hears no majority.
pub const ALONE: Duration = Duration::from_millis(500);
/// A holder that hears no majority offers the Lease to others so often.
const OFFER: Duration = Duration::from_secs(10);
/// Between two looks that both find no Lease, less than this: no Lease that lived for twice [`LEASE`] was made and deleted meanwhile, as a look
/// that has no answer within 700 ms is none.
const UNSEEN: Duration = Duration::from_secs(1);
/// A Lease that somebody made longer is respected up to this.
const LONGEST: Duration = Duration::from_mins(1);

/// A Lease as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who holds it; absent after it was given back.
    pub holder: Option<String>,
    /// `leaseTransitions`.
    pub term: u64,
    /// How long it lasts.
    pub lasts: Duration,
    /// `resourceVersion`.
    pub version: String,
}

/// What is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Only if the Lease is still at this version; absent if there must be none.
    pub over: Option<String>,
    /// Who holds it from then on; absent gives it back.
    pub holder: Option<String>,
    /// In which term.
    pub term: u64,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing, for so long.
    Wait(Duration),
    /// Read the Lease.
    Look,
    /// Write it.
    Write(Write),
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is written; the version it has now.
    Written(String),
    /// The Lease was not as expected.
    Conflict,
    /// Nobody knows.
    Unknown,
}

#[derive(Clone, Debug)]
struct Held {
    term: u64,
    version: String,
    /// The clock before the last write that succeeded.
    since: Duration,
    /// When it is to be renewed.
    due: Duration,
    /// When it is to be given back for want of a majority; absent while one is heard.
    alone: Option<Duration>,
}

#[derive(Clone, Debug)]
struct Seen {
    /// Absent where there is no Lease.
    record: Option<Record>,
    /// When it was first seen so.
    since: Duration,
    /// When it was last read.
    looked: Duration,
}

impl Seen {
    /// When it may be taken, by one who knows of this term.
    fn free_at(&self, known: u64) -> Duration {
        match &self.record {
            // One that knows less was not given back, but made anew.
            Some(record) if record.holder.is_none() && record.term >= known => self.since,
            Some(record) => self.since + record.lasts.clamp(LEASE, LONGEST),
            // One that was deleted may have a holder that does not know yet.
            None => self.since + LEASE,
        }
    }
}

/// What one node knows of the Lease.
#[derive(Clone, Debug)]
pub struct Elector {
    own: String,
    seen: Option<Seen>,
    held: Option<Held>,
    /// It has to be read before anything is written.
    stale: bool,
    /// A majority of the nodes is heard.
    majority: bool,
    /// The term that it has given back, until that is known to be written: a renewal whose answer was lost may have come before.
    resigned: Option<u64>,
}

impl Elector {
    /// Of the node with this name, which holds nothing yet. What its former process held is another's.
    pub fn new(own: String) -> Self {
        Self {
            own,
            seen: None,
            held: None,
            stale: true,
            majority: false,
            resigned: None,
        }
    }

    /// The term it may assign in.
    pub fn leads(&self, now: Duration) -> Option<u64> {
        let held = self.held.as_ref();
        held.filter(|held| now < held.since + LEASE.saturating_sub(MARGIN))
            .map(|held| held.term)
    }

    /// Whom it takes for the leader; nobody while the Lease is free.
    pub fn claim(&self, now: Duration) -> Option<Claim> {
        let (holder, term) = match (&self.held, &self.seen) {
            (Some(held), _) if now < held.since + LEASE => (&self.own, held.term),
            (None, Some(seen)) if now < seen.free_at(0) => {
                let record = seen.record.as_ref()?;
                (record.holder.as_ref()?, record.term)
            }
            _ => return None,
        };
        let leader: Ordinal = holder.parse().ok()?;
        Some(Claim { term, leader })
    }

    /// What to do now; `known` is the highest term that was ever heard of, `majority` whether a majority of the nodes is heard.
    pub fn next(&mut self, now: Duration, known: u64, majority: bool) -> Step {
        self.majority = majority;
        if let Some(held) = &mut self.held {
            if majority {
                held.alone = None;
            } else if held.alone.is_none_or(|until| now >= until)
                && let Some(write) = self.resign()
            {
                return Step::Write(write);
            }
        }
        if self.stale {
            return Step::Look;
        }
        if let Some(write) = self.give_back() {
            return Step::Write(write);
        }
        let patience = if majority { Duration::ZERO } else { ALONE };
        let free_at = |seen: &Seen| seen.free_at(known) + patience;
        let until = |due: Duration| Step::Wait(due.saturating_sub(now));
        match (&self.held, &self.seen) {
            (Some(held), _) if now < held.due => until(held.due),
            (Some(held), _) => self.write(Some(held.version.clone()), held.term),
            (None, None) => Step::Look,
            // A write over a Lease says which; that there is none may have been long ago.
            (None, Some(seen)) if seen.record.is_none() && now >= seen.looked + UNSEEN => Step::Look,
            (None, Some(seen)) if now >= free_at(seen) => {
                let record = seen.record.as_ref();
                let term = record.map_or(0, |record| record.term).max(known).saturating_add(1);
                self.write(record.map(|record| record.version.clone()), term)
            }
            (None, Some(seen)) if now >= seen.looked + LOOK => Step::Look,
            (None, Some(seen)) => until(free_at(seen).min(seen.looked + LOOK)),
        }
    }

    /// It was read, and the answer is here at `now`.
    pub fn looked(&mut self, record: Option<Record>, now: Duration) {
        self.stale = false;
        if let (Some(held), Some(record)) = (&mut self.held, &record)
            && record.holder.as_ref() == Some(&self.own)
            && record.term == held.term
        {
            // A write whose answer was lost, or somebody else has touched it. It holds no longer than was known before.
            held.version.clone_from(&record.version);
            held.due = now;
            return;
        }
        self.held = None;
        match &mut self.seen {
            Some(seen) if seen.record == record && (record.is_some() || now < seen.looked + UNSEEN) => {
                seen.looked = now;
            }
            seen => {
                *seen = Some(Seen {
                    record,
                    since: now,
                    looked: now,
                });
            }
        }
    }

    /// This was written, beginning at `sent`.
    pub fn wrote(&mut self, write: Write, sent: Duration, outcome: Outcome) {
        let before = self.held.as_ref().and_then(|held| held.alone);
        let alone = |sent| (!self.majority).then(|| before.unwrap_or(sent + OFFER));
        match outcome {
            Outcome::Written(version) => {
                // What was given back is to be seen as free.
                self.stale = write.holder.is_none();
                // Where the Lease was missing before this node made it and is missing again, it had a holder since.
                self.seen = None;
                self.resigned = None;
                self.held = write.holder.map(|_| Held {
                    term: write.term,
                    alone: alone(sent),
                    version,
                    since: sent,
                    due: sent + RENEW,
                });
            }
            Outcome::Unknown | Outcome::Conflict => {
                self.stale = true;
                // Somebody has made it.
                self.seen = self.seen.take().filter(|seen| seen.record.is_some());
            }
        }
    }

    /// From now on it leads no more; what is to be written so that others need not wait.
    pub fn resign(&mut self) -> Option<Write> {
        let held = self.held.take()?;
        self.stale = true;
        self.resigned = Some(held.term);
        Some(Write {
            over: Some(held.version),
            holder: None,
            term: held.term,
        })
    }

    /// Whether it has given back what may be in its name yet.
    pub fn owes(&self) -> bool {
        self.resigned.is_some()
    }

    /// What is to be written where the Lease, as it was read last, is still this node's, which has given it back: others would wait for nobody.
    pub fn give_back(&self) -> Option<Write> {
        let record = self.seen.as_ref()?.record.as_ref()?;
        let is_left = record.holder.as_ref() == Some(&self.own) && self.resigned == Some(record.term);
        (is_left && self.held.is_none()).then(|| Write {
            over: Some(record.version.clone()),
            holder: None,
            term: record.term,
        })
    }

    fn write(&self, over: Option<String>, term: u64) -> Step {
        Step::Write(Write {
            over,
            holder: Some(self.own.clone()),
            term,
        })
    }
}

#[cfg(test)]
mod tests;
