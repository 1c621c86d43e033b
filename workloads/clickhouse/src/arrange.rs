//! Makes ClickHouse's tables and views what they should be, and says which can be written.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use synccluster_protocol::event::TableName;

use crate::{
    http::{ClickHouse, Error},
    sql,
    table::{Table, Wanted, view},
    types::ChType,
};

/// A table as ClickHouse has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actual {
    engine: String,
    sorting_key: String,
    columns: Vec<(String, String)>,
}

/// What has to be done before a table can be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Columns that are not there, by place.
    pub add: Vec<usize>,
    /// Columns of a type that no longer does.
    pub modify: Vec<usize>,
}

/// A table, and whether it can be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arranged {
    /// Where it comes from.
    pub source: TableName,
    /// Its name in ClickHouse.
    pub name: String,
    /// The table, or what is wrong and what to do.
    pub table: Result<Table, String>,
}

/// What came of a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All tables, written or not.
    Arranged(Vec<Arranged>),
    /// These were filled and are gone. Nothing was made: that has to be stored first, or nobody would know after a crash.
    Lost(BTreeSet<String>),
}

/// Compares a table with what is there. Where another type does as well, the table takes it. Pure.
pub fn compare(table: &mut Table, actual: &Actual) -> Result<Steps, String> {
    let name = &table.name;
    let remedy = format!(
        "drop table {name} in ClickHouse (it is made anew and filled from the topic), or change the definitions of tables"
    );
    if !actual.engine.contains("ReplacingMergeTree") || !actual.engine.contains("sync_version") {
        return Err(format!(
            "table {name} has engine {}, not ReplacingMergeTree(sync_version): {remedy}",
            actual.engine
        ));
    }
    let plain = |key: &str| key.replace(['`', ' '], "");
    if plain(&actual.sorting_key) != plain(&table.order.join(",")) {
        return Err(format!(
            "table {name} is sorted by ({}), the key is ({}): {remedy}",
            actual.sorting_key,
            table.order.join(", ")
        ));
    }
    for own in ["sync_version", &table.deleted] {
        if actual.columns.iter().all(|(column, _)| column != own) {
            return Err(format!("table {name} has no column {own}: {remedy}"));
        }
    }
    let mut steps = Steps::default();
    for (place, column) in table.columns.iter_mut().enumerate() {
        let Some((_, there)) = actual.columns.iter().find(|(there, _)| *there == column.name) else {
            steps.add.push(place);
            continue;
        };
        match ChType::parse(there) {
            Some(there) if there == column.ch => {}
            Some(there)
                if !column.chosen && there.holds(&column.pg) && there.takes_null() >= column.ch.takes_null() =>
            {
                column.ch = there;
            }
            _ if column.chosen => {
                return Err(format!(
                    "column {} of table {name} is {there}, the definitions say {}: {remedy}",
                    column.name, column.ch
                ));
            }
            _ if column.key => {
                return Err(format!(
                    "column {} of table {name} is {there}, and as a part of the key it cannot become {}: {remedy}",
                    column.name, column.ch
                ));
            }
            _ => steps.modify.push(place),
        }
    }
    Ok(steps)
}

/// Remembers which views it has made, so that none is made again and again where ClickHouse names a type otherwise.
#[derive(Default)]
pub struct Arranger {
    views: HashMap<String, String>,
}

impl Arranger {
    /// Makes what is not there, alters what came later. `filled` are the sources whose tables should be there.
    pub async fn arrange(
        &mut self,
        clickhouse: &ClickHouse,
        wanted: Vec<Wanted>,
        filled: &BTreeSet<String>,
    ) -> Result<Outcome, Error> {
        let database = &clickhouse.database;
        let mut actual = actual(clickhouse).await?;
        let missing: BTreeSet<String> = wanted
            .iter()
            .filter_map(|wanted| wanted.table.as_ref().ok())
            .filter(|table| !actual.contains_key(&table.name))
            .map(|table| table.name.clone())
            .collect();
        let lost: BTreeSet<String> = wanted
            .iter()
            .filter(|wanted| missing.contains(&wanted.name))
            .map(|wanted| wanted.source.to_string())
            .filter(|source| filled.contains(source))
            .collect();
        if !lost.is_empty() {
            return Ok(Outcome::Lost(lost));
        }
        for table in wanted.iter().filter_map(|wanted| wanted.table.as_ref().ok()) {
            if missing.contains(&table.name) {
                tracing::info!(source = %table.source, table = table.name, "making the table");
                clickhouse.execute(&sql::create_table(database, table)).await?;
            }
        }
        if !missing.is_empty() {
            actual = self::actual(clickhouse).await?;
        }
        let mut arranged = Vec::with_capacity(wanted.len());
        for Wanted { source, name, table } in wanted {
            let table = match table {
                Ok(table) => self.settle(clickhouse, table, &actual).await?,
                Err(problem) => Err(problem),
            };
            arranged.push(Arranged { source, name, table });
        }
        Ok(Outcome::Arranged(arranged))
    }

    async fn settle(
        &mut self,
        clickhouse: &ClickHouse,
        mut table: Table,
        all: &BTreeMap<String, Actual>,
    ) -> Result<Result<Table, String>, Error> {
        let database = &clickhouse.database;
        let Some(actual) = all.get(&table.name) else {
            return Ok(Err(format!(
                "table {} went away while it was made; it is made again",
                table.name
            )));
        };
        let steps = match compare(&mut table, actual) {
            Ok(steps) => steps,
            Err(problem) => return Ok(Err(problem)),
        };
        let adds = steps
            .add
            .iter()
            .map(|place| sql::add_column(database, &table, &table.columns[*place]));
        let modifies = steps
            .modify
            .iter()
            .map(|place| sql::modify_column(database, &table, &table.columns[*place]));
        let statements: Vec<String> = adds.chain(modifies).collect();
        for statement in &statements {
            tracing::info!(statement, "a column of the source came or changed");
            match clickhouse.execute(statement).await {
                Ok(()) => {}
                // Whoever altered it at the same time: the next look sees it.
                Err(error) if error.code().is_some() => {
                    return Ok(Err(format!(
                        "{error}; drop table {} in ClickHouse: it is made anew and filled from the topic",
                        table.name
                    )));
                }
                Err(error) => return Err(error),
            }
        }
        self.show(clickhouse, &table, all, !statements.is_empty()).await?;
        Ok(Ok(table))
    }

    /// The view. A moment without it is all a reader may notice: 18.16 cannot replace one.
    async fn show(
        &mut self,
        clickhouse: &ClickHouse,
        table: &Table,
        all: &BTreeMap<String, Actual>,
        altered: bool,
    ) -> Result<(), Error> {
        let name = view(&table.name);
        let statement = sql::create_view(&clickhouse.database, table);
        let there = all.get(&name).map(|view| &view.columns);
        let names = |columns: &Vec<(String, String)>| columns.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let wanted: Vec<String> = sql::viewed(table).into_iter().map(|(name, _)| name).collect();
        let types = |columns: &Vec<(String, String)>| {
            let of = |column: &str| {
                columns
                    .iter()
                    .find(|(name, _)| name == column)
                    .and_then(|(_, ch)| ChType::parse(ch))
            };
            table
                .columns
                .iter()
                .all(|column| of(&column.name).as_ref() == Some(&column.ch))
        };
        let current = there.is_some_and(|columns| names(columns) == wanted)
            && (self.views.get(&name) == Some(&statement) || there.is_some_and(types));
        if altered || !current {
            if there.is_some() {
                let drop = format!("DROP TABLE IF EXISTS {}", sql::qualified(&clickhouse.database, &name));
                clickhouse.execute(&drop).await?;
            }
            clickhouse.execute(&statement).await?;
        }
        self.views.insert(name, statement);
        Ok(())
    }
}

/// As [`Arranger::arrange`], but nothing is made or altered: what is not there is a problem.
pub async fn inspect(clickhouse: &ClickHouse, wanted: Vec<Wanted>) -> Result<Vec<Arranged>, Error> {
    let actual = actual(clickhouse).await?;
    let settled = wanted.into_iter().map(|Wanted { source, name, table }| {
        let table = table.and_then(|mut table| {
            let there = actual
                .get(&name)
                .ok_or_else(|| format!("there is no table {name} in ClickHouse: does the sink run?"))?;
            let Steps { add, modify } = compare(&mut table, there)?;
            match add.iter().chain(&modify).find_map(|place| table.columns.get(*place)) {
                Some(column) => Err(format!(
                    "column {} of table {name} is not there yet as {}: does the sink run?",
                    column.name, column.ch
                )),
                None => Ok(table),
            }
        });
        Arranged { source, name, table }
    });
    Ok(settled.collect())
}

/// All tables and views of the database.
async fn actual(clickhouse: &ClickHouse) -> Result<BTreeMap<String, Actual>, Error> {
    let database = sql::text(&clickhouse.database);
    let tables = format!(
        "SELECT name, if(engine = 'View', engine, engine_full), sorting_key FROM system.tables WHERE database = {database}"
    );
    let columns = format!(
        "SELECT table, name, type FROM system.columns WHERE database = {database} AND default_kind NOT IN ('MATERIALIZED', 'ALIAS')"
    );
    let mut actual: BTreeMap<String, Actual> = BTreeMap::new();
    for (name, engine, sorting_key) in clickhouse.rows::<(String, String, String)>(&tables).await? {
        let columns = Vec::new();
        actual.insert(
            name,
            Actual {
                engine,
                sorting_key,
                columns,
            },
        );
    }
    for (table, name, ch) in clickhouse.rows::<(String, String, String)>(&columns).await? {
        if let Some(table) = actual.get_mut(&table) {
            table.columns.push((name, ch));
        }
    }
    Ok(actual)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        table::{SourceColumn, SourceTable, wanted},
        types::PgType,
    };
    use synccluster_protocol::{codec::debezium::Form, definitions::Definitions};

    fn todos(definitions: &str) -> Table {
        let column = |name: &str, pg, not_null| SourceColumn {
            name: name.to_owned(),
            pg,
            sql_type: String::new(),
            not_null,
            missing: None,
            debezium: Form::Same,
        };
        let source = SourceTable {
            name: TableName::new("public", "todos"),
            columns: vec![column("id", PgType::Int(4), true), column("title", PgType::Text, false)],
            key: vec!["id".to_owned()],
        };
        wanted(&[source], &Definitions::read(definitions).unwrap())
            .remove(0)
            .table
            .unwrap()
    }

    fn actual(columns: &[(&str, &str)]) -> Actual {
        let own = [("sync_version", "UInt64"), ("deleted", "UInt8")];
        Actual {
            engine: "ReplacingMergeTree(sync_version) ORDER BY id SETTINGS index_granularity = 8192".to_owned(),
            sorting_key: "id".to_owned(),
            columns: columns
                .iter()
                .chain(&own)
                .map(|(name, ch)| ((*name).to_owned(), (*ch).to_owned()))
                .collect(),
        }
    }

    const AS_MADE: [(&str, &str); 2] = [("id", "Int32"), ("title", "Nullable(String)")];

    #[test]
    fn what_was_made_needs_nothing() {
        assert_eq!(compare(&mut todos(""), &actual(&AS_MADE)), Ok(Steps::default()));
    }

    #[test]
    fn a_type_that_does_as_well_is_taken() {
        let mut table = todos("");
        let there = actual(&[("id", "Int64"), ("title", "LowCardinality(Nullable(String))")]);
        assert_eq!(compare(&mut table, &there), Ok(Steps::default()));
        assert_eq!(table.columns[0].ch, ChType::Int(8));
    }

    #[test]
    fn a_new_column_is_added_and_a_wider_one_modified() {
        let added = compare(&mut todos(""), &actual(&AS_MADE[..1]));
        assert_eq!(
            added,
            Ok(Steps {
                add: vec![1],
                modify: vec![]
            })
        );
        let modified = compare(&mut todos(""), &actual(&[("id", "Int32"), ("title", "String")]));
        assert_eq!(
            modified,
            Ok(Steps {
                add: vec![],
                modify: vec![1]
            })
        );
    }

    #[test]
    fn what_cannot_be_mended_is_said_with_what_to_do() {
        let said = |table: &mut Table, actual: &Actual| compare(table, actual).unwrap_err();
        let mut wrong = actual(&AS_MADE);
        wrong.engine = "MergeTree ORDER BY id".to_owned();
        assert!(said(&mut todos(""), &wrong).contains("not ReplacingMergeTree"));
        let mut wrong = actual(&AS_MADE);
        wrong.sorting_key = "title".to_owned();
        assert!(said(&mut todos(""), &wrong).contains("sorted by (title)"));
        assert!(said(&mut todos(""), &actual(&[("id", "Int16"), AS_MADE[1]])).contains("cannot become Int32"));
        let chosen =
            "tables: [{source: public.todos, columns: [{name: title, type: 'LowCardinality(Nullable(String))'}]}]";
        let message = said(&mut todos(chosen), &actual(&AS_MADE));
        assert!(
            message.contains("the definitions say LowCardinality") && message.contains("drop table todos"),
            "{message}"
        );
    }
}
