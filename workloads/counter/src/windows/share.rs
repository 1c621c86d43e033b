//! One partition as the worker sees it: its engine while there is one, and what it waits for.

use std::{
    sync::{Arc, atomic::AtomicBool, mpsc},
    time::{Duration, Instant},
};

use super::{
    checkpoint::Stored,
    engine::{Engine, Tally},
    like,
    outgoing::Outgoing,
    partition::{Address, Answer, Order, Partition},
    pulse::Pulse,
    settings::Settings,
    state::PartitionStatus,
};

/// Before a partition that failed is begun again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// Before it is looked again whether a quiet partition has windows that are over.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Uncommitted likes that are not waited for any longer: a crash makes all of them be counted again.
const COMMIT_AT: u64 = 50_000;

enum Phase {
    /// The engine is with the thread: being read back.
    Away,
    /// The engine is here, and the consumer has to be set to this partition's next offset.
    Here,
    /// Likes are counted.
    Counting,
    /// To be begun again after that.
    Failed(Instant),
}

/// A partition of the likes that this worker counts.
pub struct Share {
    beginning: u64,
    orders: mpsc::Sender<Order>,
    phase: Phase,
    engine: Option<Box<Engine>>,
    next: i64,
    ends: Vec<i64>,
    spare: Outgoing,
    /// Whether its thread owes an answer for what was ordered while likes are counted.
    is_waiting: bool,
    pulse: Pulse,
    uncommitted: u64,
    since: Option<Instant>,
    /// When to look whether it has windows that are over, while no like comes.
    look_at: Option<Instant>,
    told: Tally,
}

impl Share {
    /// Begins to read back its windows.
    pub fn begin(
        settings: &Arc<Settings>,
        address: Address,
        stop: &Arc<AtomicBool>,
        answers: mpsc::Sender<(Address, Answer)>,
    ) -> std::io::Result<Self> {
        let pulse = Pulse::new();
        Ok(Self {
            beginning: address.1,
            orders: Partition::spawn(settings, address, stop, &pulse, answers)?,
            phase: Phase::Away,
            engine: None,
            next: 0,
            ends: Vec::new(),
            spare: Outgoing::default(),
            is_waiting: false,
            pulse,
            uncommitted: 0,
            since: None,
            look_at: None,
            told: Tally::default(),
        })
    }

    /// Which beginning of the partition it is.
    pub fn beginning(&self) -> u64 {
        self.beginning
    }

    /// What was counted up to the last look.
    pub fn told(&self) -> Tally {
        self.told
    }

    /// How it is, as committed.
    pub fn status(&self) -> PartitionStatus {
        let held = self.engine.as_ref().map(|engine| engine.held()).unwrap_or_default();
        PartitionStatus {
            next: self.next,
            stream_time: self.engine.as_ref().and_then(|engine| engine.stream_time()),
            counts: held.0,
            ids: held.1,
        }
    }

    /// Counts a record. While the engine is away it is left, and read again when it is here.
    pub fn count(&mut self, offset: i64, value: &[u8], now: i64) -> Result<(), like::Error> {
        let (Phase::Counting, Some(engine)) = (&self.phase, &mut self.engine) else {
            return Ok(());
        };
        if offset < self.next {
            return Ok(());
        }
        self.next = offset + 1;
        self.uncommitted += 1;
        let like = like::read(value)?;
        engine.add(&like.id, like.n, like.at, now);
        Ok(())
    }

    /// The engine is here, with the offset to begin at after a start.
    pub fn ready(&mut self, engine: Box<Engine>, next: Option<i64>, ends: Vec<i64>) {
        self.told = engine.tally();
        self.engine = Some(engine);
        self.next = next.unwrap_or(self.next);
        self.ends = ends;
        self.phase = Phase::Here;
    }

    /// Where the consumer has to be set to.
    pub fn to_seek(&self) -> Option<i64> {
        matches!(self.phase, Phase::Here).then_some(self.next)
    }

    /// It is set.
    pub fn sought(&mut self) {
        self.phase = Phase::Counting;
    }

    /// The last commit is stored.
    pub fn committed(&mut self, records: Outgoing, ends: Vec<i64>) {
        self.spare = records;
        self.ends = ends;
        self.is_waiting = false;
    }

    /// Its thread ended; what was not committed is forgotten with the engine.
    pub fn failed(&mut self) {
        self.engine = None;
        self.phase = Phase::Failed(Instant::now() + AGAIN_AFTER);
    }

    /// Whether it has to be begun again now.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Failed(after) if after <= Instant::now())
    }

    /// Whether its thread owes an answer and does not come back from Kafka's client.
    pub fn is_silent(&self, now: Instant) -> bool {
        let is_owed = match self.phase {
            Phase::Away => true,
            Phase::Here | Phase::Counting => self.is_waiting,
            Phase::Failed(_) => false,
        };
        is_owed && self.pulse.is_silent(now)
    }

    /// Commits when it is time to; whether the engine had to be sent away first.
    pub fn commit_if_due(&mut self, settings: &Settings, now: i64) -> bool {
        if self.uncommitted > 0 {
            self.since.get_or_insert_with(Instant::now);
        }
        let due =
            self.uncommitted >= COMMIT_AT || self.since.is_some_and(|since| since.elapsed() >= settings.commit_every);
        if !due || self.is_waiting || !matches!(self.phase, Phase::Counting) {
            return false;
        }
        let Some(engine) = self.engine.take() else {
            return false;
        };
        self.told = engine.tally();
        self.look_at = None;
        if engine.missing().is_empty() {
            self.commit(engine, settings, now);
            return false;
        }
        self.phase = Phase::Away;
        self.order(Order::Recall(engine));
        true
    }

    /// Asks its thread whether all likes are counted, where none came for long and windows are open that are over by the clock.
    pub fn look_if_quiet(&mut self, settings: &Settings, now: i64) {
        let (Phase::Counting, Some(engine), Some(idle_after)) = (&self.phase, &self.engine, settings.idle_after) else {
            return;
        };
        let moment = Instant::now();
        if self.is_waiting || self.uncommitted > 0 || *self.look_at.get_or_insert(moment + idle_after) > moment {
            return;
        }
        self.look_at = Some(moment + LOOK_AGAIN_AFTER);
        if engine.is_over_at(now.saturating_sub(settings.rules.max_clock_skew)) {
            self.is_waiting = true;
            self.order(Order::Look(self.next));
        }
    }

    /// Where `is_all` that is there comes before this offset, and still nothing has come since, stream time follows the clock.
    pub fn looked(&mut self, next: i64, is_all: bool, settings: &Settings, now: i64) {
        self.is_waiting = false;
        if is_all
            && next == self.next
            && let Some(mut engine) = self.engine.take()
        {
            engine.advance(now.saturating_sub(settings.rules.max_clock_skew));
            self.commit(engine, settings, now);
        }
    }

    fn commit(&mut self, mut engine: Box<Engine>, settings: &Settings, now: i64) {
        let mut records = std::mem::take(&mut self.spare);
        records.clear();
        let sizes: Vec<_> = settings.rules.sizes.iter().collect();
        let checkpoint = engine.emit(&self.ends, now, |aggregate, at| {
            records.push(aggregate, sizes[aggregate.size], at);
        });
        self.engine = Some(engine);
        (self.uncommitted, self.since) = (0, None);
        self.is_waiting = true;
        let next = self.next;
        let stored = Stored { next, checkpoint };
        self.order(Order::Commit { records, stored });
    }

    fn order(&self, order: Order) {
        self.pulse.beat();
        // A thread that is gone has answered why.
        drop(self.orders.send(order));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{publish::transaction::SILENCE, windows::Arguments};

    #[derive(clap::Parser)]
    struct Flags {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn a_thread_that_owes_an_answer_and_does_not_come_back_is_given_up_once() {
        let flags = <Flags as clap::Parser>::try_parse_from(["worker"]).unwrap();
        let settings = flags.arguments.settings(&"demo".parse().unwrap(), &"kafka:9092".into());
        let (orders, received) = mpsc::channel();
        let mut share = Share {
            beginning: 1,
            orders,
            phase: Phase::Counting,
            engine: Some(Box::new(Engine::new(settings.rules.clone()))),
            next: 0,
            ends: vec![0; 3],
            spare: Outgoing::default(),
            is_waiting: false,
            pulse: Pulse::new(),
            uncommitted: COMMIT_AT,
            since: None,
            look_at: None,
            told: Tally::default(),
        };
        let late = || Instant::now() + SILENCE + Duration::from_secs(1);
        assert!(!share.is_silent(late()), "nothing is asked of it");
        share.phase = Phase::Away;
        assert!(share.is_silent(late()), "it reads back");
        share.phase = Phase::Counting;
        share.commit_if_due(&settings, 0);
        assert!(matches!(received.try_recv(), Ok(Order::Commit { .. })));
        assert!(!share.is_silent(Instant::now()));
        assert!(share.is_silent(late()));
        share.failed();
        assert!(!share.is_silent(late()), "it begins again already");
    }
}
