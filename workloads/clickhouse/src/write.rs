//! A batch: collected from the topic, written to ClickHouse, then its progress.

use std::sync::Arc;

use bytes::Bytes;
use synccluster_protocol::event::TableName;
use synccluster_runtime::clock::now_micros;

use crate::{
    http::{ClickHouse, Error, Refusal},
    progress::Progress,
    rows::Rows,
    sql::{qualified, text},
    table::PARKED,
};

/// What a row takes beside its bytes: its end and its offset.
const ROW: usize = 16;
/// About what a row that is left out takes.
const REASON: usize = 512;

/// A row that ClickHouse cannot take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// The offset of its record.
    pub offset: i64,
    /// Its table.
    pub source: String,
    /// Why, with what to do.
    pub reason: String,
}

/// What was collected.
#[derive(Debug, Default)]
pub struct Batch {
    /// Rows by table.
    pub rows: Vec<Rows>,
    /// Rows that are known not to fit.
    pub parked: Vec<Parked>,
    /// Rows of tables that are not written.
    pub skipped: u64,
    /// When the oldest of it was committed, milliseconds since the Unix epoch.
    pub oldest: Option<i64>,
}

impl Batch {
    /// Bytes it holds.
    pub fn bytes(&self) -> usize {
        let rows: usize = self
            .rows
            .iter()
            .map(|rows| rows.bytes.len() + ROW * rows.ends.len())
            .sum();
        rows + REASON * self.parked.len()
    }

    /// Those of a table, for its insert of the moment: a table that has got a column since begins anew.
    pub fn of(&mut self, source: &TableName, insert: &Arc<str>) -> &mut Rows {
        let place = self
            .rows
            .iter()
            .position(|rows| Arc::ptr_eq(&rows.insert, insert))
            .unwrap_or_else(|| {
                self.rows.push(Rows::new(source.to_string(), Arc::clone(insert)));
                self.rows.len() - 1
            });
        &mut self.rows[place]
    }
}

/// What became of a batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Rows ClickHouse has.
    pub rows: u64,
    /// Deletes among them.
    pub deletes: u64,
    /// Why the newest row was parked.
    pub parked_reason: Option<String>,
    /// Rows of tables that are not written.
    pub skipped: u64,
    /// What is stored now.
    pub progress: Progress,
}

/// Writes a batch and then `progress`. After an error nothing is certain but that the progress was not stored: the rows are written again.
pub async fn write(
    clickhouse: ClickHouse,
    topic: String,
    batch: Batch,
    mut progress: Progress,
) -> Result<Written, Error> {
    let mut written = Written {
        skipped: batch.skipped,
        ..Written::default()
    };
    let mut parked = batch.parked;
    for rows in batch.rows {
        let total = rows.ends.len() as u64;
        let deletes = rows.deletes;
        let refused = insert(&clickhouse, rows).await?;
        written.rows += total - refused.len() as u64;
        written.deletes += deletes;
        parked.extend(refused);
    }
    if !parked.is_empty() {
        park(&clickhouse, &topic, &parked).await?;
        written.parked_reason = parked
            .last()
            .map(|parked| format!("{}: {}", parked.source, parked.reason));
    }
    progress.write(&clickhouse, &topic, now_micros()).await?;
    written.progress = progress;
    Ok(written)
}

/// Inserts the rows; where ClickHouse refuses some of them, finds out which by halves and returns those.
async fn insert(clickhouse: &ClickHouse, rows: Rows) -> Result<Vec<Parked>, Error> {
    let Rows {
        source,
        insert,
        bytes,
        ends,
        offsets,
        ..
    } = rows;
    let bytes = Bytes::from(bytes);
    let mut parked = Vec::new();
    let mut parts: Vec<(usize, usize)> = vec![(0, ends.len())];
    while let Some((first, end)) = parts.pop() {
        let from = first
            .checked_sub(1)
            .and_then(|before| ends.get(before).copied())
            .unwrap_or_default();
        let Some(to) = end.checked_sub(1).and_then(|last| ends.get(last).copied()) else {
            continue;
        };
        match clickhouse.insert(&insert, bytes.slice(from..to)).await {
            Ok(()) => {}
            Err(error) if error.refusal() != Refusal::Rows => return Err(error),
            Err(error) if end - first == 1 => {
                let offset = offsets.get(first).copied().unwrap_or_default();
                tracing::warn!(source, offset, %error, "a row is left out");
                parked.push(Parked {
                    offset,
                    source: source.clone(),
                    reason: error.to_string(),
                });
            }
            Err(_) => {
                let middle = first.midpoint(end);
                // The first half is looked at first: rows of a key stay in order.
                parts.extend([(middle, end), (first, middle)]);
            }
        }
    }
    Ok(parked)
}

/// Writes down what was left out, where people look for rows they miss.
async fn park(clickhouse: &ClickHouse, topic: &str, parked: &[Parked]) -> Result<(), Error> {
    let now = now_micros();
    let row = |parked: &Parked| {
        let reason: String = parked.reason.chars().take(1000).collect();
        format!(
            "({now}, {}, {}, {}, {})",
            text(topic),
            parked.offset,
            text(&parked.source),
            text(&reason)
        )
    };
    let rows: Vec<String> = parked.iter().map(row).collect();
    let statement = format!(
        "INSERT INTO {} (parked_at, topic, offset, source, reason) VALUES {}",
        qualified(&clickhouse.database, PARKED),
        rows.join(", ")
    );
    clickhouse.execute(&statement).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_table_that_changed_go_in_another_insert() {
        let mut batch = Batch::default();
        let (before, after): (Arc<str>, Arc<str>) = ("INSERT (a)".into(), "INSERT (a, b)".into());
        let source = TableName::new("public", "t");
        batch.of(&source, &before).ends.push(0);
        batch.of(&source, &before).ends.push(0);
        batch.of(&source, &after).ends.push(0);
        let counts: Vec<usize> = batch.rows.iter().map(|rows| rows.ends.len()).collect();
        assert_eq!(counts, [2, 1]);
    }
}
