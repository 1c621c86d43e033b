//! Compares what ClickHouse holds with Postgres, row by row and byte by byte: a row of Postgres becomes the bytes the sink would write, a
//! row of ClickHouse is read as the bytes it has, and both sides are summed up, so that order plays no part.

use std::{
    hash::{DefaultHasher, Hasher},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use futures::TryStreamExt;
use serde::Serialize;
use sha2::{Digest, Sha256};
use synccluster_protocol::{codec, definitions::Definitions, event::VERSION_COLUMN};
use synccluster_runtime::{catalog, postgres::PostgresSecret};
use tokio::time::{self, Instant};
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::{
    arrange::{self, Arranged},
    catalogue, encode,
    http::ClickHouse,
    rebuild::unwanted,
    sides::Error,
    sql,
    table::{Table, wanted},
};

/// Between two looks at a table that differs: what is written meanwhile is on its way.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// All rows of one side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sum {
    rows: u64,
    checksum: u64,
    /// The same of each column alone, to name those that differ.
    columns: Vec<u64>,
}

impl Sum {
    /// Adds a row; `ends` are where its columns end.
    fn add(&mut self, row: &[u8], ends: &[usize]) {
        self.columns.resize(ends.len(), 0);
        let mut start = 0;
        for (sum, end) in self.columns.iter_mut().zip(ends) {
            let mut hasher = DefaultHasher::new();
            hasher.write(row.get(start..*end).unwrap_or_default());
            *sum = sum.wrapping_add(hasher.finish());
            start = *end;
        }
        let digest = Sha256::digest(row);
        let first = digest
            .iter()
            .take(8)
            .fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
        self.rows += 1;
        self.checksum = self.checksum.wrapping_add(first);
    }
}

/// One side of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Side {
    /// Rows.
    pub rows: u64,
    /// Sixteen hexadecimal digits over all of them, versions included.
    pub checksum: String,
}

impl From<&Sum> for Side {
    fn from(sum: &Sum) -> Self {
        Self {
            rows: sum.rows,
            checksum: format!("{:016x}", sum.checksum),
        }
    }
}

/// A table, compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// The table in Postgres.
    pub source: String,
    /// The table in ClickHouse.
    pub table: String,
    /// Whether both have the same rows.
    pub equal: bool,
    /// What Postgres has.
    pub postgres: Option<Side>,
    /// What ClickHouse has.
    pub clickhouse: Option<Side>,
    /// Columns whose values are not the same.
    pub differing: Vec<String>,
    /// Rows of Postgres that ClickHouse cannot hold; see `sync_parked`.
    pub unfit: u64,
    /// Why the table could not be compared.
    pub problem: Option<String>,
}

/// All tables, compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether every table has the same rows in both.
    pub equal: bool,
    /// One entry a table.
    pub tables: Vec<Compared>,
}

/// Compares; tables that differ are looked at again until `patience` is over.
pub async fn verify(
    postgres: &PostgresSecret,
    clickhouse: &ClickHouse,
    definitions: &Definitions,
    only: &[String],
    patience: Duration,
) -> Result<Report, Error> {
    let client = catalogue::connect(postgres).await?;
    let deadline = Instant::now() + patience;
    let mut done: Vec<Compared> = Vec::new();
    loop {
        let sources = catalogue::tables(&client).await?;
        let wanted = wanted(&sources, definitions);
        // Of nothing that was compared everything would be equal.
        if let Some(name) = only
            .iter()
            .find(|name| wanted.iter().all(|table| table.source.to_string() != **name))
        {
            return Err(unwanted(&sources, name));
        }
        let mut tables = arrange::inspect(clickhouse, wanted).await?;
        tables.retain(|arranged| only.is_empty() || only.contains(&arranged.source.to_string()));
        let mut compared = Vec::with_capacity(tables.len());
        for arranged in tables {
            let before = done
                .iter()
                .find(|done| done.equal && done.source == arranged.source.to_string());
            compared.push(match before {
                Some(equal) => equal.clone(),
                None => compare(&client, clickhouse, arranged).await?,
            });
        }
        done = compared;
        let equal = done.iter().all(|compared| compared.equal);
        if equal || Instant::now() >= deadline {
            return Ok(Report { equal, tables: done });
        }
        time::sleep(AGAIN_AFTER).await;
    }
}

async fn compare(client: &Client, clickhouse: &ClickHouse, arranged: Arranged) -> Result<Compared, Error> {
    let mut compared = Compared {
        source: arranged.source.to_string(),
        table: arranged.name,
        equal: false,
        postgres: None,
        clickhouse: None,
        differing: Vec::new(),
        unfit: 0,
        problem: None,
    };
    match arranged.table {
        Err(problem) => compared.problem = Some(problem),
        Ok(table) => {
            let (wanted, unfit) = in_postgres(client, &table).await?;
            let there = in_clickhouse(clickhouse, &table).await?;
            compared.equal = wanted == there && unfit == 0;
            let names = table
                .columns
                .iter()
                .map(|column| column.name.as_str())
                .chain([VERSION_COLUMN]);
            let sums = wanted.columns.iter().zip(&there.columns);
            compared.differing = names
                .zip(sums)
                .filter(|(_, (one, other))| one != other)
                .map(|(name, _)| name.to_owned())
                .collect();
            (compared.postgres, compared.clickhouse, compared.unfit) =
                (Some((&wanted).into()), Some((&there).into()), unfit);
        }
    }
    Ok(compared)
}

/// What the sink would write of every row, and how many rows it could not.
async fn in_postgres(client: &Client, table: &Table) -> Result<(Sum, u64), Error> {
    let names = table
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .chain([VERSION_COLUMN]);
    let columns: Vec<String> = names.map(catalog::quote).collect();
    let query = format!(
        "select {} from {}",
        columns.join(", "),
        catalog::quote_table(&table.source)
    );
    let mut rows = std::pin::pin!(client.simple_query_raw(&query).await?);
    let (mut sum, mut unfit, mut bytes, mut ends) = (Sum::default(), 0, Vec::new(), Vec::new());
    while let Some(message) = rows.try_next().await? {
        let SimpleQueryMessage::Row(row) = message else {
            continue;
        };
        bytes.clear();
        ends.clear();
        let fits = table.columns.iter().enumerate().try_for_each(|(place, column)| {
            let value = row.try_get(place).ok().flatten();
            let raw = value.map_or_else(
                || "null".to_owned(),
                |text| codec::encode(&column.pg.wire(), text).to_string(),
            );
            let written = encode::value(&mut bytes, &raw, &column.pg, &column.ch);
            ends.push(bytes.len());
            written
        });
        let version: Option<i64> = row
            .try_get(table.columns.len())
            .ok()
            .flatten()
            .and_then(|text| text.parse().ok());
        bytes.extend_from_slice(&version.unwrap_or_default().to_le_bytes());
        ends.push(bytes.len());
        match fits {
            Ok(()) => sum.add(&bytes, &ends),
            Err(_) => unfit += 1,
        }
    }
    Ok((sum, unfit))
}

/// Every current row.
async fn in_clickhouse(clickhouse: &ClickHouse, table: &Table) -> Result<Sum, Error> {
    let names = table
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .chain([VERSION_COLUMN]);
    let columns: Vec<String> = names.map(sql::quote).collect();
    let query = format!(
        "SELECT {} FROM {} FINAL WHERE {} = 0 FORMAT RowBinary",
        columns.join(", "),
        sql::qualified(&clickhouse.database, &table.name),
        table.deleted
    );
    let mut pieces = clickhouse.stream(&query).await?;
    let (mut sum, mut rest, mut ends) = (Sum::default(), BytesMut::new(), Vec::new());
    while let Some(piece) = pieces.next().await? {
        rest.extend_from_slice(&piece);
        while let Some(end) = row_ends(&rest, table, &mut ends) {
            sum.add(&rest[..end], &ends);
            rest.advance(end);
        }
    }
    if rest.is_empty() {
        Ok(sum)
    } else {
        Err(Error::BrokenOff(table.name.clone()))
    }
}

/// Where the first row ends, and its columns; `None` while it is not whole.
fn row_ends(bytes: &[u8], table: &Table, ends: &mut Vec<usize>) -> Option<usize> {
    ends.clear();
    let mut end = 0;
    for column in &table.columns {
        end += encode::extent(bytes.get(end..)?, &column.ch)?;
        ends.push(end);
    }
    end += size_of::<i64>();
    ends.push(end);
    (bytes.len() >= end).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_does_not_depend_on_order_and_tells_rows_apart() {
        let of = |rows: &[&[u8]]| {
            let mut sum = Sum::default();
            for row in rows {
                sum.add(row, &[row.len()]);
            }
            sum
        };
        assert_eq!(of(&[b"a", b"b"]), of(&[b"b", b"a"]));
        assert_ne!(of(&[b"a", b"b"]), of(&[b"a", b"c"]));
        assert_ne!(
            of(&[b"a", b"a"]),
            of(&[b"b", b"b"]),
            "two of the same do not cancel out"
        );
    }
}
