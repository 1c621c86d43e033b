//! Writing rows of one site, as an application there would: triggers stamp the version, the uplink carries it on.

use axum::http::StatusCode;
use deadpool_postgres::Object;
use serde_json::Value;
use synccluster_protocol::event::VERSION_COLUMN;
use synccluster_runtime::catalog::quote;
use synccluster_web::tags::{Tag, tags};
use tokio_postgres::GenericClient;

use super::{
    catalogue::Table,
    catalogues::Work,
    condition,
    failure::Failure,
    key::Key,
    read::{current, explain_key, gone},
    row::{self, Row},
    sql::Sql,
    values::{Assignment, Values, assignments},
};
use crate::problem::Problem;

/// Versions one of which the row must have; `None` is any.
pub type Precondition = Option<Vec<i64>>;

/// A new row.
#[derive(Debug)]
pub struct Insert {
    /// Its values; the others have their defaults.
    pub values: Values,
}

/// Other values for a row.
#[derive(Debug)]
pub struct Update {
    /// Its key as a path has it.
    pub key: String,
    /// What changes.
    pub values: Values,
    /// `If-Match`.
    pub only_if: Option<Precondition>,
}

/// The end of a row.
#[derive(Debug)]
pub struct Delete {
    /// Its key as a path has it.
    pub key: String,
    /// `If-Match`.
    pub only_if: Option<Precondition>,
}

/// Reads an `If-Match`: `*`, or entity tags, which are versions.
pub fn if_match(header: Option<&str>) -> Result<Option<Precondition>, Problem> {
    let Some(header) = header else { return Ok(None) };
    if header.trim() == "*" {
        return Ok(Some(None));
    }
    let version = |tag: &Tag<'_>| tag.strong()?.parse().ok();
    let versions: Option<Vec<i64>> = tags(header).and_then(|tags| tags.iter().map(version).collect());
    versions.map(|versions| Some(Some(versions))).ok_or_else(|| {
        let detail = format!("If-Match is * or the ETag of a row, such as \"1790000000000000000\", and not {header}");
        Problem::bad_request("bad-if-match", "Bad If-Match", detail)
    })
}

impl Work for Insert {
    type Answer = Row;

    async fn run(&self, client: &mut Object, table: &Table) -> Result<Row, Failure> {
        let assignments = assignments(table, &self.values)?;
        let mut sql = Sql::new(format!("insert into {} as t ", table.quoted()));
        if assignments.is_empty() {
            sql.push("default values");
        } else {
            let names: Vec<_> = assignments.iter().map(|(column, _)| quote(&column.name)).collect();
            let values: Vec<_> = assignments
                .iter()
                .map(|assignment| value(&mut sql, assignment))
                .collect();
            sql.add(format_args!("({}) values ({})", names.join(", "), values.join(", ")));
        }
        sql.add(format_args!(" returning {}", row::columns(table, "t")));
        let found = match sql.first(&***client).await {
            Ok(found) => found,
            Err(failure) => return Err(explain(failure, &***client, &assignments).await),
        };
        let found = found.ok_or_else(|| taken_away(table))?;
        Ok(row::read(table, &found)?)
    }
}

impl Work for Update {
    type Answer = Row;

    async fn run(&self, client: &mut Object, table: &Table) -> Result<Row, Failure> {
        let key = Key::parse(table, &self.key)?;
        let assignments = assignments(table, &self.values)?;
        if assignments.is_empty() {
            let problem = Problem::unprocessable("nothing-to-write", "Nothing to write", "`values` names no column");
            return Err(problem.into());
        }
        let mut sql = Sql::new(format!("update {} t set ", table.quoted()));
        for (n, assignment) in assignments.iter().enumerate() {
            let value = value(&mut sql, assignment);
            let comma = if n == 0 { "" } else { ", " };
            sql.add(format_args!("{comma}{} = {value}", quote(&assignment.0.name)));
        }
        only(&mut sql, table, &key, self.only_if.as_ref());
        sql.add(format_args!(" returning {}", row::columns(table, "t")));
        match sql.first(&***client).await {
            Ok(Some(found)) => Ok(row::read(table, &found)?),
            Ok(None) => Err(not_written(client, table, &key, self.only_if.as_ref()).await),
            Err(failure) => {
                let failure = explain_key(failure, client, table, &key).await;
                Err(explain(failure, &***client, &assignments).await)
            }
        }
    }
}

impl Work for Delete {
    type Answer = ();

    async fn run(&self, client: &mut Object, table: &Table) -> Result<(), Failure> {
        let key = Key::parse(table, &self.key)?;
        let mut sql = Sql::new(format!("delete from {} t", table.quoted()));
        only(&mut sql, table, &key, self.only_if.as_ref());
        sql.push(" returning 1");
        match sql.first(&***client).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(not_written(client, table, &key, self.only_if.as_ref()).await),
            Err(failure) => Err(explain_key(failure, client, table, &key).await),
        }
    }
}

fn value(sql: &mut Sql, (column, text): &Assignment<'_>) -> String {
    let parameter = sql.text_value(text.as_deref());
    column.value(&parameter)
}

/// The row with this key, in the version that is asked for: part of the statement that writes, so nobody comes between.
fn only(sql: &mut Sql, table: &Table, key: &Key, only_if: Option<&Precondition>) {
    let condition = key.condition(sql, table, "t");
    sql.push(" where ").push(&condition);
    in_version(sql, only_if);
}

/// The further condition that `t` is in a version that is asked for.
pub fn in_version(sql: &mut Sql, only_if: Option<&Precondition>) {
    if let Some(Some(versions)) = only_if {
        let versions = sql.numbers(versions.clone());
        sql.add(format_args!(" and t.{} = any({versions})", quote(VERSION_COLUMN)));
    }
}

/// Whether a row is in one of these versions.
pub fn is_in(versions: &[i64], row: &Row) -> bool {
    versions.iter().any(|version| version.to_string() == row.version)
}

/// Why a statement met no row.
async fn not_written(client: &Object, table: &Table, key: &Key, only_if: Option<&Precondition>) -> Failure {
    let current = match current(client, table, key).await {
        Ok(current) => current,
        Err(failure) => return failure,
    };
    match (current, only_if) {
        (None, None) => gone(table, key).into(),
        (None, Some(_)) => changed_since(None).into(),
        (Some(row), Some(Some(versions))) if !is_in(versions, &row) => changed_since(Some(&row)).into(),
        // It is the row that was asked for.
        (Some(_), _) => taken_away(table).into(),
    }
}

/// 412: what is there now is not what was read.
pub fn changed_since(current: Option<&Row>) -> Problem {
    let detail = match current {
        Some(row) => format!(
            "the row is another one since it was read: version {} by {} at {}; look at `current`, and write again with its ETag",
            row.version, row.written_at_site, row.written_at
        ),
        None => "the row was deleted since it was read".to_owned(),
    };
    let status = StatusCode::PRECONDITION_FAILED;
    Problem::new(status, "changed-since", "Changed since", detail)
        .with("current", current.map_or(Value::Null, Row::json))
}

/// 422: the row is as it was asked for, and yet nothing was written.
pub fn taken_away(table: &Table) -> Problem {
    let detail = format!(
        "a trigger of {} let the write have no effect, without saying why; see what it returns NULL for, and write something else",
        table.name
    );
    Problem::unprocessable("refused-by-database", "Refused by the database", detail)
}

/// Says which value is not of its column's type, where a write failed for a value.
async fn explain(failure: Failure, client: &impl GenericClient, assignments: &[Assignment<'_>]) -> Failure {
    let Some(error) = failure.bad_value() else {
        return failure;
    };
    if error.as_db_error().is_some_and(|db| db.column().is_some()) {
        return failure;
    }
    let values: Vec<_> = assignments
        .iter()
        .filter_map(|(column, text)| Some((column.name.as_str(), column.sql_type.as_str(), text.as_deref()?)))
        .collect();
    match condition::first_bad(client, &values).await {
        Some((column, why)) => {
            let detail = format!("the value of {} cannot be: {why}", quote(&column));
            Problem::unprocessable("invalid-value", "Invalid value", detail)
                .with("column", column)
                .into()
        }
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_precondition_is_a_star_or_versions() {
        assert_eq!(if_match(None).unwrap(), None);
        assert_eq!(if_match(Some(" * ")).unwrap(), Some(None));
        assert_eq!(if_match(Some("\"12\", \"13\"")).unwrap(), Some(Some(vec![12, 13])));
        for wrong in ["12", "\"x\"", "\"12,13\"", "W/\"12\"", ""] {
            assert_eq!(if_match(Some(wrong)).unwrap_err().status, 400, "{wrong}");
        }
    }
}
