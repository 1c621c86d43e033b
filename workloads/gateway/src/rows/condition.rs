//! A filter as SQL, and what is wrong with its values.

use axum::http::StatusCode;
use synccluster_runtime::catalog::quote;
use tokio_postgres::GenericClient;

use super::{
    catalogue::Table,
    failure::Failure,
    filter::{Comparison, Condition, Filter, Test},
    sql::Sql,
    words::SyntaxError,
};
use crate::problem::Problem;

/// Reads a filter of a request.
pub fn parse(text: Option<&str>) -> Result<Filter, Problem> {
    Filter::parse(text.unwrap_or_default()).map_err(|SyntaxError { at, what }| {
        bad(format!("the filter is wrong at character {at}: {what}")).with("position", at)
    })
}

/// The condition a filter is, on the relation with this alias; it begins with ` and ` unless it is empty.
pub fn and(filter: &Filter, table: &Table, sql: &mut Sql, alias: &str) -> Result<String, Failure> {
    let mut conditions = String::new();
    for condition in &filter.0 {
        conditions.push_str(" and ");
        conditions.push_str(&one(condition, table, sql, alias)?);
    }
    Ok(conditions)
}

fn one(condition: &Condition, table: &Table, sql: &mut Sql, alias: &str) -> Result<String, Failure> {
    let column = table.column(&condition.column).ok_or_else(|| {
        let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
        let detail = format!(
            "{} has no column `{}`; its columns are {}",
            table.name,
            condition.column,
            names.join(", ")
        );
        Failure::Unknown(bad(detail).with("column", condition.column.as_str()))
    })?;
    let it = column.of(alias);
    let mut value = |text| {
        let parameter = sql.text_value(Some(text));
        column.value(&parameter)
    };
    Ok(match &condition.test {
        Test::Null(true) => format!("{it} is null"),
        Test::Null(false) => format!("{it} is not null"),
        Test::In(values) => {
            let values: Vec<_> = values.iter().map(|v| value(v.text())).collect();
            format!("{it} in ({})", values.join(", "))
        }
        Test::Compare(comparison @ (Comparison::Like | Comparison::Ilike), pattern) => {
            let pattern = sql.text_value(Some(pattern.text()));
            format!("{} {} {pattern}", column.text(alias), comparison.sign())
        }
        Test::Compare(comparison, v) => format!("{it} {} {}", comparison.sign(), value(v.text())),
    })
}

/// Says which value of a filter is not of its column's type, where a question failed for a value.
pub async fn explain(failure: Failure, client: &impl GenericClient, filter: &Filter, table: &Table) -> Failure {
    if failure.bad_value().is_none() {
        return failure;
    }
    match first_bad(client, &compared(filter, table)).await {
        Some((column, why)) => {
            Failure::Refused(bad(format!("the filter on {} cannot be: {why}", quote(&column))).with("column", column))
        }
        None => failure,
    }
}

fn compared<'a>(filter: &'a Filter, table: &'a Table) -> Vec<Typed<'a>> {
    let mut values = Vec::new();
    for Condition { column, test } in &filter.0 {
        let as_text = matches!(test, Test::Compare(Comparison::Like | Comparison::Ilike, _));
        if let (false, Some(known)) = (as_text, table.column(column)) {
            values.extend(
                test.values()
                    .iter()
                    .map(|value| (column.as_str(), known.cast.as_str(), value.text())),
            );
        }
    }
    values
}

/// A column, a type, and the text of a value that should be of it.
pub type Typed<'a> = (&'a str, &'a str, &'a str);

/// The first of some values that its type refuses, and why.
pub async fn first_bad(client: &impl GenericClient, values: &[Typed<'_>]) -> Option<(String, String)> {
    let (mut columns, mut types, mut texts) = (Vec::new(), Vec::new(), Vec::new());
    for (column, kind, text) in values {
        columns.push(Some((*column).to_owned()));
        types.push(Some((*kind).to_owned()));
        texts.push(Some((*text).to_owned()));
    }
    let mut sql = Sql::default();
    let (columns, types, texts) = (sql.texts(columns), sql.texts(types), sql.texts(texts));
    sql.add(format_args!(
        "select u.name, e.message from unnest({columns}, {types}, {texts}) with ordinality u(name, kind, value, n)
          cross join lateral pg_input_error_info(u.value, u.kind) e where e.message is not null order by u.n limit 1"
    ));
    let row = sql.first(client).await.ok()??;
    Some((row.try_get(0).ok()?, row.try_get(1).ok()?))
}

/// 400: the filter cannot be used.
pub fn bad(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad-filter", "Bad filter", detail)
}
