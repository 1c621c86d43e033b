//! Making a losing write again.

use axum::http::StatusCode;
use deadpool_postgres::Object;
use serde::Serialize;
use synccluster_protocol::Site;
use synccluster_runtime::catalog::quote;

use super::{
    catalogue::{Column, Table},
    catalogues::Work,
    conflicts::Conflict,
    connection,
    failure::Failure,
    image::Document,
    row::{self, Row},
    sql::Sql,
    write::taken_away,
};
use crate::{app::App, problem::Problem};

/// What became of a losing write that was made again.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Reapplied {
    /// The row as it is now; null: the delete was made again.
    pub row: Option<Row>,
    /// Columns of the loser that the table has no more.
    pub left_out: Vec<String>,
}

/// The table of an entry; 404 if there is none.
pub async fn table_of(app: &App, site: Site, id: &str) -> Result<(i64, String), Problem> {
    let unknown = || {
        let detail = format!("the books of {site} have no conflict {id}");
        Problem::not_found("unknown-conflict", "Unknown conflict", detail)
    };
    let number: i64 = id.parse().map_err(|_| unknown())?;
    let mut sql = Sql::default();
    let parameter = sql.number(number);
    sql.add(format_args!(
        "select relation from sync.conflicts where id = {parameter}"
    ));
    let rows = connection::ask(&app.sites, site, &sql).await?;
    let table = rows.first().ok_or_else(unknown)?.try_get(0);
    let table = table.map_err(|error| Failure::from(error).problem(site))?;
    Ok((number, table))
}

/// Makes a losing write again, as a new write of the site, and marks it in the same transaction.
#[derive(Debug)]
pub struct Reapply {
    /// The number of its entry.
    pub id: i64,
}

impl Work for Reapply {
    type Answer = Reapplied;

    async fn run(&self, client: &mut Object, table: &Table) -> Result<Reapplied, Failure> {
        let transaction = client.transaction().await?;
        let mut claim = Sql::default();
        let id = claim.number(self.id);
        claim.add(format_args!(
            "update sync.conflicts set reapplied_at = clock_timestamp() where id = {id} and reapplied_at is null returning key::text, loser::text"
        ));
        let Some(claimed) = claim.first(&*transaction).await? else {
            return Err(already(self.id).into());
        };
        let reapplied = if let Some(loser) = claimed.try_get::<_, Option<String>>(1)? {
            let document = Document::read(table, &loser).map_err(|e| not_again(&e.to_string()))?;
            let row = upsert(table, &document).first(&*transaction).await?;
            let row = row.ok_or_else(|| taken_away(table))?;
            Reapplied {
                row: Some(row::read(table, &row)?),
                left_out: document.left_out,
            }
        } else {
            delete(table, claimed.try_get(0)?).rows(&*transaction).await?;
            Reapplied {
                row: None,
                left_out: Vec::new(),
            }
        };
        transaction.commit().await?;
        Ok(reapplied)
    }
}

fn upsert(table: &Table, document: &Document) -> Sql {
    let columns: Vec<&Column> = document
        .columns
        .iter()
        .filter_map(|name| table.column(name))
        .filter(|column| column.generated.is_none())
        .collect();
    let list = |columns: &[&Column], alias: &str| {
        columns
            .iter()
            .map(|column| column.of(alias))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let names: Vec<_> = columns.iter().map(|column| quote(&column.name)).collect();
    let key: Vec<_> = table.key.iter().map(|name| quote(name)).collect();
    // A column that is always identity takes a value from an insert, but from no update. The key is set to itself, so that there is a write
    // even where the key is all there is.
    let mut set: Vec<_> = columns
        .iter()
        .filter(|column| !column.in_key && column.identity != Some("always"))
        .map(|column| quote(&column.name))
        .collect();
    if set.is_empty() {
        set = table
            .key_columns()
            .filter(|column| column.identity != Some("always"))
            .map(|column| quote(&column.name))
            .collect();
    }
    let set: Vec<_> = set.iter().map(|name| format!("{name} = excluded.{name}")).collect();
    let mut sql = Sql::new(format!(
        "insert into {} as t ({}) overriding system value",
        table.quoted(),
        names.join(", ")
    ));
    let json = sql.text_value(Some(&document.json));
    sql.add(format_args!(
        " select {} from jsonb_populate_record(null::{}, {json}::jsonb) k on conflict ({}) do update set {} returning {}",
        list(&columns, "k"),
        table.quoted(),
        key.join(", "),
        set.join(", "),
        row::columns(table, "t")
    ));
    sql
}

fn delete(table: &Table, key: &str) -> Sql {
    let mut sql = Sql::new(format!(
        "delete from {} t using jsonb_populate_record(null::{}, ",
        table.quoted(),
        table.quoted()
    ));
    let key = sql.text_value(Some(key));
    let equal: Vec<_> = table
        .key_columns()
        .map(|column| format!("{} = {}", column.of("t"), column.of("k")))
        .collect();
    sql.add(format_args!(
        "{key}::jsonb) k where {} returning 1",
        equal.join(" and ")
    ));
    sql
}

fn already(id: i64) -> Problem {
    let detail = format!(
        "the losing write of conflict {id} was made again already; a second time would undo what was written since"
    );
    Problem::new(StatusCode::CONFLICT, "already-reapplied", "Already re-applied", detail)
}

fn not_again(why: &str) -> Problem {
    Problem::unprocessable("not-reapplicable", "Cannot be re-applied", by_hand(why))
}

/// What is left to do for this reason.
pub fn by_hand(why: &str) -> String {
    format!("{why}; write the row by hand")
}

/// Why a losing write cannot be made again, as far as that can be told without trying; `table` is what is enrolled now.
pub fn obstacle(conflict: &Conflict, loser: Option<&str>, table: Option<&Table>) -> Option<String> {
    let Conflict { id, site, .. } = conflict;
    if conflict.reapplied_at.is_some() {
        return Some(already(*id).detail);
    }
    let Some(table) = table else {
        return Some(format!("{} is no enrolled table of {site} any more", conflict.table));
    };
    let document = Document::read(table, loser?);
    document.err().map(|error| not_again(&error.to_string()).detail)
}
