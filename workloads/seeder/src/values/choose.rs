//! Decides where each column's values come from, so that all that has to hold holds; or says what cannot.

use std::collections::{BTreeMap, HashMap};

use super::{Filled, Override, Parents, Source, Values, known, typed, unique};
use crate::schema::{Kind, Table};

/// Which rows are made: so many, numbered from the first. Numbers that were used before are not used again, since unique values are made from them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// The number of the first.
    pub first: u64,
    /// How many.
    pub count: u64,
}

/// What is in the databases already.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// By table and place of a foreign key: values of the columns it refers to. Read where the table it refers to is not filled.
    pub given: HashMap<(String, usize), Vec<Vec<String>>>,
    /// By table and column, the highest number there is.
    pub highest: HashMap<(String, usize), i64>,
}

/// Why a table cannot be filled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An override names nothing.
    #[error("there is no column {0} among the tables to fill")]
    NoColumn(String),
    /// No values.
    #[error(
        "{column} is of type {sql_type}, for which no values can be made: say which with --value {column}=one|other"
    )]
    NoValues {
        /// The column.
        column: String,
        /// Its type.
        sql_type: String,
    },
    /// Constraints that leave nothing.
    #[error(
        "the check constraints of {column} leave no value: correct them, or say which values to write with --value {column}=one|other"
    )]
    NothingLeft {
        /// The column.
        column: String,
    },
    /// Too few values that differ.
    #[error(
        "{columns} must be unique, and only {capacity} rows can differ there, not {rows}: fill fewer rows, or say values with --value"
    )]
    NotEnough {
        /// The columns.
        columns: String,
        /// How many rows can differ.
        capacity: u64,
        /// How many are wanted.
        rows: u64,
    },
    /// Nothing to refer to.
    #[error("{column} refers to {target}, which is empty and is not filled: fill it too, or first")]
    EmptyParent {
        /// The column.
        column: String,
        /// What it refers to.
        target: String,
    },
}

impl Values {
    /// For these tables (in the order in which they are filled), each with its rows.
    pub fn choose(seed: u64, tables: Vec<(Table, Rows)>, overrides: &[Override], facts: &Facts) -> Result<Self, Error> {
        let place = |(place, (table, _)): (usize, &(Table, Rows))| (table.name.to_string(), place);
        let places: HashMap<String, usize> = tables.iter().enumerate().map(place).collect();
        for told in overrides {
            let known = places
                .get(&told.table.to_string())
                .and_then(|&place| tables[place].0.place(&told.column));
            known.ok_or_else(|| Error::NoColumn(format!("{}.{}", told.table, told.column)))?;
        }
        let mut values = Self {
            tables: Vec::new(),
            places,
        };
        for (table, rows) in tables {
            let mut filled = Filled::new(seed, table, rows);
            values.parents(&mut filled, facts)?;
            sources(&mut filled, overrides)?;
            if rows.count > 0 {
                for set in filled.table.unique.clone() {
                    values.differ(&mut filled, &set, facts)?;
                }
            }
            values.tables.push(filled);
        }
        Ok(values)
    }

    fn parents(&self, filled: &mut Filled, facts: &Facts) -> Result<(), Error> {
        let own = filled.table.name.clone();
        for (number, key) in filled.table.foreign.iter().enumerate() {
            let places = |table: &Table| {
                key.target
                    .iter()
                    .map(|column| table.place(column))
                    .collect::<Option<Vec<_>>>()
            };
            let made = self.places.get(&key.table.to_string()).copied();
            let made = made.filter(|&parent| self.tables.get(parent).is_some_and(|parent| parent.rows.count > 0));
            let given = facts
                .given
                .get(&(own.to_string(), number))
                .filter(|given| !given.is_empty());
            filled.parents[number] = if key.table == own {
                match (given, places(&filled.table)) {
                    (Some(given), _) => Parents::Given(given.clone()),
                    (None, Some(columns)) => Parents::Earlier(columns),
                    (None, None) => Parents::None,
                }
            } else if let Some((parent, columns)) =
                made.and_then(|parent| Some((parent, places(&self.tables[parent].table)?)))
            {
                Parents::Made(parent, columns)
            } else if let Some(given) = given {
                Parents::Given(given.clone())
            } else if key.columns.iter().any(|&place| !filled.table.columns[place].not_null) || filled.rows.count == 0 {
                Parents::None
            } else {
                return Err(Error::EmptyParent {
                    column: path(&filled.table, key.columns[0]),
                    target: key.table.to_string(),
                });
            };
        }
        Ok(())
    }

    /// Makes sure that no two rows have the same in these columns.
    fn differ(&self, filled: &mut Filled, set: &[usize], facts: &Facts) -> Result<(), Error> {
        let rows = filled.rows;
        let differs = |place: &usize| matches!(filled.columns[*place].source, Source::Sequence | Source::Unique(_));
        if set.iter().any(differs) {
            return Ok(());
        }
        let name = filled.table.name.to_string();
        // A number that was counted to before goes on from there; anything else is made of the row's own number.
        let free = |&&place: &&usize| {
            matches!(
                filled.columns[place].source,
                Source::Typed | Source::Known(_) | Source::Choice(_)
            )
        };
        let candidates = set.iter().filter(free).filter(|&&place| {
            !matches!(&filled.columns[place].source, Source::Choice(values) if filled.limits(place).values.as_ref() != Some(values))
        });
        let with_capacity = candidates.map(|&place| {
            let column = &filled.table.columns[place];
            let start = facts
                .highest
                .get(&(name.clone(), place))
                .map_or(0, |&highest| i128::from(highest) + 1);
            let capacity = unique::capacity(&column.kind, &column.limits, start);
            let needed = if start > 0 { rows.count } else { rows.first + rows.count };
            (capacity >= needed, capacity, place, start)
        });
        let best = with_capacity.max_by_key(|&(enough, capacity, ..)| (enough, capacity));
        if let Some((true, _, place, start)) = best {
            filled.columns[place].source = Source::Unique(start);
            return Ok(());
        }
        let mut product: u64 = 1;
        let mut counted: BTreeMap<usize, u64> = BTreeMap::new();
        for &place in set {
            let many = match &filled.columns[place].source {
                Source::Choice(values) => values.len() as u64,
                Source::Reference(key, _) => {
                    let leader = filled.table.foreign[*key].columns[0];
                    if counted.contains_key(&leader) {
                        continue;
                    }
                    let many = self.many(filled, *key);
                    counted.insert(leader, product);
                    product = product.saturating_mul(many);
                    continue;
                }
                _ => continue,
            };
            counted.insert(place, product);
            product = product.saturating_mul(many);
        }
        if product < rows.count {
            let columns = set
                .iter()
                .map(|&place| filled.table.columns[place].name.as_str())
                .collect::<Vec<_>>();
            return Err(Error::NotEnough {
                columns: format!("{name} ({})", columns.join(", ")),
                capacity: best.map_or(product, |(_, capacity, ..)| capacity.max(product)),
                rows: rows.count,
            });
        }
        for (place, divisor) in counted {
            filled.columns[place].divisor = Some(divisor);
        }
        Ok(())
    }

    fn many(&self, filled: &Filled, number: usize) -> u64 {
        match &filled.parents[number] {
            Parents::Made(parent, _) => self.tables[*parent].rows.count,
            Parents::Given(values) => values.len() as u64,
            Parents::Earlier(_) | Parents::None => 1,
        }
    }
}

fn path(table: &Table, column: usize) -> String {
    format!("{}.{}", table.name, table.columns[column].name)
}

fn sources(filled: &mut Filled, overrides: &[Override]) -> Result<(), Error> {
    for place in 0..filled.table.columns.len() {
        let (table, column) = (&filled.table, &filled.table.columns[place]);
        let told = overrides
            .iter()
            .find(|told| told.table == table.name && told.column == column.name);
        let reference = table.foreign.iter().enumerate().find_map(|(number, key)| {
            let part = key.columns.iter().position(|&own| own == place)?;
            Some(Source::Reference(number, part))
        });
        let source = if let Some(told) = told {
            Source::Choice(told.values.clone())
        } else if let Some(reference) = reference {
            reference
        } else if column.sequence.is_some() {
            Source::Sequence
        } else if let Some(values) = &column.limits.values {
            Source::Choice(values.clone())
        } else if let Kind::Enum(labels) = &column.kind {
            Source::Choice(labels.clone())
        } else if let Some(known) = known::recognise(&column.name, &column.kind) {
            Source::Known(known)
        } else {
            Source::Typed
        };
        let nothing = || Error::NothingLeft {
            column: path(table, place),
        };
        match &source {
            Source::Choice(values) if values.is_empty() => return Err(nothing()),
            Source::Typed | Source::Known(_) => {
                if typed::Span::whole(&column.kind, &column.limits).is_some_and(|span| span.high < span.low) {
                    return Err(nothing());
                }
                let (least, most) = match column.kind {
                    Kind::Text(max) => typed::lengths(max, &column.limits),
                    _ => (0, usize::MAX),
                };
                if least > most {
                    return Err(nothing());
                }
            }
            _ => {}
        }
        let possible = || {
            let mut random = super::Random::of(0, 0);
            typed::value(&column.kind, &column.limits, &mut random, 0).is_some()
        };
        let source = if source == Source::Typed && !possible() {
            if column.not_null {
                return Err(Error::NoValues {
                    column: path(table, place),
                    sql_type: column.sql_type.clone(),
                });
            }
            Source::Null
        } else {
            source
        };
        filled.columns[place].source = source;
    }
    Ok(())
}
