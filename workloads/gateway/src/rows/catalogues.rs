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
    connection,
    failure::Failure,
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
    async fn read(&self, client: &Object, site: Site, age: Duration) -> Result<Arc<Catalogue>, Failure> {
        if let Some(known) = self.known(site, age) {
            return Ok(known);
        }
        let read = Arc::new(catalogue::read(client).await?);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(site, (Instant::now(), Arc::clone(&read)));
        Ok(read)
    }

    /// The same, on a connection of its own.
    async fn read_anew(&self, sites: &Sites, site: Site, age: Duration) -> Result<Arc<Catalogue>, Problem> {
        let busy = connection::busy(sites, site).await?;
        let read = self.read(&busy, site, age).await;
        connection::free(busy, &read);
        read.map_err(|failure| failure.problem(site))
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
        self.read_anew(sites, site, FRESH).await
    }

    /// A table of a site; 404 if it is not enrolled there.
    pub async fn table(&self, sites: &Sites, site: Site, name: &str) -> Result<Table, Problem> {
        let began = Instant::now();
        if let Some(table) = self.all(sites, site).await?.get(name) {
            return Ok(table.clone());
        }
        let newer = self.read_anew(sites, site, began.elapsed()).await?;
        let table = newer.get(name).cloned();
        table.ok_or_else(|| unknown(site, name, &newer))
    }

    /// Does something with a table of a site.
    pub async fn work<W: Work>(&self, sites: &Sites, site: Site, name: &str, work: &W) -> Result<W::Answer, Problem> {
        let began = Instant::now();
        let mut busy = connection::busy(sites, site).await?;
        let answer = self.work_on(&mut busy, began, site, name, work).await;
        connection::free(busy, &answer);
        answer.map_err(|failure| failure.problem(site))
    }

    async fn work_on<W: Work>(
        &self,
        client: &mut Object,
        began: Instant,
        site: Site,
        name: &str,
        work: &W,
    ) -> Result<W::Answer, Failure> {
        let catalogue = self.read(client, site, FRESH).await?;
        let table = catalogue.get(name);
        let failed = match table {
            None => None,
            Some(table) => match work.run(client, table).await {
                Err(failure) if failure.may_be_stale() => Some(failure),
                answer => return answer,
            },
        };
        let newer = self.read(client, site, began.elapsed()).await?;
        match (newer.get(name), failed) {
            (None, _) => Err(unknown(site, name, &newer).into()),
            (again, Some(failure)) if again == table => Err(failure),
            (Some(again), _) => work.run(client, again).await,
        }
    }
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
