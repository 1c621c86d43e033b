//! Reading rows of one site.

use axum::http::StatusCode;
use deadpool_postgres::Object;

use super::{
    catalogue::{Column, Table},
    catalogues::Work,
    condition, cursor,
    failure::Failure,
    filter::Filter,
    key::Key,
    order::{Comparing, Order, OrderError, Position},
    row::{self, Row},
    sql::Sql,
};
use crate::problem::Problem;

/// Rows of a page, unless it is said.
const LIMIT: u16 = 100;
/// Rows of a page at most.
const MAX_LIMIT: u16 = 500;

/// Rows of a site, and where the next ones begin.
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct Rows {
    /// In order.
    pub rows: Vec<Row>,
    /// `after` of the next page; null on the last one.
    pub next: Option<String>,
}

/// A page of a table's rows.
#[derive(Clone, Debug)]
pub struct List {
    /// Which rows.
    pub filter: Filter,
    /// In which order.
    pub order: String,
    /// How many.
    pub limit: usize,
    /// The cursor behind which they begin.
    pub after: Option<String>,
}

/// One row.
#[derive(Clone, Debug)]
pub struct Get {
    /// Its key as a path has it.
    pub key: String,
}

/// How many rows a page has.
pub fn limit(asked: Option<u16>) -> Result<usize, Problem> {
    match asked.unwrap_or(LIMIT) {
        limit @ 1..=MAX_LIMIT => Ok(usize::from(limit)),
        wrong => {
            let detail = format!("`limit` is 1 to {MAX_LIMIT}, and not {wrong}");
            Err(Problem::bad_request("bad-limit", "Bad limit", detail))
        }
    }
}

/// Reads a filter of a request.
pub fn filter(text: Option<&str>) -> Result<Filter, Problem> {
    condition::parse(text)
}

/// Reads an order of a request.
pub fn order(text: &str, table: &Table, comparing: impl Fn(&Column) -> Comparing) -> Result<Order, Failure> {
    Order::parse(text, table, comparing).map_err(|error| {
        let problem = Problem::new(
            StatusCode::BAD_REQUEST,
            "bad-order",
            "Bad order",
            format!("the order is wrong: {error}; write columns of {} joined by commas, with - before a column for descending", table.name),
        );
        match error {
            OrderError::Unknown(_) => Failure::Unknown(problem),
            OrderError::Syntax(_) | OrderError::Twice(_) => Failure::Refused(problem),
        }
    })
}

/// The position a cursor stands for, if it was made with this order.
pub fn position(cursor: Option<&str>, order: &Order) -> Result<Option<Position>, Problem> {
    let Some(cursor) = cursor else { return Ok(None) };
    let (made_with, position): (String, Position) = cursor::decode(cursor)?;
    if made_with == order.print() && position.len() == order.len() {
        Ok(Some(position))
    } else {
        Err(cursor::bad())
    }
}

/// The cursor behind a position.
pub fn next(order: &Order, position: &Position) -> String {
    cursor::encode(&(order.print(), position))
}

impl Work for List {
    type Answer = Rows;

    async fn run(&self, client: &mut Object, table: &Table) -> Result<Rows, Failure> {
        let order = order(&self.order, table, |_| Comparing::Natively)?;
        let after = position(self.after.as_deref(), &order)?;
        let sql = self.sql(table, &order, after.as_ref())?;
        let found = match sql.rows(&***client).await {
            Ok(found) => found,
            Err(failure) => {
                let failure = condition::explain(failure, &***client, &self.filter, table).await;
                // The filter's values are what they should be: it is the cursor's that are not.
                let of_cursor = after.is_some() && failure.bad_value().is_some();
                return Err(if of_cursor { cursor::bad().into() } else { failure });
            }
        };
        let rows = found.iter().take(self.limit).map(|found| row::read(table, found));
        let next = match found.get(self.limit.saturating_sub(1)) {
            Some(last) if found.len() > self.limit => Some(next(&order, &last.try_get(4)?)),
            _ => None,
        };
        Ok(Rows {
            rows: rows.collect::<Result<_, _>>()?,
            next,
        })
    }
}

impl List {
    /// The rows that are wanted are found first and written as JSON then, so that a sort has no JSON to carry.
    fn sql(&self, table: &Table, order: &Order, after: Option<&Position>) -> Result<Sql, Failure> {
        let mut sql = Sql::new(format!(
            "select {}, {} from (select i.* from {} i where true",
            row::columns(table, "t"),
            order.position("t"),
            table.quoted()
        ));
        let filter = condition::and(&self.filter, table, &mut sql, "i")?;
        sql.push(&filter);
        if let Some(position) = after {
            let after = order.after(&mut sql, "i", position);
            sql.push(" and ").push(&after);
        }
        // One more than is wanted tells whether there is a next page.
        let limit = sql.number(i64::try_from(self.limit).unwrap_or(i64::MAX).saturating_add(1));
        sql.add(format_args!(
            " order by {} limit {limit}) t order by {}",
            order.by("i"),
            order.by("t")
        ));
        Ok(sql)
    }
}

impl Work for Get {
    type Answer = Row;

    async fn run(&self, client: &mut Object, table: &Table) -> Result<Row, Failure> {
        let key = Key::parse(table, &self.key)?;
        current(client, table, &key)
            .await?
            .ok_or_else(|| gone(table, &key).into())
    }
}

/// The row with this key, if there is one.
pub async fn current(client: &Object, table: &Table, key: &Key) -> Result<Option<Row>, Failure> {
    let mut sql = Sql::new(format!(
        "select {} from {} t where ",
        row::columns(table, "t"),
        table.quoted()
    ));
    let condition = key.condition(&mut sql, table, "t");
    sql.push(&condition);
    let found = match sql.first(&***client).await {
        Ok(found) => found,
        Err(failure) => return Err(explain_key(failure, client, table, key).await),
    };
    Ok(found.map(|found| row::read(table, &found)).transpose()?)
}

/// Says which part of a key is not of its column's type, where a question failed for a value.
pub async fn explain_key(failure: Failure, client: &Object, table: &Table, key: &Key) -> Failure {
    if failure.bad_value().is_none() {
        return failure;
    }
    let parts = table.key_columns().zip(&key.0);
    let values: Vec<_> = parts
        .map(|(column, text)| (column.name.as_str(), column.cast.as_str(), text.as_str()))
        .collect();
    match condition::first_bad(&***client, &values).await {
        Some((column, why)) => {
            let detail = format!("`{}` is no key of {}: {why}", key.path(), table.name);
            Problem::bad_request("bad-key", "Bad key", detail)
                .with("column", column)
                .into()
        }
        None => failure,
    }
}

/// 404: there is no row with this key.
pub fn gone(table: &Table, key: &Key) -> Problem {
    let detail = format!(
        "{} has no row with the key {}",
        table.name,
        serde_json::Value::from(key.json(table))
    );
    Problem::not_found("unknown-row", "Unknown row", detail)
}
