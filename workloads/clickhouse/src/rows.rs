//! Rows of one table on their way to ClickHouse, as the bytes of an insert. Pure.
//!
//! Nearly every row takes the quick way of `quick`; whatever that does not expect goes the long way through `Row`, which says what is wrong. So do rows
//! of Debezium's in tables of which it writes some column otherwise than we do.

mod quick;

use std::{borrow::Cow, collections::HashMap, fmt, sync::Arc};

use serde::{
    Deserialize,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use synccluster_protocol::{
    codec::{self, unavailable::is_unavailable_json},
    event::VERSION_COLUMN,
};

use crate::{
    encode::{self, Unfit},
    event,
    table::{Column, Table},
    types::PgType,
};

/// Why a row is not added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The table has got a column since it was looked at.
    #[error("column {0} is not known")]
    NewColumn(String),
    /// A value that ClickHouse cannot hold.
    #[error("column {column}: {unfit}")]
    Unfit {
        /// Its column.
        column: String,
        /// Why.
        unfit: Unfit,
    },
    /// No `sync_version`.
    #[error("the row has no {VERSION_COLUMN}: enrol the table at the server")]
    NoVersion,
    /// The source could not tell a value that did not change.
    #[error(
        "column {0} did not change and its value is not in the record: give the table REPLICA IDENTITY FULL, as enrolling does"
    )]
    Unavailable(String),
    /// No JSON object.
    #[error("the row cannot be read: {0}")]
    Malformed(String),
}

/// Rows that go in one insert.
#[derive(Clone, Debug)]
pub struct Rows {
    /// Where they come from.
    pub source: String,
    /// The statement; its columns are those of `bytes`.
    pub insert: Arc<str>,
    /// RowBinary.
    pub bytes: Vec<u8>,
    /// Where each row ends.
    pub ends: Vec<usize>,
    /// The offset of each row's record.
    pub offsets: Vec<i64>,
    /// Deletes among them.
    pub deletes: u64,
}

impl Rows {
    /// None yet.
    pub fn new(source: String, insert: Arc<str>) -> Self {
        Self {
            source,
            insert,
            bytes: Vec::new(),
            ends: Vec::new(),
            offsets: Vec::new(),
            deletes: 0,
        }
    }

    /// Adds the row that begins here, as it is now, if that can be done without the rest of its record. Whether it was.
    pub fn begun(&mut self, table: &Table, after: &[u8], offset: i64) -> bool {
        let start = self.bytes.len();
        let added = if let Some((version, behind)) = quick::row(&mut self.bytes, table, after) {
            self.finish(version, false);
            !table.differs || event::is_ours(behind)
        } else {
            self.bytes.truncate(start);
            // Of a table whose values both engines write alike it may be Debezium's: then only what stands for no value tells.
            let known = !table.differs || event::behind(after).is_some_and(event::is_ours);
            known && self.write_row(table, after, None, !table.differs).is_ok()
        };
        if added {
            self.added(offset);
        } else {
            self.bytes.truncate(start);
        }
        added
    }

    /// Adds the row as it is now, a JSON object that our connector wrote; what is behind it is not read.
    pub fn row(&mut self, table: &Table, after: &[u8], before: Option<&RawValue>, offset: i64) -> Result<(), Refused> {
        self.add(table, after, before, offset, false)
    }

    /// The same for a row that Debezium wrote.
    pub fn row_of_debezium(
        &mut self,
        table: &Table,
        after: &[u8],
        before: Option<&RawValue>,
        offset: i64,
    ) -> Result<(), Refused> {
        self.add(table, after, before, offset, true)
    }

    fn add(
        &mut self,
        table: &Table,
        after: &[u8],
        before: Option<&RawValue>,
        offset: i64,
        of_debezium: bool,
    ) -> Result<(), Refused> {
        let start = self.bytes.len();
        let otherwise = of_debezium && table.differs;
        let quick = (!otherwise)
            .then(|| quick::row(&mut self.bytes, table, after))
            .flatten();
        let written = if let Some((version, _)) = quick {
            self.finish(version, false);
            Ok(())
        } else {
            self.bytes.truncate(start);
            self.write_row(table, after, before, of_debezium)
        };
        self.settle(start, offset, written)
    }

    fn settle(&mut self, start: usize, offset: i64, written: Result<(), Refused>) -> Result<(), Refused> {
        if written.is_err() {
            self.bytes.truncate(start);
        } else {
            self.added(offset);
        }
        written
    }

    fn write_row(
        &mut self,
        table: &Table,
        after: &[u8],
        before: Option<&RawValue>,
        of_debezium: bool,
    ) -> Result<(), Refused> {
        let row = Row::read(table, after)?;
        if let Some(unknown) = row.unknown {
            return Err(Refused::NewColumn(unknown));
        }
        let version = row.version.ok_or(Refused::NoVersion)?;
        let mut earlier = None;
        for (place, (column, raw)) in table.columns.iter().zip(&row.values).enumerate() {
            let mut raw = raw.map(RawValue::get);
            if raw.is_some_and(|raw| is_unavailable_json(of_debezium, raw)) {
                if earlier.is_none() {
                    earlier = before
                        .map(|before| Row::read(table, before.get().as_bytes()))
                        .transpose()?;
                }
                let value = earlier.as_ref().and_then(|row: &Row<'_>| *row.values.get(place)?);
                raw = value
                    .map(RawValue::get)
                    .filter(|raw| !is_unavailable_json(of_debezium, raw));
                if raw.is_none() {
                    return Err(Refused::Unavailable(column.name.clone()));
                }
            }
            let written = match (raw, &column.debezium) {
                (None, _) => {
                    Table::write_missing(column, &mut self.bytes);
                    Ok(())
                }
                (Some(raw), Some(form)) if of_debezium => encode::of_debezium(raw, &column.pg, form)
                    .and_then(|raw| encode::value(&mut self.bytes, &raw, &column.pg, &column.ch)),
                (Some(raw), _) => self.write_ours(raw, column),
            };
            written.map_err(|unfit| Refused::Unfit {
                column: column.name.clone(),
                unfit,
            })?;
        }
        self.finish(version, false);
        Ok(())
    }

    fn write_ours(&mut self, raw: &str, column: &Column) -> Result<(), Unfit> {
        let start = self.bytes.len();
        encode::value(&mut self.bytes, raw, &column.pg, &column.ch).or_else(|unfit| {
            let raw = from_text(raw, &column.pg).ok_or(unfit)?;
            self.bytes.truncate(start);
            encode::value(&mut self.bytes, &raw, &column.pg, &column.ch)
        })
    }

    /// Adds the delete of a key.
    pub fn tombstone(&mut self, table: &Table, key: &str, version: i64, offset: i64) -> Result<(), Refused> {
        let start = self.bytes.len();
        let written = self.write_tombstone(table, key, version);
        if written.is_err() {
            self.bytes.truncate(start);
        } else {
            self.deletes += 1;
            self.added(offset);
        }
        written
    }

    fn write_tombstone(&mut self, table: &Table, key: &str, version: i64) -> Result<(), Refused> {
        let values: HashMap<Key<'_>, &RawValue> =
            serde_json::from_str(key).map_err(|error| Refused::Malformed(error.to_string()))?;
        for column in &table.columns {
            if !column.key {
                encode::zero(&mut self.bytes, &column.ch);
                continue;
            }
            let raw = values
                .get(column.name.as_str())
                .ok_or_else(|| Refused::Malformed(format!("the key {key} of a delete lacks column {}", column.name)))?;
            encode::value(&mut self.bytes, &wire(&column.pg, raw.get()), &column.pg, &column.ch).map_err(|unfit| {
                Refused::Unfit {
                    column: column.name.clone(),
                    unfit,
                }
            })?;
        }
        self.finish(version, true);
        Ok(())
    }

    fn finish(&mut self, version: i64, deleted: bool) {
        self.bytes.extend_from_slice(&version.to_le_bytes());
        self.bytes.push(deleted.into());
    }

    fn added(&mut self, offset: i64) {
        self.ends.push(self.bytes.len());
        self.offsets.push(offset);
    }
}

/// A value that travelled as Postgres' text, because its type was another one or not known, as it travels now.
fn from_text(raw: &str, pg: &PgType) -> Option<String> {
    let text: String = serde_json::from_str(raw).ok()?;
    let now = codec::encode(&pg.wire(), &text);
    (now != text).then(|| now.to_string())
}

/// A value of a tombstone's key, as it would travel in a row: jsonb writes times as XML Schema does and numbers as numbers.
fn wire<'a>(pg: &PgType, raw: &'a str) -> Cow<'a, str> {
    match (pg, raw.starts_with('"')) {
        (PgType::Date | PgType::Time | PgType::TimeTz | PgType::Timestamp | PgType::TimestampTz, true) => {
            let text: String = serde_json::from_str(raw).unwrap_or_default();
            let text = text.replace('T', " ").replace("+00:00", "+00");
            Cow::Owned(codec::encode(&pg.wire(), &text).to_string())
        }
        (PgType::Bytes, true) => {
            let text: String = serde_json::from_str(raw).unwrap_or_default();
            Cow::Owned(codec::encode(&pg.wire(), &text).to_string())
        }
        (PgType::Array(element), false) => match serde_json::from_str::<Vec<&RawValue>>(raw) {
            Ok(items) => {
                let items: Vec<Cow<'_, str>> = items.iter().map(|item| wire(element, item.get())).collect();
                Cow::Owned(format!("[{}]", items.join(",")))
            }
            Err(_) => Cow::Borrowed(raw),
        },
        _ => Cow::Borrowed(raw),
    }
}

/// A name that is borrowed where it has no escapes.
#[derive(Deserialize, PartialEq, Eq, Hash)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl std::borrow::Borrow<str> for Key<'_> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A row's values in the table's order.
struct Row<'a> {
    values: Vec<Option<&'a RawValue>>,
    version: Option<i64>,
    unknown: Option<String>,
}

impl<'a> Row<'a> {
    fn read(table: &Table, row: &'a [u8]) -> Result<Self, Refused> {
        let mut deserializer = serde_json::Deserializer::from_slice(row);
        Columns { table }
            .deserialize(&mut deserializer)
            .map_err(|error| Refused::Malformed(error.to_string()))
    }
}

struct Columns<'t> {
    table: &'t Table,
}

impl<'de> DeserializeSeed<'de> for Columns<'_> {
    type Value = Row<'de>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Row<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Columns<'_> {
    type Value = Row<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row<'de>, A::Error> {
        let columns = &self.table.columns;
        let mut row = Row {
            values: vec![None; columns.len()],
            version: None,
            unknown: None,
        };
        // Columns come in the table's order, so the next is nearly always the one that is wanted.
        let mut next = 0;
        while let Some(Key(name)) = map.next_key()? {
            let expected = columns.get(next).is_some_and(|column| column.name == *name);
            let place = if expected {
                Some(next)
            } else {
                columns.iter().position(|column| column.name == *name)
            };
            if let Some(slot) = place.and_then(|place| row.values.get_mut(place)) {
                *slot = Some(map.next_value()?);
                next = place.map_or(next, |place| place + 1);
            } else if name == VERSION_COLUMN {
                row.version = map.next_value()?;
            } else {
                if !self.table.left_out.contains(&*name) {
                    row.unknown = Some(name.into_owned());
                }
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(row)
    }
}

#[cfg(test)]
mod tests;
