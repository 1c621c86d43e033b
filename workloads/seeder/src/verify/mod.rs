//! Checks what was acknowledged against what is there: every write is in its row, was replaced or deleted by a later one, or lost with a record in
//! `sync.conflicts`, at every site.

mod ask;
mod judge;
mod read;

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use serde::Serialize;
use synccluster_protocol::Site;
use synccluster_runtime::postgres::describe;
use tokio::time::{Instant, sleep};
use tokio_postgres::Client;

use crate::{
    journal::{self, Folder, Key},
    schema,
    sites::{self, Sites},
};
use ask::Asked;
pub use judge::{Acknowledged, Found, Outcome, judge};
use read::{Checked, Writes};

/// Writes that are asked about at once.
const AT_ONCE: usize = 5_000;
/// Writes that are named when they are missing.
const NAMED: usize = 100;
/// Writes that are waited for, of those that may still be on their way.
const WAITED_FOR: usize = 200_000;
/// Between two looks at what is missing.
const AGAIN: Duration = Duration::from_secs(1);

/// Why nothing could be said.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// A site.
    #[error(transparent)]
    Site(#[from] sites::Error),
    /// A table.
    #[error("at {site}: {error}")]
    Schema {
        /// The site.
        site: Site,
        /// What is wrong.
        error: schema::read::Error,
    },
    /// Postgres.
    #[error("asking {site} about {table}: {reason}")]
    Postgres {
        /// The site.
        site: Site,
        /// The table.
        table: String,
        /// What it said.
        reason: String,
    },
}

/// A write that is not accounted for at a site.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// Where it is not.
    pub site: String,
    /// Where it was acknowledged.
    pub written_at: String,
    /// Its table.
    pub table: String,
    /// Its key, column by column.
    pub key: Key,
    /// The version it was acknowledged with, or the lowest it can have; as text, since JSON's numbers are not that exact everywhere.
    pub version: String,
    /// Missing or parked.
    pub outcome: Outcome,
}

/// What became of what was acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Whether every write is accounted for at every site.
    pub ok: bool,
    /// How many writes were acknowledged.
    pub acknowledged: u64,
    /// How many were sent without an answer: nothing is asked of them.
    pub unknown: u64,
    /// By site, how many writes have which outcome.
    pub sites: BTreeMap<String, BTreeMap<Outcome, u64>>,
    /// How many are missing or parked, all sites together.
    pub faults: u64,
    /// The first of them.
    pub examples: Vec<Fault>,
}

impl Report {
    fn add(&mut self, site: Site, outcome: Outcome) {
        *self
            .sites
            .entry(site.to_string())
            .or_default()
            .entry(outcome)
            .or_default() += 1;
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "{} writes were acknowledged, {} have no answer",
            self.acknowledged, self.unknown
        )?;
        for (site, outcomes) in &self.sites {
            let words: Vec<String> = outcomes
                .iter()
                .map(|(outcome, count)| format!("{count} {outcome:?}").to_lowercase())
                .collect();
            writeln!(f, "{site}: {}", words.join(", "))?;
        }
        for fault in &self.examples {
            let Fault {
                site,
                written_at,
                table,
                key,
                version,
                outcome,
            } = fault;
            let key = key.join(", ");
            writeln!(
                f,
                "{outcome:?} at {site}: {table} ({key}), acknowledged at {written_at} with version {version}"
            )?;
        }
        match (self.ok, self.faults) {
            (true, _) => write!(f, "every one of them is accounted for at every site"),
            (false, faults) => write!(f, "{faults} are not accounted for"),
        }
    }
}

/// A site that is asked.
struct Asking {
    site: Site,
    client: Client,
    tables: HashMap<String, Asked>,
}

impl Asking {
    async fn table(&mut self, name: &str) -> Result<&Asked, Error> {
        if !self.tables.contains_key(name) {
            let site = self.site;
            let asked = Asked::read(&self.client, name)
                .await
                .map_err(|error| Error::Schema { site, error })?;
            self.tables.insert(name.to_owned(), asked);
        }
        // It was put there.
        self.tables.get(name).ok_or(Error::Schema {
            site: self.site,
            error: schema::read::Error::Nothing,
        })
    }
}

/// Checks a run. What is missing is looked for again for so long: it may be on its way.
pub async fn verify(
    sites: &Sites,
    at: &[Site],
    journals: &Folder,
    run: &str,
    patience: Duration,
) -> Result<Report, Error> {
    let deadline = Instant::now() + patience;
    let mut report = Report::default();
    let names = sites.names();
    let mut asking = Vec::new();
    for &site in if at.is_empty() { &names } else { at } {
        let client = sites.connect(site).await?;
        asking.push(Asking {
            site,
            client,
            tables: HashMap::new(),
        });
    }
    let mut writes = Writes::open(journals, run)?;
    let mut missing: Vec<(usize, Checked)> = Vec::new();
    while let Some(part) = writes.next(AT_ONCE)? {
        report.acknowledged += part.len() as u64;
        let everywhere = outcomes(&mut asking, &part).await?;
        for (place, outcomes) in everywhere.into_iter().enumerate() {
            for (write, outcome) in part.iter().zip(outcomes) {
                if matches!(outcome, Outcome::Missing | Outcome::Parked) {
                    if missing.len() < WAITED_FOR {
                        missing.push((place, write.clone()));
                    } else {
                        report.add(asking[place].site, outcome);
                        report.faults += 1;
                    }
                } else {
                    report.add(asking[place].site, outcome);
                }
            }
        }
    }
    report.unknown = writes.unknown;
    settle(&mut asking, missing, deadline, &mut report).await?;
    report.ok = report.faults == 0;
    Ok(report)
}

/// Looks again at what is missing until it is there or the time is over.
async fn settle(
    asking: &mut [Asking],
    mut missing: Vec<(usize, Checked)>,
    deadline: Instant,
    report: &mut Report,
) -> Result<(), Error> {
    loop {
        let mut left = Vec::new();
        // What was recorded as lost since then is recorded at any site: all are asked again.
        for part in missing.chunks(AT_ONCE) {
            let writes: Vec<Checked> = part.iter().map(|(_, write)| write.clone()).collect();
            let everywhere = outcomes(asking, &writes).await?;
            for (number, (place, write)) in part.iter().enumerate() {
                let outcome = everywhere[*place][number];
                if matches!(outcome, Outcome::Missing | Outcome::Parked) {
                    left.push((*place, write.clone(), outcome));
                } else {
                    report.add(asking[*place].site, outcome);
                }
            }
        }
        if !left.is_empty() && Instant::now() < deadline {
            missing = left.into_iter().map(|(place, write, _)| (place, write)).collect();
            sleep(AGAIN).await;
            continue;
        }
        report.faults += left.len() as u64;
        for (place, write, outcome) in left {
            let site = asking[place].site;
            report.add(site, outcome);
            if report.examples.len() < NAMED {
                report.examples.push(Fault {
                    site: site.to_string(),
                    written_at: write.site.to_string(),
                    table: write.table,
                    key: write.key,
                    version: write.acknowledged.least().to_string(),
                    outcome,
                });
            }
        }
        return Ok(());
    }
}

/// What became of these writes: by site, in their order.
async fn outcomes(asking: &mut [Asking], writes: &[Checked]) -> Result<Vec<Vec<Outcome>>, Error> {
    let mut tables: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, write) in writes.iter().enumerate() {
        tables.entry(&write.table).or_default().push(place);
    }
    let mut everywhere = vec![vec![Outcome::Missing; writes.len()]; asking.len()];
    for (table, places) in tables {
        let mut keys: Vec<Key> = places.iter().map(|&place| writes[place].key.clone()).collect();
        keys.sort();
        keys.dedup();
        let mut found = Vec::new();
        let mut lost: HashMap<Key, Vec<i64>> = HashMap::new();
        for at in asking.iter_mut() {
            let site = at.site;
            let fail = |error: tokio_postgres::Error| Error::Postgres {
                site,
                table: table.to_owned(),
                reason: describe(&error),
            };
            let asked = at.table(table).await?.clone();
            found.push(asked.find(&at.client, &keys).await.map_err(fail)?);
            for (key, versions) in asked.lost(&at.client, &keys).await.map_err(fail)? {
                lost.entry(key).or_default().extend(versions);
            }
        }
        for (number, found) in found.iter_mut().enumerate() {
            for (key, found) in keys.iter().zip(found.iter_mut()) {
                found.lost = lost.get(key).cloned().unwrap_or_default();
            }
            for &place in &places {
                let write = &writes[place];
                // Every key of these writes is among them.
                if let Ok(at) = keys.binary_search(&write.key) {
                    everywhere[number][place] = judge(write.acknowledged, &found[at]);
                }
            }
        }
    }
    Ok(everywhere)
}
