//! What is asked of each site to compare them: which keys come next, what rows they have, what a range of keys adds up to.

use std::collections::BTreeMap;

use deadpool_postgres::Object;
use synccluster_protocol::event::{PARENT_COLUMN, VERSION_COLUMN};
use synccluster_runtime::catalog::quote;
use tokio_postgres::Error;

use super::{
    align::Cell,
    catalogue::{Column, Table},
    catalogues::Work,
    condition, cursor,
    failure::Failure,
    filter::Filter,
    key::Key,
    order::{Comparing, Order, Position},
    read, row,
    sql::Sql,
};

/// Which rows, in an order that is the same at every site.
#[derive(Clone, Debug)]
pub struct Question {
    /// The table.
    pub table: String,
    /// Which rows.
    pub filter: Filter,
    /// In which order.
    pub order: String,
    /// How each column's values are compared.
    pub comparing: BTreeMap<String, Comparing>,
}

/// Rows between two places of the order.
#[derive(Clone, Debug, Default)]
pub struct Range {
    /// They come after this.
    pub after: Option<Position>,
    /// They do not come after this; for the key's order.
    pub up_to: Option<Position>,
}

/// The next rows.
#[derive(Debug)]
pub struct Candidates<'a> {
    pub question: &'a Question,
    pub range: &'a Range,
    /// This many, after skipping `skip`.
    pub limit: usize,
    pub skip: usize,
}

/// The rows with these keys.
#[derive(Debug)]
pub struct Lookup<'a> {
    pub question: &'a Question,
    pub keys: &'a [Key],
}

/// How many rows a range has, and a sum of hashes over them that does not depend on their order.
#[derive(Debug)]
pub struct Digest<'a> {
    pub question: &'a Question,
    pub range: &'a Range,
    /// The columns all sites have.
    pub columns: &'a [String],
}

/// The indexes of positions in the order they have; equal ones by index.
#[derive(Debug)]
pub struct Rank<'a> {
    pub question: &'a Question,
    pub positions: &'a [Position],
}

impl Question {
    /// The order, as this site's table has it.
    pub fn order(&self, table: &Table) -> Result<Order, Failure> {
        let comparing = |column: &Column| self.comparing.get(&column.name).copied().unwrap_or(Comparing::AsText);
        read::order(&self.order, table, comparing)
    }

    /// The rows of a range as `from … i where …`.
    fn select(&self, table: &Table, order: &Order, range: &Range, sql: &mut Sql) -> Result<(), Failure> {
        sql.add(format_args!(" from {} i where true", table.quoted()));
        let filter = condition::and(&self.filter, table, sql, "i")?;
        sql.push(&filter);
        if let Some(position) = &range.after {
            let after = order.after(sql, "i", position);
            sql.push(" and ").push(&after);
        }
        if let Some(position) = &range.up_to {
            let up_to = order.up_to(sql, "i", position);
            sql.push(" and ").push(&up_to);
        }
        Ok(())
    }

    /// Says what is wrong with the filter or the cursor, where that is what it is.
    async fn explain(&self, failure: Failure, client: &Object, table: &Table, range: &Range) -> Failure {
        let failure = condition::explain(failure, &***client, &self.filter, table).await;
        if range.after.is_some() && failure.bad_value().is_some() {
            cursor::bad().into()
        } else {
            failure
        }
    }
}

impl Work for Candidates<'_> {
    type Answer = Vec<Cell>;

    async fn run(&self, client: &mut Object, table: &Table) -> Result<Self::Answer, Failure> {
        let order = self.question.order(table)?;
        let mut sql = Sql::new(format!(
            "select {}, {}, true from (select i.*",
            row::columns(table, "t"),
            order.position("t")
        ));
        self.question.select(table, &order, self.range, &mut sql)?;
        let number = |sql: &mut Sql, n: usize| sql.number(i64::try_from(n).unwrap_or(i64::MAX));
        let (limit, skip) = (number(&mut sql, self.limit), number(&mut sql, self.skip));
        sql.add(format_args!(
            " order by {} limit {limit} offset {skip}) t order by {}",
            order.by("i"),
            order.by("t")
        ));
        match sql.rows(&***client).await {
            Ok(rows) => Ok(rows.iter().map(|row| cell(table, row)).collect::<Result<_, _>>()?),
            Err(failure) => Err(self.question.explain(failure, client, table, self.range).await),
        }
    }
}

/// Reads a row's columns, its position, and whether the filter takes it.
fn cell(table: &Table, row: &tokio_postgres::Row) -> Result<Cell, Error> {
    Ok(Cell {
        key: Key(row.try_get(1)?),
        row: row::read(table, row)?,
        position: row.try_get(4)?,
        taken: row.try_get(5)?,
    })
}

impl Work for Lookup<'_> {
    type Answer = BTreeMap<Key, Cell>;

    async fn run(&self, client: &mut Object, table: &Table) -> Result<Self::Answer, Failure> {
        let order = self.question.order(table)?;
        let mut sql = Sql::default();
        let taken = condition::and(&self.question.filter, table, &mut sql, "t")?;
        let columns: Vec<_> = table.key_columns().collect();
        let arrays = (0..columns.len()).map(|n| self.keys.iter().map(|key| key.0.get(n).cloned()).collect());
        let arrays: Vec<_> = arrays.map(|texts| sql.texts(texts)).collect();
        let names: Vec<_> = (0..columns.len()).map(|n| format!("k{n}")).collect();
        let equal = columns
            .iter()
            .zip(&names)
            .map(|(column, name)| format!("{} = {}", column.of("t"), column.value(&format!("k.{name}"))));
        sql.add(format_args!(
            "select {}, {}, (true{taken}) is true from unnest({}) k({}) join {} t on {}",
            row::columns(table, "t"),
            order.position("t"),
            arrays.join(", "),
            names.join(", "),
            table.quoted(),
            equal.collect::<Vec<_>>().join(" and ")
        ));
        let mut cells = BTreeMap::new();
        for row in sql.rows(&***client).await? {
            let cell = cell(table, &row)?;
            cells.insert(cell.key.clone(), cell);
        }
        Ok(cells)
    }
}

impl Work for Digest<'_> {
    type Answer = (i64, String);

    async fn run(&self, client: &mut Object, table: &Table) -> Result<Self::Answer, Failure> {
        let order = self.question.order(table)?;
        let names = self
            .columns
            .iter()
            .map(String::as_str)
            .chain([VERSION_COLUMN, PARENT_COLUMN]);
        let columns: Vec<_> = names.map(|name| format!("i.{}", quote(name))).collect();
        let mut sql = Sql::new(format!(
            "select count(*), coalesce(sum(hashtextextended((v.*)::text collate \"C\", 0)), 0)::text from (select {}",
            columns.join(", ")
        ));
        self.question.select(table, &order, self.range, &mut sql)?;
        sql.push(") v");
        let row = match sql.first(&***client).await {
            Ok(row) => row,
            Err(failure) => return Err(self.question.explain(failure, client, table, self.range).await),
        };
        Ok(row
            .map(|row| Ok::<_, Error>((row.try_get(0)?, row.try_get(1)?)))
            .transpose()?
            .unwrap_or_default())
    }
}

impl Work for Rank<'_> {
    type Answer = Vec<usize>;

    async fn run(&self, client: &mut Object, table: &Table) -> Result<Self::Answer, Failure> {
        let order = self.question.order(table)?;
        let mut sql = Sql::default();
        let columns = (0..order.len()).map(|n| {
            self.positions
                .iter()
                .map(|position| position.get(n).cloned().flatten())
                .collect()
        });
        let columns: Vec<_> = columns.map(|texts| sql.texts(texts)).collect();
        let names: Vec<_> = (0..order.len()).map(|n| format!("p{n}")).collect();
        sql.add(format_args!(
            "select u.n from unnest({}) with ordinality u({}, n) order by {}, u.n",
            columns.join(", "),
            names.join(", "),
            order.by_positions("u")
        ));
        let rows = sql.rows(&***client).await?;
        let index = |row: &tokio_postgres::Row| {
            Ok(usize::try_from(row.try_get::<_, i64>(0)?)
                .unwrap_or_default()
                .saturating_sub(1))
        };
        Ok(rows.iter().map(index).collect::<Result<_, Error>>()?)
    }
}
