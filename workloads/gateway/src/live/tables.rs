//! What enrolled tables look like, as far as keys and values need it; their keys are the same at every site.

use std::{
    collections::HashMap,
    iter,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use synccluster_protocol::Site;
use tokio_postgres::{Client, Error};

use super::record;
use crate::{
    app::App,
    rows::{
        catalogue::{Catalogue, Table},
        key::Key,
    },
};

/// Between two looks for a table that no site has: it was dropped while its changes were on their way.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// So many names nobody knows are remembered.
const MOST_ABSENT: usize = 1000;

/// A table under the one copy of its name.
pub type Named = (Arc<str>, Arc<Table>);

/// Tables by name.
#[derive(Default)]
pub struct Tables(Mutex<State>);

#[derive(Default)]
struct State {
    known: HashMap<Arc<str>, Arc<Table>>,
    absent: HashMap<String, Instant>,
}

impl Tables {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what is enrolled at a site.
    pub fn learn(&self, catalogue: &Catalogue) {
        let mut state = self.state();
        for (name, table) in catalogue {
            match state.known.get_mut(name.as_str()) {
                Some(known) if **known == *table => {}
                Some(known) => *known = Arc::new(table.clone()),
                None => drop(state.known.insert(name.as_str().into(), Arc::new(table.clone()))),
            }
        }
    }

    /// The table of this name, if it is known.
    pub fn get(&self, name: &str) -> Option<Named> {
        let state = self.state();
        state
            .known
            .get_key_value(name)
            .map(|(name, table)| (Arc::clone(name), Arc::clone(table)))
    }

    /// The table of this name, of which `site` has told; that one and then the others are asked for one that is not known, but not again and
    /// again. That they did not have it a moment ago, when they were asked for another reason, counts for nothing: it may just have been made.
    pub async fn find(&self, app: &App, site: Site, name: &str) -> Option<Named> {
        if let Some(known) = self.get(name) {
            return Some(known);
        }
        let absent_since = self.state().absent.get(name).copied();
        if absent_since.is_some_and(|looked| looked.elapsed() < LOOK_AGAIN) {
            return None;
        }
        let mut is_unknown = false;
        for of in iter::once(site).chain(app.sites.names().filter(|other| *other != site)) {
            match app.catalogues.table(&app.sites, of, name).await {
                Ok(table) => {
                    self.learn(&Catalogue::from([(name.to_owned(), table)]));
                    self.state().absent.remove(name);
                    return self.get(name);
                }
                Err(problem) => is_unknown |= of == site && problem.status == StatusCode::NOT_FOUND,
            }
        }
        // A site that did not answer may have it: asked again with the next record.
        if !is_unknown {
            return None;
        }
        let mut state = self.state();
        if state.absent.len() >= MOST_ABSENT {
            state.absent.clear();
        }
        state.absent.insert(name.to_owned(), Instant::now());
        None
    }
}

/// The key of a tombstone; Postgres is asked where a type has another text in jsonb than in SQL.
pub async fn tombstone_key(client: &Client, table: &Table, json: &str) -> Result<Option<Key>, Error> {
    if let Some(key) = record::json_key(table, json) {
        return Ok(Some(key));
    }
    let statement = format!(
        "select {} from jsonb_populate_record(null::{}, $1::text::jsonb) k",
        table.key_texts("k"),
        table.quoted()
    );
    let row = client.query_one(&statement, &[&json]).await?;
    let texts: Vec<Option<String>> = row.try_get(0)?;
    Ok(texts.into_iter().collect::<Option<Vec<_>>>().map(Key))
}
