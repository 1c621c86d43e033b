//! Columns that Postgres makes out of the others and does not write to its WAL, or does not publish: stored ones before PostgreSQL 18, virtual
//! ones in every version. The site's Postgres makes them again out of the row as the WAL has it, which may not be the row it has now.

use serde_json::{Map, Value};
use synccluster_runtime::catalog::quote;
use tokio_postgres::{
    Client, Error,
    types::{ToSql, Type},
};

use crate::rows::{
    catalogue::{Column, Table},
    key::cell,
};

/// Those of a table.
#[derive(Clone, Debug)]
pub struct Computed {
    statement: String,
    /// The columns of the stream that the statement takes, in the order of its parameters.
    places: Vec<usize>,
    columns: Vec<Column>,
}

impl Computed {
    /// Of a table whose stream has these columns; `None` where it has them all.
    pub fn of(table: &Table, told: &[String]) -> Option<Self> {
        let columns: Vec<Column> = table
            .columns
            .iter()
            .filter(|column| column.generated.is_some() && !told.contains(&column.name))
            .cloned()
            .collect();
        if columns.is_empty() {
            return None;
        }
        let given = told
            .iter()
            .enumerate()
            .filter_map(|(place, name)| Some((place, table.column(name)?)));
        let (places, given): (Vec<usize>, Vec<&Column>) = given.unzip();
        let values: Vec<String> = given
            .iter()
            .enumerate()
            .map(|(n, column)| format!("{} as {}", column.value(&format!("${}", n + 1)), quote(&column.name)))
            .collect();
        let made: Vec<String> = columns
            .iter()
            .filter_map(|column| {
                // The expression is stored without the length and the scale of its column.
                let (expression, sql_type) = (column.generated.as_deref()?, &column.sql_type);
                Some(format!("({expression})::{sql_type} as {}", quote(&column.name)))
            })
            .collect();
        let texts: Vec<String> = columns.iter().map(|column| column.text("g")).collect();
        let statement = format!(
            "select {} from (select {} from (select {}) t) g",
            texts.join(", "),
            made.join(", "),
            values.join(", ")
        );
        Some(Self {
            statement,
            places,
            columns,
        })
    }

    /// Asks for their values in a row that has these texts.
    pub async fn ask(&self, sql: &Client, texts: &[Option<&str>]) -> Result<Map<String, Value>, Error> {
        let given: Vec<Option<&str>> = self
            .places
            .iter()
            .map(|place| texts.get(*place).copied().flatten())
            .collect();
        let parameters: Vec<(&(dyn ToSql + Sync), Type)> = given
            .iter()
            .map(|text| (text as &(dyn ToSql + Sync), Type::TEXT))
            .collect();
        let rows = sql.query_typed(&self.statement, &parameters).await?;
        let Some(row) = rows.first() else {
            return Ok(Map::new());
        };
        let value = |(n, column): (usize, &Column)| {
            let text: Option<&str> = row.try_get(n)?;
            let value = text.map_or(Value::Null, |text| cell(column.kind, text));
            Ok((column.name.clone(), value))
        };
        self.columns.iter().enumerate().map(value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::fixture;

    #[test]
    fn what_the_stream_leaves_out_is_made_of_what_it_has() {
        let mut table = fixture::table(&["id bigint key", "title text null", "twice bigint"]);
        table.columns[2].generated = Some("(id * 2)".into());
        let told = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let computed = Computed::of(&table, &told(&["sync_version", "title", "id"])).unwrap();
        assert_eq!(
            computed.statement,
            "select g.\"twice\"::text from (select ((id * 2))::bigint as \"twice\" from \
             (select ($1)::text as \"title\", ($2)::bigint as \"id\") t) g"
        );
        assert_eq!(computed.places, [1, 2]);
        assert!(Computed::of(&table, &told(&["id", "title", "twice"])).is_none());
    }
}
