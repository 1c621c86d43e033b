//! Rows of several sites side by side, and what differs between them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use synccluster_protocol::Site;

use super::{
    align::{Aligned, Cell, Next, Ranking, side_by_side},
    key::Key,
    order::{Comparing, Order, Position},
    panel::{Panel, Request},
    probe::{Candidates, Digest, Lookup, Question, Range, Rank},
    read,
};
use crate::{app::App, problem::Problem};

/// How long sites may take for a page before the others are shown without them: to find the table, and to say what comes next.
const PATIENCE: Duration = Duration::from_secs(4);
/// How long differences are looked for in one request; what is left is for the next one.
const SEARCH: Duration = Duration::from_secs(5);
/// Rows whose sum is compared in one go.
const BLOCK: usize = 5_000;

/// Sites that are compared.
pub struct Comparison<'a> {
    /// Who takes part.
    pub panel: Panel<'a>,
    order: Order,
    /// The columns all sites have, unless one has others.
    columns: Option<Vec<String>>,
    /// When the time of the round that is under way is over. The first one's began when the table was looked for.
    until: Instant,
}

/// Keys that come next with the rows of all sites.
#[derive(Debug, Default)]
pub struct Found {
    /// In order, each with its place.
    pub rows: Vec<(Aligned, Position)>,
    /// How many keys were looked at.
    pub compared: u64,
    /// Where to go on; `None`: there is nothing further.
    pub next: Option<Position>,
}

impl<'a> Comparison<'a> {
    /// Finds the table at every site.
    pub async fn begin(app: &'a App, request: &Request) -> Result<Self, Problem> {
        let until = Instant::now() + PATIENCE;
        let panel = Panel::find(app, request, until).await?;
        let (site, table) = panel.first()?;
        let order = panel.question.order(table).map_err(|failure| failure.problem(site))?;
        let columns = panel.columns();
        Ok(Self {
            panel,
            order,
            columns,
            until,
        })
    }

    /// The position a cursor stands for.
    pub fn position(&self, cursor: Option<&str>) -> Result<Option<Position>, Problem> {
        read::position(cursor, &self.order)
    }

    /// The cursor behind a position.
    pub fn cursor(&self, position: &Position) -> String {
        read::next(&self.order, position)
    }

    /// The next rows.
    pub async fn rows(&mut self, after: Option<Position>, limit: usize) -> Result<Found, Problem> {
        self.collect(Range { after, up_to: None }, limit, |_| true).await
    }

    /// The next rows that are not the same at all sites. In the key's order ranges are compared by their sums first.
    pub async fn differences(&mut self, mut after: Option<Position>, limit: usize) -> Result<Found, Problem> {
        let by_key = self.order.print() == Order::key(self.panel.first()?.1, |_| Comparing::Natively).print();
        if !by_key || self.columns.is_none() {
            return self
                .collect(Range { after, up_to: None }, limit, |row| !row.equal)
                .await;
        }
        let began = Instant::now();
        let mut found = Found::default();
        loop {
            let up_to = self.boundary(after.as_ref()).await?;
            let range = Range {
                after: after.take(),
                up_to,
            };
            if let Some(count) = self.sums(&range).await? {
                found.compared += count;
            } else {
                let limit = limit - found.rows.len();
                let more = self.collect(range.clone(), limit, |row| !row.equal).await?;
                found.compared += more.compared;
                found.rows.extend(more.rows);
                if more.next.is_some() {
                    found.next = more.next;
                    return Ok(found);
                }
            }
            if range.up_to.is_none() || found.rows.len() >= limit || began.elapsed() > SEARCH {
                found.next = range.up_to;
                return Ok(found);
            }
            after = range.up_to;
            self.until = Instant::now() + PATIENCE;
        }
    }

    /// Rows of a range that are wanted, up to `limit`, or as many as are found in time.
    async fn collect(
        &mut self,
        mut range: Range,
        limit: usize,
        wanted: impl Fn(&Aligned) -> bool,
    ) -> Result<Found, Problem> {
        let began = Instant::now();
        let mut found = Found::default();
        loop {
            let round = self.round(&range, limit).await?;
            for (row, position) in round.rows {
                if found.rows.len() == limit {
                    found.next = found.rows.last().map(|(_, position)| position.clone());
                    return Ok(found);
                }
                found.compared += 1;
                if wanted(&row) {
                    found.rows.push((row, position));
                }
            }
            if round.next.is_none() || found.rows.len() == limit || began.elapsed() > SEARCH {
                found.next = round.next;
                return Ok(found);
            }
            range.after = round.next;
            self.until = Instant::now() + PATIENCE;
        }
    }

    /// The keys that come next at any site, with the rows of all sites.
    async fn round(&mut self, range: &Range, limit: usize) -> Result<Found, Problem> {
        let question = self.panel.question.clone();
        let candidates = Candidates {
            question: &question,
            range,
            // One more tells whether there is more.
            limit: limit + 1,
            skip: 0,
        };
        let told = self.panel.ask(&candidates, self.until).await?;
        let horizons: Vec<Position> = told
            .iter()
            .filter_map(|(_, rows)| rows.get(limit).map(|row| row.position.clone()))
            .collect();
        let next = agreed(&told, horizons.first());
        let mut cells: Cells = told.into_iter().map(|(site, rows)| (site, by_key(rows))).collect();
        let next = if let Some(next) = next {
            next
        } else {
            self.complete(&question, &mut cells).await?;
            let all = cells.iter().flat_map(|(_, rows)| rows.values());
            let ranking = Ranking::new(all, range.after.as_ref(), horizons.into_iter());
            let rank = Rank {
                question: &question,
                positions: &ranking.positions,
            };
            ranking.next(&self.panel.ask_first(&rank, self.until).await?)
        };
        let (_, table) = self.panel.first()?;
        let rows = next
            .keys
            .into_iter()
            .map(|(key, position)| (side_by_side(table, &key, &cells), position));
        Ok(Found {
            rows: rows.collect(),
            compared: 0,
            next: next.horizon,
        })
    }

    /// Asks for the rows of keys that some site told and another one did not: they may be elsewhere in its order, or not be taken.
    async fn complete(&mut self, question: &Question, cells: &mut Cells) -> Result<(), Problem> {
        let all: BTreeSet<&Key> = cells.iter().flat_map(|(_, rows)| rows.keys()).collect();
        let untold = |key: &&Key| cells.iter().any(|(_, rows)| !rows.contains_key(*key));
        let keys: Vec<Key> = all.into_iter().filter(untold).cloned().collect();
        let lookup = Lookup { question, keys: &keys };
        let found = self.panel.ask(&lookup, self.until).await?;
        let mut found: BTreeMap<Site, BTreeMap<Key, Cell>> = found.into_iter().collect();
        cells.retain(|(site, _)| found.contains_key(site));
        for (site, rows) in cells {
            rows.append(found.entry(*site).or_default());
        }
        Ok(())
    }

    /// Where the next block of keys ends; `None`: at the end.
    async fn boundary(&mut self, after: Option<&Position>) -> Result<Option<Position>, Problem> {
        let question = self.panel.question.clone();
        let range = Range {
            after: after.cloned(),
            up_to: None,
        };
        let last = Candidates {
            question: &question,
            range: &range,
            limit: 1,
            skip: BLOCK - 1,
        };
        let mut rows = self.panel.ask_first(&last, self.until).await?;
        Ok(rows.pop().map(|row| row.position))
    }

    /// How many rows a range has, if all sites have the same ones there.
    async fn sums(&mut self, range: &Range) -> Result<Option<u64>, Problem> {
        let (question, columns) = (self.panel.question.clone(), self.columns.clone().unwrap_or_default());
        let digest = Digest {
            question: &question,
            range,
            columns: &columns,
        };
        let sums = self.panel.ask(&digest, self.until).await?;
        let mut sums = sums.into_iter().map(|(_, sum)| sum);
        let first = sums.next().unwrap_or_default();
        Ok(sums
            .all(|sum| sum == first)
            .then(|| u64::try_from(first.0).unwrap_or_default()))
    }
}

/// What is known of each site.
type Cells = Vec<(Site, BTreeMap<Key, Cell>)>;

fn by_key(rows: Vec<Cell>) -> BTreeMap<Key, Cell> {
    rows.into_iter().map(|row| (row.key.clone(), row)).collect()
}

/// What comes next where every site tells the same keys at the same places: nothing is left to be asked, and nothing to be ranked.
fn agreed(told: &[(Site, Vec<Cell>)], horizon: Option<&Position>) -> Option<Next> {
    let places = |rows: &[Cell]| {
        rows.iter()
            .map(|row| (row.key.clone(), row.position.clone()))
            .collect::<Vec<_>>()
    };
    let mut all = told.iter().map(|(_, rows)| places(rows));
    let first = all.next()?;
    all.all(|other| other == first).then(|| Next {
        keys: first,
        horizon: horizon.cloned(),
    })
}
