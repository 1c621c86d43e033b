//! Making a losing write again.

use axum::http::StatusCode;
use deadpool_postgres::Object;
use serde::Serialize;
use synccluster_protocol::{Site, event::VERSION_COLUMN};
use synccluster_runtime::catalog::quote;
use tokio_postgres::GenericClient;

use super::{
    catalogue::{Column, Table},
    catalogues::Work,
    conflicts::Conflict,
    connection,
    failure::Failure,
    image::Document,
    row::{self, Row},
    sql::Sql,
    write::{Precondition, changed_since, in_version, is_in, taken_away},
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

/// What has to be there for a losing write to be made again: what whoever asks for it has looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Only {
    /// A row, in one of these versions: `If-Match`.
    Row(Precondition),
    /// No row: `If-None-Match: *`.
    Nothing,
}

impl Only {
    /// Of a request's `If-Match`, as it was read, and its `If-None-Match`; at most one of them. Without either whatever is there is
    /// overwritten.
    pub fn read(if_match: Option<Precondition>, if_none_match: Option<&str>) -> Result<Option<Self>, Problem> {
        match (if_match, if_none_match.map(str::trim)) {
            (row, None) => Ok(row.map(Self::Row)),
            (None, Some("*")) => Ok(Some(Self::Nothing)),
            (_, Some(_)) => {
                let detail = "If-None-Match is *, which says that there is no row, and has no If-Match beside it";
                Err(Problem::bad_request("bad-if-none-match", "Bad If-None-Match", detail))
            }
        }
    }

    fn versions(&self) -> Option<&Precondition> {
        match self {
            Self::Row(versions) => Some(versions),
            Self::Nothing => None,
        }
    }

    fn holds(&self, current: Option<&Row>) -> bool {
        match (self, current) {
            (Self::Nothing, None) | (Self::Row(None), Some(_)) => true,
            (Self::Row(Some(versions)), Some(row)) => is_in(versions, row),
            (Self::Nothing, Some(_)) | (Self::Row(_), None) => false,
        }
    }
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
    /// What has to be there; otherwise nothing is written, and the entry stays as it is.
    pub only: Option<Only>,
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
        let (row, left_out) = if let Some(loser) = claimed.try_get::<_, Option<String>>(1)? {
            let document = Document::read(table, &loser).map_err(|e| not_again(&e.to_string()))?;
            let row = self.write(&*transaction, table, &document).await?;
            (Some(row), document.left_out)
        } else {
            self.delete(&*transaction, table, claimed.try_get(0)?).await?;
            (None, Vec::new())
        };
        // What was refused above has not claimed the entry either.
        transaction.commit().await?;
        Ok(Reapplied { row, left_out })
    }
}

impl Reapply {
    async fn write(&self, client: &impl GenericClient, table: &Table, document: &Document) -> Result<Row, Failure> {
        let sql = match &self.only {
            Some(Only::Row(versions)) => update(table, document, versions),
            only => insert(table, document, only.is_none()),
        };
        if let Some(row) = sql.first(client).await? {
            return Ok(row::read(table, &row)?);
        }
        let current = current(client, table, &document.json).await?;
        Err(self.not_made(table, current.as_ref()).into())
    }

    async fn delete(&self, client: &impl GenericClient, table: &Table, key: &str) -> Result<(), Failure> {
        let only = self.only.as_ref();
        // Where there is said to be no row, there is none to be deleted.
        if only != Some(&Only::Nothing) {
            let mut sql = Sql::new(format!("delete from {} t using", table.quoted()));
            with_key_of(&mut sql, table, key);
            in_version(&mut sql, only.and_then(Only::versions));
            sql.push(" returning 1");
            if sql.first(client).await?.is_some() || only.is_none() {
                return Ok(());
            }
        }
        match current(client, table, key).await? {
            None if only == Some(&Only::Nothing) => Ok(()),
            current => Err(self.not_made(table, current.as_ref()).into()),
        }
    }

    /// Why a statement met nothing, by what there is now.
    fn not_made(&self, table: &Table, current: Option<&Row>) -> Problem {
        if self.only.as_ref().is_none_or(|only| only.holds(current)) {
            return taken_away(table);
        }
        let mut problem = changed_since(current);
        if current.is_none() {
            problem
                .detail
                .push_str("; re-apply it with If-None-Match: * all the same");
        }
        problem
    }
}

/// The document's row where there is none with its key; where there is one, over it or not at all.
fn insert(table: &Table, document: &Document, over: bool) -> Sql {
    let columns = writable(table, document);
    let names: Vec<_> = columns.iter().map(|column| quote(&column.name)).collect();
    let values: Vec<_> = columns.iter().map(|column| column.of("k")).collect();
    let key: Vec<_> = table.key.iter().map(|name| quote(name)).collect();
    let mut sql = Sql::new(format!(
        "insert into {} as t ({}) overriding system value",
        table.quoted(),
        names.join(", ")
    ));
    let json = sql.text_value(Some(&document.json));
    sql.add(format_args!(
        " select {} from jsonb_populate_record(null::{}, {json}::jsonb) k on conflict ({}) do ",
        values.join(", "),
        table.quoted(),
        key.join(", ")
    ));
    if over {
        sql.add(format_args!("update set {}", set(&columns, "excluded")));
    } else {
        sql.push("nothing");
    }
    sql.add(format_args!(" returning {}", row::columns(table, "t")));
    sql
}

/// The document's values for the row with its key, if that is in one of these versions.
fn update(table: &Table, document: &Document, versions: &Precondition) -> Sql {
    let mut sql = Sql::new(format!(
        "update {} t set {} from",
        table.quoted(),
        set(&writable(table, document), "k")
    ));
    with_key_of(&mut sql, table, &document.json);
    in_version(&mut sql, Some(versions));
    sql.add(format_args!(" returning {}", row::columns(table, "t")));
    sql
}

fn writable<'a>(table: &'a Table, document: &Document) -> Vec<&'a Column> {
    let columns = document.columns.iter().filter_map(|name| table.column(name));
    columns.filter(|column| column.generated.is_none()).collect()
}

/// What an update of `t` sets, from the relation with this alias. The key stays, and a column that is always identity takes a value from an
/// insert, but from no update. Where nothing else is left the key is set, which may have been written otherwise and be equal; and where that cannot
/// be, the version to itself: the stamp gives a new one to whatever is written.
fn set(columns: &[&Column], from: &str) -> String {
    let settable = columns.iter().filter(|column| column.identity != Some("always"));
    let (key, other): (Vec<&Column>, Vec<&Column>) = settable.partition(|column| column.in_key);
    let set = if other.is_empty() { key } else { other };
    let set: Vec<_> = set
        .iter()
        .map(|column| format!("{} = {}", quote(&column.name), column.of(from)))
        .collect();
    if set.is_empty() {
        let version = quote(VERSION_COLUMN);
        return format!("{version} = t.{version}");
    }
    set.join(", ")
}

/// The row of a document as `k`, and the condition that `t` has its key.
fn with_key_of(sql: &mut Sql, table: &Table, json: &str) {
    let json = sql.text_value(Some(json));
    let equal: Vec<_> = table
        .key_columns()
        .map(|column| format!("{} = {}", column.of("t"), column.of("k")))
        .collect();
    sql.add(format_args!(
        " jsonb_populate_record(null::{}, {json}::jsonb) k where {}",
        table.quoted(),
        equal.join(" and ")
    ));
}

/// The row with the key of a document, if there is one.
async fn current(client: &impl GenericClient, table: &Table, json: &str) -> Result<Option<Row>, Failure> {
    let mut sql = Sql::new(format!(
        "select {} from {} t,",
        row::columns(table, "t"),
        table.quoted()
    ));
    with_key_of(&mut sql, table, json);
    let found = sql.first(client).await?;
    Ok(found.map(|found| row::read(table, &found)).transpose()?)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_precondition_is_a_row_or_that_there_is_none() {
        assert_eq!(Only::read(None, None).unwrap(), None);
        assert_eq!(Only::read(Some(None), None).unwrap(), Some(Only::Row(None)));
        let versions = Some(vec![12]);
        assert_eq!(
            Only::read(Some(versions.clone()), None).unwrap(),
            Some(Only::Row(versions.clone()))
        );
        assert_eq!(Only::read(None, Some(" * ")).unwrap(), Some(Only::Nothing));
        for (row, none) in [(None, "\"12\""), (None, ""), (Some(versions), "*"), (Some(None), "*")] {
            let refused = Only::read(row, Some(none)).unwrap_err();
            assert_eq!(refused.status, 400, "{none}");
        }
    }
}
