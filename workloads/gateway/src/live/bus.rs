//! What happened lately, in order, for everybody who wants to hear of it.
//!
//! [`Ring`] is the memory: the newest events, bounded by their number and their bytes. Whoever publishes never waits; a reader that falls
//! behind what the ring holds is told so by a `reset` and goes on at the end, since it has to read the state again anyway.

use std::{
    collections::VecDeque,
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::json;
use synccluster_protocol::Site;
use tokio::sync::watch;

/// Events given out at once at most: a reader far behind should not hold the lock for long.
const BATCH: usize = 256;
/// What an event costs beside its data.
const OVERHEAD: usize = 160;

/// An event's place: which process told it, and the how manyth it was. Written `<epoch>-<number>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id {
    /// Tells processes, and their restarts, apart.
    pub epoch: u64,
    /// From 1, without gaps.
    pub number: u64,
}

impl Id {
    /// Of no event: whoever resumes with it is told so.
    pub const UNKNOWN: Self = Self { epoch: 0, number: 0 };
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.number)
    }
}

/// The text is not `<epoch>-<number>`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the id of an event")]
pub struct ParseIdError(String);

impl FromStr for Id {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let halves = text.split_once('-');
        halves
            .and_then(|(epoch, number)| {
                Some(Self {
                    epoch: epoch.parse().ok()?,
                    number: number.parse().ok()?,
                })
            })
            .ok_or_else(|| ParseIdError(text.to_owned()))
    }
}

/// What an event tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A row changed at a site.
    Change,
    /// A write was captured, or is in Kafka.
    Hop,
    /// The cluster's document changed; the data is the whole of it.
    Cluster,
    /// Something may have been missed: read the state again.
    Reset,
}

impl Kind {
    /// The event's name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Hop => "hop",
            Self::Cluster => "cluster",
            Self::Reset => "reset",
        }
    }
}

/// An event before it has its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// What it tells.
    pub kind: Kind,
    /// The table it is about, `public.todos`; a cluster's document is about none.
    pub table: Option<Arc<str>>,
    /// The site it is about; absent where it is about all of them.
    pub site: Option<Site>,
    /// JSON, made once for all readers.
    pub data: Arc<str>,
    /// Whether other replicas are to hear of it from this one: they cannot find it out themselves.
    pub relayed: bool,
}

impl News {
    /// State may have been missed, at this site or anywhere.
    pub fn reset(site: Option<Site>, reason: &str) -> Self {
        let data = site.map_or_else(
            || json!({ "reason": reason }),
            |site| json!({ "reason": reason, "site": site }),
        );
        Self {
            kind: Kind::Reset,
            table: None,
            site,
            data: data.to_string().into(),
            relayed: true,
        }
    }
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its place; what a reader resumes after.
    pub id: Id,
    /// What it tells.
    pub news: News,
}

/// What a ring holds at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Events.
    pub events: usize,
    /// Bytes, roughly; the newest event stays whatever its size.
    pub bytes: usize,
}

/// Half a minute of ten busy sites, and little beside a process of 64 MB.
pub const LIMITS: Limits = Limits {
    events: 20_000,
    bytes: 8 << 20,
};

/// The newest events.
#[derive(Debug)]
struct Ring {
    epoch: u64,
    limits: Limits,
    /// Of the newest event ever; 0 before the first.
    last: u64,
    bytes: usize,
    events: VecDeque<Arc<Event>>,
}

impl Ring {
    fn new(epoch: u64, limits: Limits) -> Self {
        Self {
            epoch,
            limits,
            last: 0,
            bytes: 0,
            events: VecDeque::new(),
        }
    }

    fn push(&mut self, news: News) {
        self.last += 1;
        self.bytes += cost(&news);
        let id = self.id(self.last);
        self.events.push_back(Arc::new(Event { id, news }));
        while self.events.len() > self.limits.events || (self.bytes > self.limits.bytes && self.events.len() > 1) {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= cost(&oldest.news);
        }
    }

    fn id(&self, number: u64) -> Id {
        Id {
            epoch: self.epoch,
            number,
        }
    }

    /// The events after the one with this number, oldest first; `None` if some of them are gone, or it is none of ours.
    fn after(&self, number: u64, most: usize) -> Option<Vec<Arc<Event>>> {
        let oldest = self.last - self.events.len() as u64;
        let seen = usize::try_from(number.checked_sub(oldest)?).ok()?;
        (seen <= self.events.len()).then(|| self.events.range(seen..).take(most).cloned().collect())
    }
}

fn cost(news: &News) -> usize {
    OVERHEAD + news.data.len()
}

struct Shared {
    ring: Mutex<Ring>,
    last: watch::Sender<u64>,
}

impl Shared {
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The events of this process; a clone is the same bus.
#[derive(Clone)]
pub struct Bus(Arc<Shared>);

impl Bus {
    /// Empty. `epoch` tells this process from every other.
    pub fn new(epoch: u64, limits: Limits) -> Self {
        Self(Arc::new(Shared {
            // 0 is nobody's.
            ring: Mutex::new(Ring::new(epoch.max(1), limits)),
            last: watch::Sender::new(0),
        }))
    }

    /// Tells everybody; waits for nobody.
    pub fn publish(&self, news: News) {
        let mut ring = self.0.ring();
        ring.push(news);
        self.0.last.send_replace(ring.last);
    }

    /// From now on, or from after the event with this id: what came since is given first, or a `reset` where that is not known any more.
    pub fn subscribe(&self, from: Option<Id>) -> Subscription {
        let ring = self.0.ring();
        let known = from.filter(|id| id.epoch == ring.epoch && id.number <= ring.last);
        Subscription {
            bus: self.clone(),
            last: self.0.last.subscribe(),
            seen: known.map_or(ring.last, |id| id.number),
            reset: (from.is_some() && known.is_none()).then_some("this id is not known here"),
        }
    }
}

/// One reader's place. It holds no events, however slow the reader is.
pub struct Subscription {
    bus: Bus,
    last: watch::Receiver<u64>,
    seen: u64,
    reset: Option<&'static str>,
}

impl Subscription {
    /// What came since the last call, at least one event, oldest first; waits for it. Safe to cancel. An event of kind [`Kind::Reset`]
    /// that begins a batch may stand for events this reader has not been given.
    pub async fn next(&mut self) -> Vec<Arc<Event>> {
        loop {
            let batch = self.ready();
            if !batch.is_empty() {
                return batch;
            }
            // The sender lives as long as the bus that is held here: this cannot fail.
            let _ = self.last.changed().await;
        }
    }

    /// Where this reader is: the id to resume with.
    pub fn seen(&self) -> Id {
        self.bus.0.ring().id(self.seen)
    }

    /// What is there already; empty if nothing is.
    pub fn ready(&mut self) -> Vec<Arc<Event>> {
        let ring = self.bus.0.ring();
        let found = ring.after(self.seen, BATCH);
        if found.is_none() {
            self.reset = Some("this reader was too slow");
        }
        let Some(reason) = self.reset.take() else {
            let events = found.unwrap_or_default();
            self.seen = events.last().map_or(self.seen, |event| event.id.number);
            return events;
        };
        self.seen = ring.last;
        let (id, news) = (ring.id(ring.last), News::reset(None, reason));
        vec![Arc::new(Event { id, news })]
    }
}

#[cfg(test)]
mod tests;
