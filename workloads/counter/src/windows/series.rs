//! The windows of one size.

use std::{
    collections::{BTreeMap, HashMap},
    hash::BuildHasherDefault,
    ops::Bound,
};

use super::{
    aggregate::Aggregate,
    names::{Name, Names, Spread},
    size::WindowSize,
};

/// An open window emitted this many records ago is emitted again, so that a restart never has more than about that to read: else one window
/// that a wrong clock opened a year ahead would have every restart read a year.
const REFRESH_AFTER: i64 = 500_000;

/// What one window counts of one id.
#[derive(Clone, Copy, Default)]
pub struct Cell {
    /// In time.
    pub count: i64,
    /// After the window was closed.
    pub late: i64,
    changed: bool,
}

/// One window.
#[derive(Default)]
pub struct Window {
    cells: HashMap<Name, Cell, BuildHasherDefault<Spread>>,
    changed: Vec<Name>,
    /// Nothing that was emitted for it lies before.
    since: Option<i64>,
    is_final: bool,
}

/// Windows by their start.
pub struct Series {
    /// Their length.
    pub size: WindowSize,
    /// Those in memory.
    pub windows: BTreeMap<i64, Window>,
    /// Every window from here on that has ever counted something is in memory.
    pub known_since: i64,
}

impl Series {
    /// Without a window.
    pub fn new(size: WindowSize, known_since: i64) -> Self {
        Self {
            size,
            windows: BTreeMap::new(),
            known_since,
        }
    }

    /// Counts `n`.
    pub fn add(&mut self, names: &mut Names, start: i64, name: Name, n: i64, late: bool) {
        // One that begins with what is late was never open.
        let window = self.windows.entry(start).or_insert_with(|| Window {
            is_final: late,
            ..Window::default()
        });
        let cell = window.cells.entry(name).or_insert_with(|| {
            names.retain(name);
            Cell::default()
        });
        *if late { &mut cell.late } else { &mut cell.count } += n;
        if !cell.changed {
            cell.changed = true;
            window.changed.push(name);
        }
    }

    /// Sets what was emitted, at this offset if the window may be open still.
    pub fn set(&mut self, names: &mut Names, aggregate: &Aggregate<'_>, offset: Option<i64>) {
        let name = names.intern(aggregate.id);
        let window = self.windows.entry(aggregate.start).or_default();
        let cell = Cell {
            count: aggregate.count,
            late: aggregate.late,
            changed: false,
        };
        if window.cells.insert(name, cell).is_none() {
            names.retain(name);
        }
        window.since = window.since.or(offset);
        window.is_final |= aggregate.is_final;
    }

    /// Forgets the oldest closed windows until at most this many counts of closed ones are left.
    pub fn forget_closed(&mut self, names: &mut Names, at_most: usize) {
        let mut closed: usize = self
            .windows
            .values()
            .filter(|window| window.is_final)
            .map(|window| window.cells.len())
            .sum();
        while closed > at_most
            && let Some(oldest) = self.windows.first_entry()
            && oldest.get().is_final
        {
            let (start, window) = oldest.remove_entry();
            closed -= window.cells.len();
            window.cells.into_keys().for_each(|name| names.release(name));
            self.known_since = start + self.size.millis();
        }
    }

    /// Whether a window ends after the one and by the other.
    pub fn has_end_in(&self, after: i64, until: i64) -> bool {
        let start = |end: i64| end.saturating_sub(self.size.millis());
        let starts = (Bound::Excluded(start(after)), Bound::Included(start(until)));
        self.windows.range(starts).next().is_some()
    }

    /// Counts in memory.
    pub fn len(&self) -> usize {
        self.windows.values().map(|window| window.cells.len()).sum()
    }
}

impl Window {
    /// Hands out what changed, or everything when the window is `over` and was not said to be, or was not emitted for long. Told with each is
    /// whether the window was said to be over before: then nothing but what is late is new.
    pub fn emit(&mut self, end: i64, over: bool, mut out: impl FnMut(Name, &Cell, bool)) {
        let late_only = self.is_final;
        let since = *self.since.get_or_insert(end);
        let refresh = !over && end.saturating_sub(since) > REFRESH_AFTER;
        if refresh {
            self.since = Some(end);
        }
        if refresh || over != self.is_final {
            for (name, cell) in &mut self.cells {
                cell.changed = false;
                out(*name, cell, late_only);
            }
            self.changed.clear();
        }
        for name in self.changed.drain(..) {
            if let Some(cell) = self.cells.get_mut(&name) {
                cell.changed = false;
                out(name, cell, late_only);
            }
        }
        self.is_final = over;
    }

    /// Where its records begin, unless it is closed.
    pub fn open_since(&self) -> Option<i64> {
        if self.is_final { None } else { self.since }
    }
}
