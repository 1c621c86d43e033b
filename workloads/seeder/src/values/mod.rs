//! Which value is in which column of which row. Pure, and the same for the same seed: a value depends on the seed, the table, the column and the
//! number of the row, and on nothing that was asked before.

mod choose;
mod known;
mod overrides;
pub mod random;
mod time;
mod typed;
mod unique;
mod words;

pub use choose::{Error, Facts, Rows};
pub use overrides::{Override, OverrideError};

use std::collections::HashMap;

use known::Known;
use random::{Random, salt};

use crate::schema::{Kind, Limits, Table};

/// So many in a hundred are null, where they may be.
const NULLS: u8 = 10;

/// Where a column's values come from.
#[derive(Clone, Debug, PartialEq)]
enum Source {
    /// The column's sequence, which is asked elsewhere.
    Sequence,
    /// One of these.
    Choice(Vec<String>),
    /// What its name says.
    Known(Known),
    /// Any of its type.
    Typed,
    /// Each row another, counted from here.
    Unique(i128),
    /// A row that another column's foreign key has chosen: which key, and which of its columns.
    Reference(usize, usize),
    /// Always null: what it refers to has no rows, or nothing can be made for its type.
    Null,
}

/// The rows that a foreign key refers to.
#[derive(Clone, Debug, PartialEq)]
enum Parents {
    /// Rows made here: the table, and the places of the columns there.
    Made(usize, Vec<usize>),
    /// Earlier rows of the same table.
    Earlier(Vec<usize>),
    /// Rows that were there before: the values of the columns.
    Given(Vec<Vec<String>>),
    /// None.
    None,
}

#[derive(Clone, Debug)]
struct Chosen {
    source: Source,
    salt: u64,
    /// Rows are enumerated, so that several columns together differ: the row's number is divided by this first, and then by how many there are.
    divisor: Option<u64>,
}

#[derive(Clone, Debug)]
struct Filled {
    table: Table,
    columns: Vec<Chosen>,
    parents: Vec<Parents>,
    rows: Rows,
    salt: u64,
}

/// The values of all tables.
#[derive(Clone, Debug)]
pub struct Values {
    tables: Vec<Filled>,
    places: HashMap<String, usize>,
}

/// What a table's sequences gave: asked with table, column and row.
pub trait Sequences {
    /// The number for a row.
    fn number(&self, table: usize, column: usize, row: u64) -> Option<i64>;
}

impl<F: Fn(usize, usize, u64) -> Option<i64>> Sequences for F {
    fn number(&self, table: usize, column: usize, row: u64) -> Option<i64> {
        self(table, column, row)
    }
}

impl Values {
    /// The tables, in the order in which they are filled.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        self.tables.iter().map(|filled| &filled.table)
    }

    /// A table by its place.
    pub fn table(&self, place: usize) -> &Table {
        &self.tables[place].table
    }

    /// The place of a table.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// The rows of a table that are made.
    pub fn rows(&self, table: usize) -> Rows {
        self.tables[table].rows
    }

    /// The columns a sequence fills.
    pub fn sequences(&self, table: usize) -> impl Iterator<Item = (usize, &str)> {
        let columns = self.tables[table]
            .columns
            .iter()
            .zip(&self.tables[table].table.columns)
            .enumerate();
        columns.filter_map(|(place, (chosen, column))| {
            let sequence = column.sequence.as_deref()?;
            (chosen.source == Source::Sequence).then_some((place, sequence))
        })
    }

    /// The columns that count on from a number: table, column, and that number.
    pub fn highest(&self) -> impl Iterator<Item = (usize, usize, i64)> {
        let tables = self.tables.iter().enumerate();
        tables.flat_map(|(table, filled)| {
            filled
                .columns
                .iter()
                .enumerate()
                .filter_map(move |(column, chosen)| match chosen.source {
                    Source::Unique(start) if start > 0 => Some((table, column, i64::try_from(start - 1).ok()?)),
                    _ => None,
                })
        })
    }

    /// Where a column's values come from, in words.
    pub fn describe(&self, table: usize, column: usize) -> String {
        let filled = &self.tables[table];
        match &filled.columns[column].source {
            Source::Sequence => "its sequence".to_owned(),
            Source::Choice(values) => format!("one of {}", values.join(", ")),
            Source::Known(known) => format!("{known:?}"),
            Source::Typed => "any of its type".to_owned(),
            Source::Unique(_) => "each row another".to_owned(),
            Source::Reference(key, _) => format!("a row of {}", filled.table.foreign[*key].table),
            Source::Null => "null".to_owned(),
        }
    }

    /// A row, column by column.
    pub fn row(&self, table: usize, row: u64, sequences: &impl Sequences) -> Vec<Option<String>> {
        (0..self.tables[table].columns.len())
            .map(|column| self.value(table, row, column, sequences))
            .collect()
    }

    /// One value; `None` is null.
    pub fn value(&self, table: usize, row: u64, column: usize, sequences: &impl Sequences) -> Option<String> {
        let filled = &self.tables[table];
        let (chosen, declared) = (&filled.columns[column], &filled.table.columns[column]);
        let mut random = Random::of(chosen.salt, row);
        if filled.is_null(column, &mut random) {
            return None;
        }
        let place = row - filled.rows.first.min(row);
        let digit = |many: usize| chosen.divisor.map(|divisor| place / divisor % (many as u64).max(1));
        match &chosen.source {
            Source::Null => None,
            Source::Sequence => sequences.number(table, column, row).map(|number| number.to_string()),
            Source::Choice(values) => match digit(values.len()) {
                Some(digit) => values.get(usize::try_from(digit).ok()?).cloned(),
                None => random.one(values).cloned(),
            },
            Source::Unique(start) => {
                let plain = filled.plain(column, row, &mut random);
                // What counts from the highest there was counts from 0 here; anything else from the row's own number.
                let counted = if *start > 0 { place } else { row };
                unique::value(&declared.kind, &declared.limits, *start, counted, chosen.salt, plain)
            }
            Source::Reference(key, part) => self.reference((table, row), *key, *part, sequences),
            Source::Known(_) | Source::Typed => filled.plain(column, row, &mut random),
        }
    }

    /// Whether an update can give a column another value.
    pub fn can_change(&self, table: usize, column: usize) -> bool {
        !matches!(
            self.tables[table].columns[column].source,
            Source::Sequence | Source::Null
        )
    }

    /// The row a column's value is taken from for an update: any number, since nothing of it has to differ.
    pub fn changed(&self, table: usize, column: usize, number: u64) -> Option<String> {
        self.value(table, number, column, &|_, _, _| None)
    }

    fn reference(
        &self,
        (table, row): (usize, u64),
        key: usize,
        part: usize,
        sequences: &impl Sequences,
    ) -> Option<String> {
        let filled = &self.tables[table];
        let foreign = &filled.table.foreign[key];
        // All columns of a key choose the same row: by the first one's numbers.
        let chosen = &filled.columns[foreign.columns[0]];
        let mut random = Random::of(chosen.salt ^ 1, row);
        let place = row - filled.rows.first.min(row);
        let mut pick = |many: u64| match chosen.divisor {
            Some(divisor) => place / divisor % many.max(1),
            None => random.below(many),
        };
        match &filled.parents[key] {
            Parents::Made(parent, columns) => {
                let rows = self.tables[*parent].rows;
                self.value(*parent, rows.first + pick(rows.count), columns[part], sequences)
            }
            Parents::Given(values) => values
                .get(usize::try_from(pick(values.len() as u64)).ok()?)?
                .get(part)
                .cloned(),
            Parents::Earlier(columns) if place > 0 => {
                self.value(table, filled.rows.first + pick(place), columns[part], sequences)
            }
            // The first of all can only refer to itself.
            Parents::Earlier(columns) => {
                let column = columns[part];
                let itself = filled.table.columns[foreign.columns[part]].not_null && column != foreign.columns[part];
                itself.then(|| self.value(table, row, column, sequences)).flatten()
            }
            Parents::None => None,
        }
    }
}

impl Filled {
    fn new(seed: u64, table: Table, rows: Rows) -> Self {
        let name = table.name.to_string();
        let column = |column: &crate::schema::Column| Chosen {
            source: Source::Typed,
            salt: salt(seed, &format!("{name}.{}", column.name)),
            divisor: None,
        };
        Self {
            columns: table.columns.iter().map(column).collect(),
            parents: vec![Parents::None; table.foreign.len()],
            rows,
            salt: salt(seed, &name),
            table,
        }
    }

    fn is_null(&self, column: usize, random: &mut Random) -> bool {
        let (chosen, declared) = (&self.columns[column], &self.table.columns[column]);
        if declared.not_null || chosen.divisor.is_some() {
            return false;
        }
        match &chosen.source {
            Source::Sequence | Source::Unique(_) | Source::Choice(_) => false,
            _ => random.percent(NULLS),
        }
    }

    fn plain(&self, column: usize, row: u64, random: &mut Random) -> Option<String> {
        let declared = &self.table.columns[column];
        let own = random::mix(self.salt ^ row);
        let known = known::recognise(&declared.name, &declared.kind);
        if let Some(known) = known {
            let usual = match known {
                Known::Whole(low, high) | Known::Number(low, high) => Some((low, high)),
                _ => None,
            };
            if let Some(span) = typed::Span::of(&declared.kind, &declared.limits, usual) {
                return Some(span.text(random.between(span.low, span.high)));
            }
            let made = known::value(known, &declared.kind, random, own)?;
            return Some(match &declared.kind {
                Kind::Text(max) => typed::fit(made, typed::lengths(*max, &declared.limits)),
                _ => made,
            });
        }
        typed::value(&declared.kind, &declared.limits, random, own)
    }

    fn limits(&self, column: usize) -> &Limits {
        &self.table.columns[column].limits
    }
}

#[cfg(test)]
mod tests;
