//! Before a run: what the tables look like, what is in them already, and whether values for them are taken.

use futures::SinkExt as _;
use synccluster_protocol::Site;
use synccluster_runtime::{
    catalog::{quote, quote_table},
    postgres::describe,
};
use tokio_postgres::{Client, error::SqlState};

use crate::{
    copy::{self, Pieces},
    journal::{self, Folder, Key, Order, Record},
    numbers::{self, Numbers},
    plan::{self, Deltas, Load},
    schema::{self, Kind, Table, read},
    sites::{self, Sites},
    values::{self, Facts, Override, Rows, Values},
};

/// Rows that are read to refer to, or to write to.
const KNOWN_ROWS: i64 = 10_000;
/// Rows of the rehearsal.
const REHEARSED: u64 = 50;

/// Why a run does not begin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What is asked for makes no sense.
    #[error(transparent)]
    Order(#[from] plan::Error),
    /// A site.
    #[error(transparent)]
    Site(#[from] sites::Error),
    /// The tables.
    #[error(transparent)]
    Schema(#[from] schema::read::Error),
    /// No values.
    #[error(transparent)]
    Values(#[from] values::Error),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// Nothing to write to.
    #[error("{0} has no rows, and the mix has no inserts: load some first, or let the mix insert")]
    Empty(String),
    /// Postgres does not take the values.
    #[error("{table} does not take the rows that were made for it: {reason}")]
    Rehearsal {
        /// The table.
        table: String,
        /// What it said, and what to do.
        reason: String,
    },
    /// Postgres failed.
    #[error("{0}")]
    Postgres(String),
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(describe(&error))
    }
}

/// What a load needs to know.
pub async fn load(order: &Load, sites: &Sites, journals: &Folder) -> Result<(Client, Values), Error> {
    let overrides = order.check(&sites.names())?;
    let client = sites.connect(order.site).await?;
    let tables = read::tables(&client, &order.tables).await?;
    let first = match order.first_row {
        Some(first) => first,
        None => next_row(journals)?,
    };
    let rows = |table: &Table| Rows {
        first,
        count: order.rows_of(&table.name.to_string()),
    };
    let values = choose(&client, order.seed, tables, rows, &overrides).await?;
    Ok((client, values))
}

/// What a load needs to know to go on: as it was when it began.
pub async fn resume(order: &Load, begin: &journal::Begin, sites: &Sites) -> Result<(Client, Values), Error> {
    let overrides = order.check(&sites.names())?;
    let client = sites.connect(order.site).await?;
    let mut tables = Vec::new();
    for table in read::tables(&client, &begin.tables).await? {
        let place = begin.tables.iter().position(|name| *name == table.name.to_string());
        tables.extend(place.map(|place| (place, table)));
    }
    // Records name tables by the places they had.
    tables.sort_by_key(|(place, _)| *place);
    let tables: Vec<Table> = tables.into_iter().map(|(_, table)| table).collect();
    let rows = |table: &Table| {
        let place = begin.tables.iter().position(|name| *name == table.name.to_string());
        let (first, count) = place
            .and_then(|place| begin.rows.get(place))
            .copied()
            .unwrap_or_default();
        Rows { first, count }
    };
    let mut facts = facts(&client, &tables, &rows).await?;
    let highest = begin.highest.iter().filter_map(|&(table, column, number)| {
        let name = begin.tables.get(usize::from(table))?;
        Some(((name.clone(), usize::from(column)), number))
    });
    facts.highest = highest.collect();
    let tables = tables.into_iter().map(|table| (table.clone(), rows(&table))).collect();
    Ok((client, Values::choose(order.seed, tables, &overrides, &facts)?))
}

/// What deltas need to know: the values, and the keys of the rows that are there.
pub async fn deltas(order: &Deltas, sites: &Sites, journals: &Folder) -> Result<(Values, Vec<Vec<Key>>), Error> {
    let names = sites.names();
    let overrides = order.check(&names)?;
    let at = order.at(&names);
    let client = sites.connect(at.iter().copied().min().unwrap_or(Site::Server)).await?;
    let tables = read::tables(&client, &order.tables).await?;
    let mut known = Vec::new();
    for table in &tables {
        let columns: Vec<&str> = table.key_names().collect();
        known.push(texts(&client, table, &columns, true).await?);
    }
    let empty = tables.iter().zip(&known).find(|(_, keys)| keys.is_empty());
    if let (Some((table, _)), 0) = (empty, order.mix.insert) {
        return Err(Error::Empty(table.name.to_string()));
    }
    let (first, inserts) = (next_row(journals)?, order.mix.insert > 0);
    let rows = |_: &Table| Rows {
        first,
        count: if inserts { order.most() } else { 0 },
    };
    Ok((choose(&client, order.seed, tables, rows, &overrides).await?, known))
}

/// The values of what is there now, without any row of it.
pub async fn look(sites: &Sites, site: Site) -> Result<Values, Error> {
    let client = sites.connect(site).await?;
    let tables = read::tables(&client, &[]).await?;
    let none = |table: Table| (table, Rows::default());
    Ok(Values::choose(
        1,
        tables.into_iter().map(none).collect(),
        &[],
        &Facts::default(),
    )?)
}

/// A number no row had that was made before.
fn next_row(journals: &Folder) -> Result<u64, Error> {
    let mut next = 0;
    for run in journals.runs()? {
        let mut reader = match journals.read(&run) {
            Ok(reader) => reader,
            // Somebody has removed it since.
            Err(journal::Error::NoRun(_)) => continue,
            Err(error) => return Err(error.into()),
        };
        if let Some(Record::Begin(begin)) = reader.next()? {
            let ends = begin.rows.iter().map(|(first, count)| first + count);
            next = ends.fold(next, u64::max);
        }
    }
    Ok(next)
}

async fn choose(
    client: &Client,
    seed: u64,
    tables: Vec<Table>,
    rows: impl Fn(&Table) -> Rows,
    overrides: &[Override],
) -> Result<Values, Error> {
    let facts = facts(client, &tables, &rows).await?;
    let with = |rows: &dyn Fn(&Table) -> Rows| -> Vec<(Table, Rows)> {
        tables.iter().map(|table| (table.clone(), rows(table))).collect()
    };
    let values = Values::choose(seed, with(&rows), overrides, &facts)?;
    let few = |table: &Table| {
        let Rows { first, count } = rows(table);
        Rows {
            first,
            count: count.min(REHEARSED),
        }
    };
    let rehearsed = Values::choose(seed, with(&few), overrides, &facts)?;
    client.batch_execute("begin").await?;
    let result = rehearse(client, &rehearsed).await;
    client.batch_execute("rollback").await?;
    result.map(|()| values)
}

async fn facts(client: &Client, tables: &[Table], rows: &impl Fn(&Table) -> Rows) -> Result<Facts, Error> {
    let mut facts = Facts::default();
    let filled = |name: &schema::ForeignKey| {
        tables
            .iter()
            .find(|table| table.name == name.table && rows(table).count > 0)
    };
    for table in tables {
        let name = table.name.to_string();
        for (number, key) in table.foreign.iter().enumerate() {
            if filled(key).is_none() {
                let target: Vec<&str> = key.target.iter().map(String::as_str).collect();
                let parent = Table {
                    name: key.table.clone(),
                    ..table.clone()
                };
                facts
                    .given
                    .insert((name.clone(), number), texts(client, &parent, &target, false).await?);
            }
        }
        for &place in table.unique.iter().flatten() {
            let column = &table.columns[place];
            let counted = matches!(column.kind, Kind::Integer(_)) && column.sequence.is_none();
            if counted && !table.foreign.iter().any(|key| key.columns.contains(&place)) {
                let highest = format!(
                    "select max({})::bigint from {}",
                    quote(&column.name),
                    quote_table(&table.name)
                );
                if let Some(highest) = client.query_one(&highest, &[]).await?.get(0) {
                    facts.highest.insert((name.clone(), place), highest);
                }
            }
        }
    }
    Ok(facts)
}

/// Some rows of a table as text; rows with a null among these columns left out.
async fn texts(client: &Client, table: &Table, columns: &[&str], ordered: bool) -> Result<Vec<Key>, Error> {
    let names: Vec<String> = columns.iter().map(|column| quote(column)).collect();
    let texts: Vec<String> = names.iter().map(|name| format!("{name}::text")).collect();
    let wanted: Vec<String> = names.iter().map(|name| format!("{name} is not null")).collect();
    let order = if ordered {
        format!("order by {}", names.join(", "))
    } else {
        String::new()
    };
    let query = format!(
        "select {} from {} where {} {order} limit {KNOWN_ROWS}",
        texts.join(", "),
        quote_table(&table.name),
        wanted.join(" and "),
    );
    let rows = client.query(&query, &[]).await?;
    Ok(rows
        .iter()
        .map(|row| (0..columns.len()).map(|place| row.get(place)).collect())
        .collect())
}

/// Writes some rows into every table, within a transaction that is rolled back: whatever the tables ask for, Postgres says it here, and not in the middle.
async fn rehearse(client: &Client, values: &Values) -> Result<(), Error> {
    let mut numbers = Numbers::default();
    for place in 0..values.tables().count() {
        let (table, rows) = (values.table(place), values.rows(place));
        let fail = |reason| Error::Rehearsal {
            table: table.name.to_string(),
            reason,
        };
        for (column, sequence) in values.sequences(place) {
            let taken = numbers::take(client, sequence, rows.first, rows.count)
                .await
                .map_err(fail)?;
            numbers.set(place, column, taken);
        }
        let mut pieces = Pieces::default();
        for row in rows.first..rows.first + rows.count {
            pieces.row(&values.row(place, row, &numbers));
        }
        let copied = async {
            let sink = client.copy_in(&copy::statement(table)).await?;
            futures::pin_mut!(sink);
            for piece in pieces.done() {
                sink.send(piece).await?;
            }
            sink.finish().await?;
            client.batch_execute("set constraints all immediate").await
        };
        copied.await.map_err(|error| fail(refusal(&error, table)))?;
    }
    Ok(())
}

/// What Postgres said of rows it did not take, and what to do about it.
pub fn refusal(error: &tokio_postgres::Error, table: &Table) -> String {
    let said = describe(error);
    let Some(db) = error.as_db_error() else { return said };
    let place = db
        .where_()
        .map(|place| format!("; at {}", place.lines().next().unwrap_or_default()))
        .unwrap_or_default();
    let column = db
        .column()
        .map(str::to_owned)
        .or_else(|| mentioned(table, db.where_().unwrap_or_default()));
    let column = format!("{}.{}", table.name, column.as_deref().unwrap_or("COLUMN"));
    let remedy = match *db.code() {
        SqlState::UNIQUE_VIOLATION | SqlState::EXCLUSION_VIOLATION => {
            "such a row is there already: use a higher --first-row, or another --seed".to_owned()
        }
        SqlState::FOREIGN_KEY_VIOLATION => "fill the table it refers to as well".to_owned(),
        SqlState::INSUFFICIENT_PRIVILEGE => "the role must own the table or may insert into it".to_owned(),
        _ => format!("say which values to write with --value {column}=one|other"),
    };
    format!("{said}{place}; {remedy}")
}

/// The column that COPY says it was reading.
fn mentioned(table: &Table, place: &str) -> Option<String> {
    let (_, rest) = place.split_once(", column ")?;
    let name = rest.split(':').next()?;
    table.place(name).map(|_| name.to_owned())
}

/// What a run was asked for, and of which tables, as its journal begins.
pub fn begin(order: &Order, values: &Values, at: i64) -> journal::Begin {
    journal::Begin {
        // An order is made of texts and numbers; JSON holds it.
        order: serde_json::to_string(order).unwrap_or_default(),
        tables: values.tables().map(|table| table.name.to_string()).collect(),
        rows: (0..values.tables().count())
            .map(|place| {
                let Rows { first, count } = values.rows(place);
                (first, count)
            })
            .collect(),
        highest: values
            .highest()
            .filter_map(|(table, column, number)| {
                Some((u16::try_from(table).ok()?, u16::try_from(column).ok()?, number))
            })
            .collect(),
        at,
    }
}

/// The keys of a table by name and type: `"id"` and `bigint`.
pub fn key_columns(table: &Table) -> Vec<(String, String)> {
    let column = |&place: &usize| (quote(&table.columns[place].name), table.columns[place].sql_type.clone());
    table.key.iter().map(column).collect()
}

/// The place of a table's key, if it is one number of a sequence.
pub fn sequence_key(values: &Values, table: usize) -> Option<u16> {
    let [only] = values.table(table).key[..] else {
        return None;
    };
    values
        .sequences(table)
        .any(|(column, _)| column == only)
        .then(|| u16::try_from(only).ok())
        .flatten()
}
