//! The keys of the rows that are written to, and what a write comes to.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use synccluster_protocol::Site;
use tokio::time;
use tokio_postgres::Client;

use crate::{
    journal::{Key, KeyRange},
    numbers,
    plan::{WriteKind, deltas::Op},
    run::Run,
    sites::{self, Sites},
    values::Values,
};

/// Numbers that are taken from a sequence at once.
const BLOCK: u64 = 500;
/// Rows whose values changed columns get: far from those of new rows, which are counted from 0.
const CHANGES: u64 = 1 << 48;
/// How long a connection whose server ends may take to close.
const CLOSING: Duration = Duration::from_millis(200);

/// What a write does to its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// These columns.
    Insert(Vec<Option<String>>),
    /// One column.
    Update(usize, Option<String>),
    /// No column can be changed without changing what the row is: it is written again as it is.
    Touch,
    /// None any more.
    Delete,
}

/// A write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The place of its table.
    pub table: usize,
    /// Its row.
    pub key: Key,
    /// What it does.
    pub change: Change,
}

impl Write {
    /// Its kind.
    pub fn kind(&self) -> WriteKind {
        match self.change {
            Change::Insert(_) => WriteKind::Insert,
            Change::Update(..) | Change::Touch => WriteKind::Update,
            Change::Delete => WriteKind::Delete,
        }
    }
}

/// What is known of rows.
pub struct Book {
    values: Arc<Values>,
    known: Vec<Vec<Key>>,
    /// By table and row, those that were inserted.
    inserted: HashMap<(usize, u64), Key>,
    /// By table, the columns that may be changed.
    plain: Vec<Vec<usize>>,
    sites: Sites,
    /// Where, each with a connection.
    clients: Vec<(Site, Client)>,
    /// By site, table and column.
    numbers: HashMap<(usize, usize, usize), VecDeque<i64>>,
    run: Arc<Run>,
}

impl Book {
    /// With a connection to each site, for the numbers of its sequences.
    pub async fn open(
        values: Arc<Values>,
        known: Vec<Vec<Key>>,
        sites: &Sites,
        at: &[Site],
        run: Arc<Run>,
    ) -> Result<Self, sites::Error> {
        let mut clients = Vec::new();
        for &site in at {
            clients.push((site, sites.connect(site).await?));
        }
        let plain = (0..values.tables().count()).map(|place| {
            let table = values.table(place);
            (0..table.columns.len())
                .filter(|&column| table.is_plain(column) && values.can_change(place, column))
                .collect()
        });
        Ok(Self {
            plain: plain.collect(),
            values,
            known,
            inserted: HashMap::new(),
            sites: sites.clone(),
            clients,
            numbers: HashMap::new(),
            run,
        })
    }

    /// What a write comes to.
    pub async fn write(&mut self, op: &Op) -> Result<Write, String> {
        let known = self.known[op.table].len() as u64;
        if op.kind == WriteKind::Insert {
            return self.insert(op, op.row - known).await;
        }
        let key = match usize::try_from(op.row)
            .ok()
            .and_then(|row| self.known[op.table].get(row))
        {
            Some(key) => key.clone(),
            None if op.again => self.inserted.get(&(op.table, op.row)).cloned().unwrap_or_default(),
            None => self.inserted.remove(&(op.table, op.row)).unwrap_or_default(),
        };
        let plain = &self.plain[op.table];
        let change = if op.kind == WriteKind::Delete {
            Change::Delete
        } else if plain.is_empty() {
            Change::Touch
        } else {
            let column =
                plain[usize::try_from(crate::values::random::mix(op.number)).unwrap_or_default() % plain.len()];
            Change::Update(column, self.values.changed(op.table, column, CHANGES + op.number))
        };
        Ok(Write {
            table: op.table,
            key,
            change,
        })
    }

    async fn insert(&mut self, op: &Op, place: u64) -> Result<Write, String> {
        let mut taken = HashMap::new();
        let sequences: Vec<(usize, String)> = self
            .values
            .sequences(op.table)
            .map(|(column, name)| (column, name.to_owned()))
            .collect();
        for (column, sequence) in sequences {
            taken.insert(column, self.number(op.site, op.table, column, &sequence).await?);
        }
        let row = self.values.rows(op.table).first + place;
        let made = self
            .values
            .row(op.table, row, &|_, column: usize, _| taken.get(&column).copied());
        let key: Key = self
            .values
            .table(op.table)
            .key
            .iter()
            .map(|&column| made[column].clone().unwrap_or_default())
            .collect();
        if op.again {
            self.inserted.insert((op.table, op.row), key.clone());
        }
        Ok(Write {
            table: op.table,
            key,
            change: Change::Insert(made),
        })
    }

    async fn number(&mut self, site: usize, table: usize, column: usize, sequence: &str) -> Result<i64, String> {
        let left = self.numbers.entry((site, table, column)).or_default();
        if left.is_empty() {
            for range in reserve(&self.sites, &self.run, &mut self.clients[site], sequence).await? {
                left.extend((range.row..range.row + range.count).filter_map(|row| range.number(row)));
            }
        }
        left.pop_front()
            .ok_or_else(|| format!("sequence {sequence} has no numbers left"))
    }
}

/// A site that is away is waited for. Numbers that were taken and did not arrive are skipped, as sequences skip them.
async fn reserve(
    sites: &Sites,
    run: &Run,
    (site, client): &mut (Site, Client),
    sequence: &str,
) -> Result<Vec<KeyRange>, String> {
    loop {
        if client.is_closed() {
            match sites.connect(*site).await {
                Ok(new) => *client = new,
                Err(error) if run.stopped() => return Err(error.to_string()),
                Err(error) => tracing::warn!(%error, "trying again"),
            }
            continue;
        }
        match numbers::take(client, sequence, 0, BLOCK).await {
            Ok(ranges) => return Ok(ranges),
            Err(error) => {
                // A server that shuts down says so first and closes then.
                time::sleep(CLOSING).await;
                if !client.is_closed() {
                    return Err(error);
                }
            }
        }
    }
}
