//! The sites that are asked together. One that cannot be reached is named, and the others are shown.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use futures::future::join_all;
use synccluster_protocol::Site;
use tokio::time::timeout_at;

use super::{
    catalogue::{Column, Table},
    catalogues::Work,
    filter::Filter,
    order::Comparing,
    probe::Question,
};
use crate::{app::App, problem::Problem};

/// What a site is given at least, however long somebody else was waited for before: who answers must not be left out because of who does not.
const LEAST: Duration = Duration::from_secs(2);

/// Which rows of which sites.
#[derive(Clone, Debug)]
pub struct Request {
    /// The sites, by name; empty: all of them.
    pub sites: Vec<String>,
    /// The table.
    pub table: String,
    /// Which rows.
    pub filter: Filter,
    /// In which order.
    pub order: String,
}

/// Sites with a table, and what is asked of it.
pub struct Panel<'a> {
    app: &'a App,
    tables: BTreeMap<Site, Table>,
    /// What they are asked.
    pub question: Question,
    /// Sites that are left out, and why.
    pub unreachable: BTreeMap<Site, String>,
}

impl<'a> Panel<'a> {
    /// Finds the table at every site. `until`: when the page's time is over; the questions that follow share it.
    pub async fn find(app: &'a App, request: &Request, until: Instant) -> Result<Self, Problem> {
        let sites: BTreeSet<Site> = if request.sites.is_empty() {
            app.sites.names().collect()
        } else {
            request
                .sites
                .iter()
                .map(|name| app.sites.find(name))
                .collect::<Result<_, _>>()?
        };
        let until = ends(until, Instant::now());
        let find = async |site: Site| {
            let found = app.catalogues.table(&app.sites, site, &request.table);
            (site, answered(site, until, found).await)
        };
        let mut tables = BTreeMap::new();
        let mut problems = BTreeMap::new();
        for (site, table) in join_all(sites.into_iter().map(find)).await {
            match table {
                Ok(table) => drop(tables.insert(site, table)),
                Err(problem) => drop(problems.insert(site, problem)),
            }
        }
        let Some(first) = tables.values().next().cloned() else {
            return Err(nobody(problems));
        };
        let mut unreachable: BTreeMap<Site, String> = problems
            .into_iter()
            .map(|(site, problem)| (site, problem.detail))
            .collect();
        let question = Question {
            table: request.table.clone(),
            filter: request.filter.clone(),
            order: request.order.clone(),
            comparing: first
                .columns
                .iter()
                .map(|column| (column.name.clone(), comparing(column, &tables)))
                .collect(),
        };
        tables.retain(|site, table| match unlike(&question, &first, table) {
            Some(why) => {
                unreachable.insert(*site, why);
                false
            }
            None => true,
        });
        Ok(Self {
            app,
            tables,
            question,
            unreachable,
        })
    }

    /// The columns all sites have, in no particular order, unless one has others.
    pub fn columns(&self) -> Option<Vec<String>> {
        let names =
            |table: &Table| -> BTreeSet<String> { table.columns.iter().map(|column| column.name.clone()).collect() };
        let mut all = self.tables.values().map(names);
        let first = all.next()?;
        all.all(|other| other == first).then(|| first.into_iter().collect())
    }

    /// The sites that are shown.
    pub fn sites(&self) -> Vec<Site> {
        self.tables.keys().copied().collect()
    }

    /// The first of them; 503 if none is left.
    pub fn first(&self) -> Result<(Site, &Table), Problem> {
        let first = self.tables.iter().next().map(|(site, table)| (*site, table));
        first.ok_or_else(|| {
            let why: Vec<&str> = self.unreachable.values().map(String::as_str).collect();
            Problem::unavailable("sites-unreachable", "Sites unreachable", why.join("; "))
        })
    }

    /// Asks all sites at once. A site that does not answer in time is left out from here on.
    pub async fn ask<W: Work>(&mut self, work: &W, until: Instant) -> Result<Vec<(Site, W::Answer)>, Problem> {
        let app = self.app;
        let (table, until) = (self.question.table.as_str(), ends(until, Instant::now()));
        let ask = async |site: Site| {
            let answer = app.catalogues.work(&app.sites, site, table, work);
            (site, answered(site, until, answer).await)
        };
        let answers = join_all(self.tables.keys().copied().map(ask)).await;
        let mut all = Vec::new();
        for (site, answer) in answers {
            match answer {
                Ok(answer) => all.push((site, answer)),
                Err(problem) => self.leave_out(site, problem)?,
            }
        }
        self.first()?;
        Ok(all)
    }

    /// Asks the first site, and the next one where it does not answer in time.
    pub async fn ask_first<W: Work>(&mut self, work: &W, until: Instant) -> Result<W::Answer, Problem> {
        loop {
            let (site, _) = self.first()?;
            let app = self.app;
            let answer = app.catalogues.work(&app.sites, site, &self.question.table, work);
            let answer = answered(site, ends(until, Instant::now()), answer).await;
            match answer {
                Ok(answer) => return Ok(answer),
                Err(problem) => self.leave_out(site, problem)?,
            }
        }
    }

    /// What is wrong with the question is wrong at every site; anything else is the site's.
    fn leave_out(&mut self, site: Site, problem: Problem) -> Result<(), Problem> {
        if (400..500).contains(&problem.status) && problem.status != 404 {
            return Err(problem);
        }
        self.tables.remove(&site);
        self.unreachable.insert(site, problem.detail);
        Ok(())
    }
}

/// When a question that is asked now has to be answered, where the page's time is over at `until`.
fn ends(until: Instant, now: Instant) -> Instant {
    until.max(now + LEAST)
}

async fn answered<T>(
    site: Site,
    until: Instant,
    answer: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    let given = until.saturating_duration_since(Instant::now());
    timeout_at(until.into(), answer).await.unwrap_or_else(|_| {
        let detail = format!("{site} did not answer within {} s", given.as_millis().div_ceil(1000));
        Err(Problem::unavailable("site-unreachable", "Site unreachable", detail))
    })
}

/// How a column's values are compared so that all sites agree.
fn comparing(column: &Column, tables: &BTreeMap<Site, Table>) -> Comparing {
    let mut others = tables.values().filter_map(|table| table.column(&column.name));
    let alike = others
        .clone()
        .all(|other| (&other.cast, &other.enum_values) == (&column.cast, &column.enum_values));
    match alike {
        false => Comparing::AsText,
        true if others.any(|other| other.collated) => Comparing::Alike,
        true => Comparing::Natively,
    }
}

/// Why a site's table cannot be compared with the others'.
fn unlike(question: &Question, first: &Table, table: &Table) -> Option<String> {
    if table.key != first.key {
        return Some(format!(
            "the key of {} is ({}) there, and ({}) elsewhere",
            table.name,
            table.key.join(", "),
            first.key.join(", ")
        ));
    }
    let missing = question
        .filter
        .0
        .iter()
        .find(|condition| table.column(&condition.column).is_none() && first.column(&condition.column).is_some());
    if let Some(condition) = missing {
        return Some(format!("{} has no column {} there", table.name, condition.column));
    }
    let order = question.order(table).err().filter(|_| question.order(first).is_ok());
    order.map(|failure| failure.problem(Site::Server).detail)
}

fn nobody(problems: BTreeMap<Site, Problem>) -> Problem {
    let unknown = problems.values().all(|problem| problem.status == 404);
    let details: Vec<String> = problems.values().map(|problem| problem.detail.clone()).collect();
    match problems.into_values().next() {
        Some(problem) if unknown => problem,
        _ => Problem::unavailable("sites-unreachable", "Sites unreachable", details.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_waited_for_once_and_who_answers_is_not_left_out_for_who_does_not() {
        let (began, second) = (Instant::now(), Duration::from_secs(1));
        let until = began + 4 * second;
        assert_eq!(ends(until, began), until);
        assert_eq!(
            ends(until, began + second),
            until,
            "the second question has no time of its own"
        );
        assert_eq!(ends(until, until), until + LEAST, "somebody has used it up");
    }
}
