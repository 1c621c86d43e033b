//! Which versions of rows the sites have now.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use futures::future;
use synccluster_protocol::{Site, Version, event::VERSION_COLUMN};
use synccluster_runtime::catalog::quote;
use tokio::time;
use tokio_postgres::types::{ToSql, Type};

use super::way::Has;
use crate::{
    app::App,
    problem::Problem,
    rows::{self, catalogue::Table, key::Key},
};

/// How long a site may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// What every site has of the rows with these keys (as a path has them), in their order; with the keys as one of the sites reads them.
pub async fn ask(app: &App, table: &str, keys: &[String]) -> Result<Vec<(Key, BTreeMap<Site, Has>)>, Problem> {
    let asked = app.sites.names().map(|site| async move {
        let answer = time::timeout(PATIENCE, of_site(app, site, table, keys)).await;
        let silent = || Problem::unavailable("", "", format!("{site}'s database did not answer within {PATIENCE:?}"));
        (site, answer.unwrap_or_else(|_| Err(silent())))
    });
    let mut all: Vec<(Option<Key>, BTreeMap<Site, Has>)> = keys.iter().map(|_| (None, BTreeMap::new())).collect();
    let mut refused = None;
    for (site, answer) in future::join_all(asked).await {
        match answer {
            Ok(found) => {
                for ((key, sites), (named, has)) in all.iter_mut().zip(found) {
                    key.get_or_insert(named);
                    sites.insert(site, has);
                }
            }
            Err(problem) => {
                let away = problem.status == 503;
                let has = if away {
                    Has::Unreachable(problem.detail.clone())
                } else {
                    Has::Nothing
                };
                // A site that has not migrated yet knows no such table; only where none does that is the answer.
                if !away && problem.status != 404 {
                    return Err(problem);
                }
                refused = Some(problem);
                for (_, sites) in &mut all {
                    sites.insert(site, has.clone());
                }
            }
        }
    }
    let known: Option<Vec<_>> = all.into_iter().map(|(key, sites)| Some((key?, sites))).collect();
    match (known, refused) {
        (Some(known), _) => Ok(known),
        (None, Some(problem)) if problem.status == 404 => Err(problem),
        (None, _) => Err(Problem::unavailable(
            "site-unreachable",
            "Site unreachable",
            "no site's database can be reached; their state is shown under components",
        )),
    }
}

async fn of_site(app: &App, site: Site, name: &str, keys: &[String]) -> Result<Vec<(Key, Has)>, Problem> {
    let table = app.catalogues.table(&app.sites, site, name).await?;
    let keys: Vec<Key> = keys
        .iter()
        .map(|key| Key::parse(&table, key))
        .collect::<Result<_, _>>()?;
    let client = app.sites.connect(site).await?;
    let relation = table.full_name();
    let columns: Vec<Vec<&str>> = (0..table.key.len())
        .map(|place| {
            keys.iter()
                .filter_map(|key| key.0.get(place))
                .map(String::as_str)
                .collect()
        })
        .collect();
    let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> = vec![(&relation, Type::TEXT)];
    parameters.extend(
        columns
            .iter()
            .map(|texts| (texts as &(dyn ToSql + Sync), Type::TEXT_ARRAY)),
    );
    let read = async {
        let rows = client.query_typed(&statement(&table), &parameters).await?;
        rows.iter()
            .map(|row| {
                let found = |version, at| {
                    Ok(row
                        .try_get::<_, Option<i64>>(version)?
                        .map(|v| (Version(v), row.get(at))))
                };
                // A row is newer than the tombstone its key had before, and the other way around.
                let newest = found(0, 1)?
                    .into_iter()
                    .chain(found(2, 3)?)
                    .max_by_key(|(version, _)| *version);
                Ok(newest.map_or(Has::Nothing, |(version, at)| Has::Version(version, at)))
            })
            .collect::<Result<Vec<_>, tokio_postgres::Error>>()
    };
    let found = read.await.map_err(|error| rows::problem(site, &error))?;
    Ok(keys.into_iter().zip(found).collect())
}

/// Parameters: the table's name, then the texts of each column of the key. One row a key, in their order.
fn statement(table: &Table) -> String {
    let mut names = String::new();
    let mut arrays = String::new();
    let mut equal = Vec::new();
    let mut object = Vec::new();
    for (place, column) in table.key_columns().enumerate() {
        let value = column.value(&format!("k.c{place}"));
        let _ = write!(names, "c{place}, ");
        let _ = write!(arrays, "{}${}::text[]", if place > 0 { ", " } else { "" }, place + 2);
        equal.push(format!("{} = {value}", column.of("t")));
        object.push(format!("'{}', {value}", column.name.replace('\'', "''")));
    }
    format!(
        "select t.{version}, {row_at}, x.version, {tombstone_at}
           from unnest({arrays}) with ordinality k({names}n)
           left join {quoted} t on {equal}
           left join sync.tombstones x on x.relation = $1 and x.key = jsonb_build_object({object})
          order by k.n",
        version = quote(VERSION_COLUMN),
        row_at = committed_at("t"),
        tombstone_at = committed_at("x"),
        quoted = table.quoted(),
        equal = equal.join(" and "),
        object = object.join(", "),
    )
}

/// When a row's version was committed here, in microseconds since the Unix epoch.
fn committed_at(alias: &str) -> String {
    format!(
        "case when current_setting('track_commit_timestamp') = 'on' then
           (extract(epoch from pg_xact_commit_timestamp({alias}.xmin)) * 1000000)::bigint end"
    )
}
