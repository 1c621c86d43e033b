//! Events that wait, and asking for another try.

use serde::Serialize;
use serde_json::Value;
use synccluster_protocol::Site;

use super::{
    books::{Book, Entry, Wanted},
    connection,
    failure::Failure,
    row::rfc3339_sql,
    sql::Sql,
};
use crate::{app::App, kafka::Content, problem::Problem};

/// An event that cannot be applied yet.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Parked {
    /// The site where it waits.
    #[schema(value_type = String)]
    pub site: Site,
    /// Its number there.
    #[serde(serialize_with = "super::conflicts::as_text")]
    #[schema(value_type = String)]
    pub id: i64,
    /// When it came.
    #[schema(format = DateTime)]
    pub at: String,
    /// The topic it came from.
    pub topic: String,
    /// The table it is about.
    pub table: String,
    /// The event as it came, with integers beyond ±(2^53 − 1), such as versions, as text.
    #[schema(value_type = Object)]
    pub event: Value,
    /// What it waits for.
    pub reason: String,
    /// When it was last tried.
    #[schema(format = DateTime)]
    pub tried_at: String,
    /// When somebody asked for another try that was not made yet.
    pub asked_at: Option<String>,
}

impl Entry for Parked {
    fn at(&self) -> &str {
        &self.at
    }

    fn id(&self) -> i64 {
        self.id
    }
}

fn columns() -> String {
    let [at, tried_at, asked_at] = ["at", "tried_at", "asked_at"].map(rfc3339_sql);
    format!("id, {at}, topic, relation, event::text, reason, {tried_at}, {asked_at}")
}

fn parked(site: Site, row: &tokio_postgres::Row) -> Result<Parked, tokio_postgres::Error> {
    Ok(Parked {
        site,
        id: row.try_get(0)?,
        at: row.try_get(1)?,
        topic: row.try_get(2)?,
        table: row.try_get(3)?,
        event: shown(row.try_get(4)?),
        reason: row.try_get(5)?,
        tried_at: row.try_get(6)?,
        asked_at: row.try_get(7)?,
    })
}

/// What cannot be held as JSON here, since it is too deep, is text.
fn shown(event: &str) -> Value {
    Content::of(Some(event.as_bytes()), usize::MAX).safe().value
}

async fn all(app: &App, site: Site, sql: &Sql) -> Result<Vec<Parked>, Problem> {
    let rows = connection::ask(&app.sites, site, sql).await?;
    let parked: Result<_, _> = rows.iter().map(|row| parked(site, row)).collect();
    parked.map_err(|error| Failure::from(error).problem(site))
}

impl Book for Parked {
    async fn read(
        app: &App,
        site: Site,
        wanted: &Wanted,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Self>, Problem> {
        let mut sql = Sql::new(format!("select {} from sync.parked where true", columns()));
        if let Some(table) = &wanted.table {
            let table = sql.text_value(Some(table));
            sql.add(format_args!(" and relation = {table}"));
        }
        if let Some(before) = before {
            let before = sql.number(before);
            sql.add(format_args!(" and id < {before}"));
        }
        let limit = sql.number(i64::try_from(limit).unwrap_or(i64::MAX));
        sql.add(format_args!(" order by id desc limit {limit}"));
        all(app, site, &sql).await
    }
}

/// Asks the site's sink for another try; it looks for such wishes every second or two.
pub async fn retry(app: &App, site: Site, id: &str) -> Result<Parked, Problem> {
    let unknown = || {
        let detail = format!("nothing with the number {id} is parked at {site}; it may have got through by now");
        Problem::not_found("unknown-parked", "Unknown parked event", detail)
    };
    let mut sql = Sql::new("update sync.parked set asked_at = clock_timestamp() where id = ");
    let number = sql.number(id.parse().map_err(|_| unknown())?);
    sql.push(&number).add(format_args!(" returning {}", columns()));
    all(app, site, &sql).await?.pop().ok_or_else(unknown)
}
