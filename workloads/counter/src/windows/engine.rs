//! Tumbling windows over event time, for one partition of the likes. No IO, no clock.
//!
//! *Stream time* is the latest event time seen, or a later time that it was told to go on to while nothing came. A window is closed when stream
//! time has passed its end by the grace; what still comes for it is late and counted apart, so that `count + late` of a window is always all
//! that was ever sent for it.
//! An event further ahead of the wall clock than clocks may differ is counted in its window but does not move stream time: one wrong clock
//! would close everybody's windows.

use std::collections::{BTreeMap, HashMap};

use super::{
    aggregate::Aggregate,
    checkpoint::Checkpoint,
    names::{Name, Names},
    series::{Series, Window},
    size::Sizes,
};

/// What is counted, and when it is over.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The windows.
    pub sizes: Sizes,
    /// How long after its end a window waits for likes that come late, in milliseconds of stream time.
    pub grace: i64,
    /// How far ahead of the wall clock an event may be and still move stream time, in milliseconds.
    pub max_clock_skew: i64,
    /// So many counts of closed windows, of each size, stay in memory for those that come late; for older ones the topic is read.
    pub closed_counts: usize,
}

/// What came in, since the engine was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events.
    pub events: u64,
    /// Of these, too late for at least one of their windows.
    pub late: u64,
    /// Of these, too far ahead of the wall clock to move stream time.
    pub ahead: u64,
}

/// The windows of one partition.
pub struct Engine {
    rules: Rules,
    names: Names,
    series: Vec<Series>,
    stream_time: Option<i64>,
    /// Windows that end by then are closed, and stay so if the grace becomes longer.
    closed_until: i64,
    /// The last emission, and for each size where the last that had something of it began.
    at: i64,
    tail: Vec<i64>,
    /// Late events for windows that are not in memory: size, start and id, and how many.
    unplaced: HashMap<(usize, i64, Name), i64>,
    tally: Tally,
}

impl Engine {
    /// For a partition of which nothing was counted before.
    pub fn new(rules: Rules) -> Self {
        let series: Vec<_> = rules.sizes.iter().map(|size| Series::new(size, i64::MIN)).collect();
        Self {
            at: 0,
            tail: vec![0; series.len()],
            rules,
            names: Names::default(),
            series,
            stream_time: None,
            closed_until: i64::MIN,
            unplaced: HashMap::new(),
            tally: Tally::default(),
        }
    }

    /// For a partition that was counted up to this checkpoint; what was emitted for it has to be handed to [`Engine::restore`].
    pub fn resume(rules: Rules, checkpoint: &Checkpoint) -> Self {
        let mut engine = Self::new(rules);
        engine.stream_time = checkpoint.stream_time;
        engine.at = checkpoint.at;
        for (size, tail) in engine.rules.sizes.iter().zip(&mut engine.tail) {
            *tail = checkpoint.tail.get(&size.to_string()).copied().unwrap_or_default();
        }
        if let Some(closed) = checkpoint.closed_until {
            engine.closed_until = closed;
            for series in &mut engine.series {
                // The first window that is not closed: all before it were emitted as final, and are not read again.
                series.known_since = series.size.start_of(closed);
            }
        }
        engine
    }

    /// Takes back in what was emitted, in the order it was; the last for a window counts. `offset` is where it lies in its topic.
    pub fn restore(&mut self, aggregate: &Aggregate<'_>, offset: i64) {
        let series = &mut self.series[aggregate.size];
        if aggregate.start >= series.known_since {
            series.set(&mut self.names, aggregate, Some(offset));
        }
    }

    /// Counts an event. `now` is the wall clock.
    pub fn add(&mut self, id: &str, n: i64, at: i64, now: i64) {
        self.tally.events += 1;
        if at > now.saturating_add(self.rules.max_clock_skew) {
            self.tally.ahead += 1;
        } else {
            self.advance(at);
        }
        let closed_until = self.closed_until;
        let name = self.names.intern(id);
        let mut is_late = false;
        for (index, series) in self.series.iter_mut().enumerate() {
            let start = series.size.start_of(at);
            let late = start + series.size.millis() <= closed_until;
            is_late |= late;
            if late && start < series.known_since {
                let entry = self.unplaced.entry((index, start, name)).or_insert_with(|| {
                    self.names.retain(name);
                    0
                });
                *entry += n;
            } else {
                series.add(&mut self.names, start, name, n, late);
            }
        }
        self.tally.late += u64::from(is_late);
    }

    /// Lets stream time go on to here, never back.
    pub fn advance(&mut self, to: i64) {
        if self.stream_time.is_none_or(|time| time < to) {
            self.stream_time = Some(to);
            self.closed_until = self.closed_until.max(to - self.rules.grace);
        }
    }

    /// Whether a window is open that is over once stream time is there.
    pub fn is_over_at(&self, time: i64) -> bool {
        let until = time.saturating_sub(self.rules.grace);
        let mut series = self.series.iter();
        until > self.closed_until && series.any(|series| series.has_end_in(self.closed_until, until))
    }

    /// For each size of which late events came for windows that are not in memory: the first such window. From there on they have to be recalled
    /// before the next emission.
    pub fn missing(&self) -> BTreeMap<usize, i64> {
        let mut missing = BTreeMap::new();
        for (size, start, _) in self.unplaced.keys() {
            let first = missing.entry(*size).or_insert(*start);
            *first = (*start).min(*first);
        }
        missing
    }

    /// Takes in what was emitted for windows that were missing, in the order it was. `recalled` has to follow the last.
    pub fn recall(&mut self, aggregate: &Aggregate<'_>) {
        let series = &mut self.series[aggregate.size];
        if aggregate.start < series.known_since {
            series.set(&mut self.names, aggregate, None);
        }
    }

    /// All that was ever emitted for windows from these on was handed to [`Engine::recall`]: places the late events that waited for it.
    pub fn recalled(&mut self, missing: &BTreeMap<usize, i64>) {
        for (size, from) in missing {
            let series = &mut self.series[*size];
            series.known_since = series.known_since.min(*from);
        }
        let (names, series) = (&mut self.names, &mut self.series);
        self.unplaced.retain(|(size, start, name), n| {
            let known = *start >= series[*size].known_since;
            if known {
                series[*size].add(names, *start, *name, *n, true);
                names.release(*name);
            }
            !known
        });
    }

    /// Hands out every window that changed since the last time, and the ones that are over now once more as final. What comes late for one of
    /// those is handed out as final again, and as late only: of an id and a window, at most one is final and not that.
    /// `ends` has, for each size, an offset that nothing emitted now can lie before, and `now` is the wall clock. Returns the checkpoint that
    /// belongs to it; `out` gets its time, too.
    pub fn emit(&mut self, ends: &[i64], now: i64, mut out: impl FnMut(&Aggregate<'_>, i64)) -> Checkpoint {
        let closed_until = self.closed_until;
        self.at = now.max(self.at + 1);
        let mut from = Vec::with_capacity(self.series.len());
        for (index, (series, end)) in self.series.iter_mut().zip(ends).enumerate() {
            for (start, window) in &mut series.windows {
                let over = start + series.size.millis() <= closed_until;
                window.emit(*end, over, |name, cell, late_only| {
                    self.tail[index] = *end;
                    let aggregate = Aggregate {
                        size: index,
                        id: self.names.text(name),
                        start: *start,
                        count: cell.count,
                        late: cell.late,
                        is_final: over,
                        late_only,
                    };
                    out(&aggregate, self.at);
                });
            }
            series.forget_closed(&mut self.names, self.rules.closed_counts);
            from.push(
                series
                    .windows
                    .values()
                    .filter_map(Window::open_since)
                    .min()
                    .unwrap_or(*end),
            );
        }
        Checkpoint {
            stream_time: self.stream_time,
            closed_until: self.stream_time.and(Some(closed_until)),
            from: self.rules.sizes.by_name(&from),
            at: self.at,
            tail: self.rules.sizes.by_name(&self.tail),
        }
    }

    /// Where stream time is.
    pub fn stream_time(&self) -> Option<i64> {
        self.stream_time
    }

    /// What came in.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Counts in memory, and ids they are of.
    pub fn held(&self) -> (usize, usize) {
        (self.series.iter().map(Series::len).sum(), self.names.len())
    }
}

#[cfg(test)]
mod tests;
