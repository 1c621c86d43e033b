//! What is enrolled at every site, remembered for a few seconds: a migration shows by itself, and one that is met earlier (a column that is
//! not there any more, a table that is new) has the site looked at again at once.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use deadpool_postgres::Object;
use synccluster_protocol::Site;

use super::{
    catalogue::{self, Catalogue, Table},
    failure::{self, Failure},
};
use crate::{problem::Problem, sites::Sites};

/// How long what is enrolled is believed.
const FRESH: Duration = Duration::from_secs(5);

/// What is enrolled, by site.
#[derive(Debug, Default)]
pub struct Catalogues(Mutex<BTreeMap<Site, (Instant, Arc<Catalogue>)>>);

/// What is done with one table of a site.
pub trait Work: Sync {
    /// What comes of it.
    type Answer: Send;

    /// Does it. It is done again where it failed because the table is not as `table` says.
    fn run(&self, client: &mut Object, table: &Table) -> impl Future<Output = Result<Self::Answer, Failure>> + Send;
}

impl Catalogues {
    /// What is enrolled at a site; at most `age` old.
    async fn read(&self, client: &Object, site: Site, age: Duration) -> Result<Arc<Catalogue>, Problem> {
        if let Some(known) = self.known(site, age) {
            return Ok(known);
        }
        let read = catalogue::read(client).await;
        let read = Arc::new(read.map_err(|error| failure::problem(site, &error))?);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(site, (Instant::now(), Arc::clone(&read)));
        Ok(read)
    }

    fn known(&self, site: Site, age: Duration) -> Option<Arc<Catalogue>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get(&site).filter(|(at, _)| at.elapsed() < age);
        known.map(|(_, catalogue)| Arc::clone(catalogue))
    }

    /// Everything that is enrolled at a site.
    pub async fn all(&self, sites: &Sites, site: Site) -> Result<Arc<Catalogue>, Problem> {
        if let Some(known) = self.known(site, FRESH) {
            return Ok(known);
        }
        self.read(&sites.connect(site).await?, site, FRESH).await
    }

    /// A table of a site; 404 if it is not enrolled there.
    pub async fn table(&self, sites: &Sites, site: Site, name: &str) -> Result<Table, Problem> {
        let began = Instant::now();
        if let Some(table) = self.all(sites, site).await?.get(name) {
            return Ok(table.clone());
        }
        let newer = self.read(&sites.connect(site).await?, site, began.elapsed()).await?;
        newer.get(name).cloned().ok_or_else(|| unknown(site, name, &newer))
    }

    /// Does something with a table of a site.
    pub async fn work<W: Work>(&self, sites: &Sites, site: Site, name: &str, work: &W) -> Result<W::Answer, Problem> {
        let began = Instant::now();
        let mut client = sites.connect(site).await?;
        let catalogue = self.read(&client, site, FRESH).await?;
        if let Some(table) = catalogue.get(name) {
            match work.run(&mut client, table).await {
                Err(failure) if failure.may_be_stale() => {
                    let newer = self.read(&client, site, began.elapsed()).await?;
                    match newer.get(name) {
                        Some(newer) if newer != table => done(site, work.run(&mut client, newer).await),
                        Some(_) => Err(failure.problem(site)),
                        None => Err(unknown(site, name, &newer)),
                    }
                }
                answer => done(site, answer),
            }
        } else {
            let newer = self.read(&client, site, began.elapsed()).await?;
            let table = newer.get(name).ok_or_else(|| unknown(site, name, &newer))?;
            done(site, work.run(&mut client, table).await)
        }
    }
}

fn done<T>(site: Site, answer: Result<T, Failure>) -> Result<T, Problem> {
    answer.map_err(|failure| failure.problem(site))
}

fn unknown(site: Site, name: &str, known: &Catalogue) -> Problem {
    let names: Vec<&str> = known.keys().map(String::as_str).collect();
    let known = if names.is_empty() {
        "none is enrolled".to_owned()
    } else {
        format!("the enrolled tables are {}", names.join(", "))
    };
    let detail = format!("{site} has no table `{name}`; {known}");
    Problem::not_found("unknown-table", "Unknown table", detail)
}
