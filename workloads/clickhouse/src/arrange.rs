//! Makes ClickHouse's tables and views what they should be, and says which can be written.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use synccluster_protocol::event::TableName;

use crate::{
    http::{ClickHouse, Error},
    sql,
    table::{Table, Wanted, view},
    types::ChType,
};

/// What ClickHouse calls a view; of anything else `Actual::engine` has the whole definition.
const VIEW: &str = "View";

/// A table as ClickHouse has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actual {
    engine: String,
    sorting_key: String,
    columns: Vec<(String, String)>,
}

impl Actual {
    /// Whether it keeps of each row the newest version, as the sink makes its tables.
    fn keeps_the_newest(&self) -> bool {
        self.engine.contains("ReplacingMergeTree") && self.engine.contains("sync_version")
    }
}

/// What has to be done before a table can be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Columns that are not there, by place.
    pub add: Vec<usize>,
    /// Columns that became wider.
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
    let (name, source) = (&table.name, &table.source);
    let remedy = format!(
        "drop table {name} in ClickHouse (it is made anew and filled from the topic), or change the definitions of tables"
    );
    if !actual.keeps_the_newest() {
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
            // What is converted and fails leaves a newer ClickHouse with a table that has the new type and cannot be read; and what a text or a
            // number there stands for nobody has written down. So nothing is converted but what is the same in a wider type.
            is => match is.and_then(|is| is.widened(&column.ch, &column.pg)) {
                Some(wider) => {
                    column.ch = wider;
                    steps.modify.push(place);
                }
                None => {
                    return Err(format!(
                        "column {} of table {name} is {there}, and its values cannot all be taken for {}: {}",
                        column.name,
                        column.ch,
                        rebuilding(source)
                    ));
                }
            },
        }
    }
    Ok(steps)
}

/// What to do about a table whose rows have to be written anew.
fn rebuilding(source: &TableName) -> String {
    format!(
        "rebuild it with `synccluster-clickhouse rebuild --table {source}`, which drops it, so that it is made anew and filled from the topic; \
         where that does not keep every row (cleanupPolicy delete), send them once more afterwards (synccluster.dev/resnapshot)"
    )
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
        let mut refused: BTreeMap<String, String> = BTreeMap::new();
        for table in wanted.iter().filter_map(|wanted| wanted.table.as_ref().ok()) {
            if missing.contains(&table.name) {
                match attempt(clickhouse, &sql::create_table(database, table)).await? {
                    Ok(()) => tracing::info!(source = %table.source, table = table.name, "made the table"),
                    Err(why) => {
                        refused.insert(
                            table.name.clone(),
                            format!("{why}; change that in the definitions of tables"),
                        );
                    }
                }
            }
        }
        if !missing.is_empty() {
            actual = self::actual(clickhouse).await?;
        }
        let mut arranged = Vec::with_capacity(wanted.len());
        for Wanted { source, name, table } in wanted {
            let table = match (table, refused.remove(&name)) {
                (Ok(_), Some(problem)) | (Err(problem), _) => Err(problem),
                (Ok(table), None) => self.settle(clickhouse, table, &actual).await?,
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
            // Whoever altered it at the same time: the next look sees it.
            if let Err(why) = attempt(clickhouse, statement).await? {
                return Ok(Err(format!("{why}; {}", rebuilding(&table.source))));
            }
        }
        let shown = self.show(clickhouse, &table, all, !statements.is_empty()).await?;
        Ok(shown.map(|()| table))
    }

    /// The view. A moment without it is all a reader may notice: 18.16 cannot replace one. `Err` inside: why there is none, and what to do.
    async fn show(
        &mut self,
        clickhouse: &ClickHouse,
        table: &Table,
        all: &BTreeMap<String, Actual>,
        altered: bool,
    ) -> Result<Result<(), String>, Error> {
        let name = view(&table.name);
        let statement = sql::create_view(&clickhouse.database, table);
        if let Some(other) = all.get(&name).filter(|there| there.engine != VIEW) {
            return Ok(Err(format!(
                "the name of its view, {name}, is taken by a table of engine {}: give the table another `name` in the definitions of tables",
                other.engine
            )));
        }
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
            if let Err(why) = attempt(clickhouse, &statement).await? {
                return Ok(Err(format!("{why}; change that in the definitions of tables")));
            }
        }
        self.views.insert(name, statement);
        Ok(Ok(()))
    }
}

/// Runs a statement that makes or alters a table. `Err` inside: ClickHouse refuses it, and would again; no other table is concerned.
async fn attempt(clickhouse: &ClickHouse, statement: &str) -> Result<Result<(), Error>, Error> {
    match clickhouse.execute(statement).await {
        Ok(()) => Ok(Ok(())),
        Err(error) if error.is_lasting() => Ok(Err(error)),
        Err(error) => Err(error),
    }
}

/// Drops a table, if it is there; its view is made anew with it. `Err` inside: it is not one of the sink's, and stays.
pub async fn remove(clickhouse: &ClickHouse, name: &str) -> Result<Result<(), String>, Error> {
    match actual(clickhouse).await?.get(name) {
        None => Ok(Ok(())),
        Some(there) if there.keeps_the_newest() => {
            let drop = format!("DROP TABLE {}", sql::qualified(&clickhouse.database, name));
            clickhouse.execute(&drop).await.map(Ok)
        }
        Some(other) => Ok(Err(format!(
            "table {name} has engine {}, not ReplacingMergeTree(sync_version): it is not the sink's, so drop or rename it in ClickHouse yourself",
            other.engine
        ))),
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
        "SELECT name, if(engine = '{VIEW}', engine, engine_full), sorting_key FROM system.tables WHERE database = {database}"
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
mod tests;
